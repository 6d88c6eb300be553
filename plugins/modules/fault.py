#!/usr/bin/python
# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: fault
short_description: Begin or take back one fault on a node
description:
  - What the modules of all kinds of fault call on the node. It wants the node's own program, as a plan holds
    it; use the module of the kind instead, such as M(foundation.testbed.partition).
  - The fault lives in a transient systemd unit of its own. Whatever ends the agent, its unit takes it back.
extends_documentation_fragment: foundation.testbed.node_module
options:
  type:
    description: Kind of fault.
    type: str
    required: true
  id:
    description:
      - Name of the fault on the node. A lower-case letter, then at most 20 lower-case letters, digits or
        hyphens; or the O(type).
    type: str
    required: true
  state:
    description: Whether it shall be there.
    type: str
    choices: [present, absent]
    default: present
  for_s:
    description: Seconds that it lasts. Needed where O(state=present).
    type: float
  program:
    description: The node's own program. Needed where O(state=present).
    type: dict
  wait_s:
    description: Seconds to wait until it is in place.
    type: float
    default: 15
"""

EXAMPLES = r"""
- name: Take the fault named slow back
  foundation.testbed.fault:
    testbed_id: local
    type: link
    id: slow
    state: absent
"""

RETURN = r"""
run:
  description: Name of the run that holds it; its ledger is in C(/var/lib/foundation-testbed/runs).
  returned: when it is present
  type: str
until:
  description: When it ends by itself, ISO 8601.
  returned: when it is present
  type: str
evidence:
  description: What the node saw of it first.
  returned: when it was begun
  type: dict
"""

import json
import socket
import time
from datetime import datetime, timezone

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ansible_module import enrolled_module
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import TOO_LATE
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_id
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.heal import active_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.management import (
    cuts_management,
    ssh_connection,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import (
    AGENT,
    UNIT_PREFIX,
    run_dir,
    unit_name,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.recover import read_program
from ansible_collections.foundation.testbed.plugins.module_utils.agent.unit import unit_command
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import text

# Seconds for the agent to start before the fault begins; longer ones where a busy node was not ready by then.
AHEAD_S = (2.0, 5.0, 12.0)
kind_name = text(r"[a-z][a-z_]{0,20}", "a kind of fault, such as partition")


def names_problem(params: dict):
    """Return what is wrong with the names that become part of units and paths, or None."""
    given = [("type", kind_name, params["type"])]
    if params["id"] != params["type"]:
        given.append(("id", fault_id, params["id"]))
    for key, parse, value in given:
        try:
            parse(value)
        except ValueError as error:
            return f"{key}: {error}"
    return None


def active_run(fault_id: str):
    """Return the name of the run that holds an ad hoc fault of this name, or None."""
    for unit in active_units():
        run = unit[len(UNIT_PREFIX) : -len(".service")]
        if run.rpartition("-")[0] == f"adhoc-{fault_id}":
            return run
    return None


def iso(wall_ns: int) -> str:
    """Return an instant as people read it."""
    return datetime.fromtimestamp(wall_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


def program_of(params: dict, run: str, ahead_s: float) -> dict:
    """Return what the agent is staged with: one fault, at once."""
    fault = {
        "id": params["id"],
        "type": params["type"],
        "start_s": 0.0,
        "end_s": params["for_s"],
        "for_s": params["for_s"],
        "at_once": True,
        "node": params["program"],
    }
    return {
        "run": run,
        "testbed_id": params["testbed_id"],
        "node": socket.gethostname(),
        "systems": [],
        "load": [],
        "start_wall_ns": time.time_ns() + int(ahead_s * 1e9),
        "duration_s": params["for_s"],
        "faults": [fault],
    }


def first_entries(module, run: str, deadline: float, last: bool) -> dict:
    """Return the ledger's first entry of each event, once the fault is in place; else fails the module.

    Nothing where the node was ready too late, unless this was the last attempt.
    """
    path = run_dir(run) / "ledger.jsonl"
    while time.monotonic() < deadline:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries = {}
        for entry in map(json.loads, lines):
            entries.setdefault(entry["event"], entry)
        if "error" in entries and entries["error"]["message"] == TOO_LATE and not last:
            return {}
        if "error" in entries:
            module.fail_json(msg=f"the fault is not in place: {entries['error']['message']}", run=run)
        if {"evidence", "record"} & set(entries):
            return entries
        time.sleep(0.1)
    module.fail_json(msg="the fault was not in place in time; it is taken back", run=run, **stop(module, run))
    return {}


def stop(module, run: str) -> dict:
    """End a run; its unit takes the fault back."""
    status, _output, errors = module.run_command(["systemctl", "stop", unit_name(run)])
    return {} if status == 0 else {"stop_error": errors.strip()}


def absent(module) -> None:
    """Take the fault back if it is there."""
    run = active_run(module.params["id"])
    if run is not None and not module.check_mode:
        problem = stop(module, run)
        if problem:
            module.fail_json(msg=f"the fault cannot be taken back: {problem['stop_error']}", run=run)
    module.exit_json(changed=run is not None)


def present(module) -> None:
    """Begin the fault unless it is there."""
    params = module.params
    run = active_run(params["id"])
    if run is not None:
        now = read_program(run_dir(run))
        same = now["faults"][0]["node"] == params["program"] and now["faults"][0]["type"] == params["type"]
        if not same:
            module.fail_json(
                msg=f"id: given {params['id']!r}, the name of another fault that is active; allowed: another "
                "name, or state=absent first"
            )
        end_ns = now["start_wall_ns"] + int(now["faults"][0]["end_s"] * 1e9)
        module.exit_json(changed=False, run=run, until=iso(end_ns))
    for problem in cuts_management(params["program"], ssh_connection()):
        module.fail_json(msg=f"{params['type']}: {problem}")
    agent = ["python3", str(AGENT)]
    status, output, errors = module.run_command(
        [*agent, "capable", params["type"], json.dumps(params["program"])]
    )
    if status != 0:
        module.fail_json(msg=f"the agent cannot say: {errors.strip()[-500:]}")
    reasons = json.loads(output)
    if reasons:
        module.fail_json(msg=f"this node cannot do {params['type']}: {'; '.join(reasons)}", reasons=reasons)
    for ahead_s in AHEAD_S:
        run = f"adhoc-{params['id']}-{time.time_ns() // 10**6}"
        program = program_of(params, run, ahead_s)
        until = iso(program["start_wall_ns"] + int(params["for_s"] * 1e9))
        if module.check_mode:
            module.exit_json(changed=True, until=until)
        entries = begin(module, program, ahead_s)
        if entries:
            break
    evidence = entries.get("evidence") or entries["record"]
    shown = {key: value for key, value in evidence.items() if key not in ("wall_ns", "mono_ns", "event")}
    module.exit_json(changed=True, run=run, until=until, evidence=shown)


def begin(module, program: dict, ahead_s: float) -> dict:
    """Start an agent with a program; returns its first entries, none where it was too late to begin."""
    folder = run_dir(program["run"])
    folder.mkdir(parents=True)
    write_json(folder / "program.json", program)
    status, _output, errors = module.run_command(unit_command(program))
    if status != 0:
        module.fail_json(msg=f"the agent cannot be started: {errors.strip()}")
    deadline = time.monotonic() + ahead_s + module.params["wait_s"]
    return first_entries(module, program["run"], deadline, last=ahead_s == AHEAD_S[-1])


def main() -> None:
    """Bring one fault to the wanted state."""
    module = enrolled_module(
        {
            "type": {"type": "str", "required": True},
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "for_s": {"type": "float"},
            "program": {"type": "dict"},
            "wait_s": {"type": "float", "default": 15.0},
        },
        required_if=[("state", "present", ("for_s", "program"))],
    )
    problem = names_problem(module.params)
    if problem:
        module.fail_json(msg=problem)
    absent(module) if module.params["state"] == "absent" else present(module)


if __name__ == "__main__":
    main()
