#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ask_state
short_description: Ask a host for the steady state of the system
description:
  - On a node, asks its own system for its states. On the observer, asks Prometheus.
  - Judges nothing; that is for M(foundation.testbed.admit) before a run, and for
    M(foundation.testbed.steady_state) after it. Nothing is changed.
extends_documentation_fragment: foundation.testbed.node_module
options:
  conditions:
    description: The steady state of the plan.
    type: list
    elements: dict
    required: true
  system:
    description: System under test on this node; none is asked where it is not given.
    type: str
  prometheus_url:
    description: Prometheus that is to answer the queries; none is asked where it is not given.
    type: str
  wait_s:
    description: Seconds that the node's own system is given to be in the state that all nodes are to be in.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Ask every member whether it follows closely
  foundation.testbed.ask_state:
    testbed_id: local
    system: etcd
    conditions:
      - {state: lag, below: 10, nodes: all}
"""

RETURN = r"""
health:
  description: What the system says of itself.
  returned: where O(system) is given
  type: dict
queries:
  description: The values of each PromQL expression, in C(values), or C(error).
  returned: where O(prometheus_url) is given
  type: dict
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT
from ansible_collections.foundation.testbed.plugins.module_utils.agent.states import holds

QUERY_TIMEOUT_S = 5.0


def ask_system(module, system: str, wanted: list, wait_s: float) -> dict:
    """Ask until the system is in all the states that are wanted of every node, at most so long."""
    deadline = time.monotonic() + wait_s
    while True:
        status, output, errors = module.run_command(["python3", str(AGENT), "health", system])
        if status != 0:
            module.fail_json(msg=f"the agent cannot say: {errors.strip()[-500:]}")
        health = json.loads(output)
        if all(holds(condition, health, {}) for condition in wanted) or time.monotonic() >= deadline:
            return health
        time.sleep(0.2)


def ask_prometheus(url: str, query: str) -> dict:
    """Return the values of an expression now, or the error."""
    try:
        asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(asked, timeout=QUERY_TIMEOUT_S) as response:
            data = json.load(response)["data"]
        series = [data["result"]] if data["resultType"] == "scalar" else [s["value"] for s in data["result"]]
        values = [float(value) for _time, value in series]
        return {"values": values} if values else {"error": "it has no value"}
    except urllib.error.HTTPError as error:
        return {"error": _said_by(error)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"error": f"Prometheus does not answer ({getattr(error, 'reason', error)})"}


def _said_by(error) -> str:
    """Return what Prometheus finds wrong with an expression."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"Prometheus answers with {error}"


def main() -> None:
    """Ask the host."""
    module = enrolled_module(
        {
            "conditions": {"type": "list", "elements": "dict", "required": True},
            "system": {"type": "str"},
            "prometheus_url": {"type": "str"},
            "wait_s": {"type": "float", "default": 0.0},
        }
    )
    params, answer = module.params, {}
    if params["system"]:
        wanted = [c for c in params["conditions"] if "state" in c and c.get("nodes", "all") == "all"]
        answer["health"] = ask_system(module, params["system"], wanted, params["wait_s"])
    if params["prometheus_url"]:
        queries = [condition["promql"] for condition in params["conditions"] if "promql" in condition]
        answer["queries"] = {query: ask_prometheus(params["prometheus_url"], query) for query in queries}
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
