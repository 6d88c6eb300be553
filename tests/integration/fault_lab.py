# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One fault on a real node: stage it, watch it, kill what holds it, compare the node with how it was.

By hand: `python tests/integration/fault_lab.py INVENTORY NODE KIND FOR_S PROGRAM_JSON` prints the ledger and
what the fault left.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT, run_dir, unit_name
from ansible_collections.foundation.testbed.plugins.module_utils.agent.unit import unit_command
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import agent_archive
from support import ROOT, Lab, wait_until

NODE_STATE = (ROOT / "tests" / "support" / "node_state.py").read_text(encoding="utf-8")


def put(lab: Lab, node: str, path: str, content: bytes) -> None:
    """Write a file on a node."""
    packed = base64.b64encode(content).decode()
    lab.on(node, f"mkdir -p $(dirname {path}); base64 -d > {path}", stdin=packed)


def install_agent(lab: Lab, node: str) -> None:
    """Bring this checkout's agent to a node, as the node role does."""
    put(lab, node, str(AGENT), agent_archive())


def state_of(lab: Lab, node: str) -> dict[str, list[str]]:
    """Everything of a node that a fault could leave changed."""
    return json.loads(lab.on(node, "python3 -", stdin=NODE_STATE))


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """What was not so before, and what is so no more."""
    found = []
    for what, lines in before.items():
        found += [f"{what}: gone: {line}" for line in lines if line not in after[what]]
        found += [f"{what}: new: {line}" for line in after[what] if line not in lines]
    return found


def link_backends(lab: Lab, node: str) -> list[str]:
    """What a node's kernel has to impair links with, the preferred one first."""
    tried = "unshare --net tc qdisc add dev lo root netem delay 1ms && echo works"
    return (["netem"] if lab.on(node, tried, check=False) else []) + ["nfqueue"]


@dataclass
class Staged:
    """Faults that a node's agent lives through."""

    lab: Lab
    node: str
    run: str
    program: dict[str, Any]

    @property
    def end_s(self) -> float:
        """The planned end of the last fault, wall clock."""
        return self.at(max(fault["end_s"] for fault in self.program["faults"]))

    def at(self, offset_s: float) -> float:
        """Wall clock so many seconds after the start instant."""
        return self.program["start_wall_ns"] / 1e9 + offset_s

    @property
    def unit(self) -> str:
        """The unit that holds the agent."""
        return unit_name(self.run)

    def kill(self) -> None:
        """SIGKILL to the agent and all its helpers, if it still lives."""
        self.lab.on(self.node, f"systemctl kill --signal=SIGKILL {self.unit}", check=False)

    def traces(self) -> list[str]:
        """What the node says is active on it right now."""
        return [entry["trace"] for entry in json.loads(self.lab.on(self.node, f"python3 {AGENT} active"))]

    def wait_for(self, offset_s: float) -> None:
        """Wait until so many seconds after the start instant."""
        time.sleep(max(self.at(offset_s) - time.time(), 0))

    def ledger(self, event: str | None = None) -> list[dict[str, Any]]:
        """What the agent has written, of one event or all."""
        text = self.lab.on(self.node, f"cat {run_dir(self.run)}/ledger.jsonl", check=False)
        entries = [json.loads(line) for line in text.splitlines()]
        return [entry for entry in entries if event is None or entry["event"] == event]

    def finish(self, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until the unit is gone; returns the whole ledger."""
        self.wait_for(self.end_s - self.program["start_wall_ns"] / 1e9)
        wait_until(
            lambda: "inactive" in self.lab.on(self.node, f"systemctl is-active {self.unit}", check=False),
            timeout_s,
            f"{self.unit} ended",
        )
        return self.ledger()


def stage(lab: Lab, node: str, faults: list[dict[str, Any]], ahead_s: float = 3.0) -> Staged:
    """Arm a node with faults (`type`, `start_s`, `end_s`, `node`, and `id` where there are several)."""
    run = f"test-{time.time_ns()}"
    for number, fault in enumerate(faults, 1):
        fault.setdefault("id", f"{fault['type']}-{number}")
        fault.setdefault("for_s", fault["end_s"] - fault["start_s"])
    enrolment = json.loads(lab.on(node, "cat /etc/foundation-testbed/enrolment.json"))
    program = {
        "run": run,
        "testbed_id": enrolment["testbed_id"],
        "node": node,
        "systems": [],
        "load": [],
        "start_wall_ns": math.ceil(time.time() + ahead_s) * 10**9,
        "duration_s": max(fault["end_s"] for fault in faults),
        "faults": faults,
    }
    put(lab, node, f"{run_dir(run)}/program.json", json.dumps(program).encode())
    command = " ".join(f"'{part}'" for part in unit_command(program))
    lab.on(node, f"{command} && until test -e {run_dir(run)}/armed.json; do sleep 0.05; done")
    return Staged(lab, node, run, program)


def main(inventory: str, node: str, kind: str, for_s: str, program: str) -> int:
    """Try one fault by hand."""
    lab = Lab(Path(inventory), ROOT / "runs")
    install_agent(lab, node)
    before = state_of(lab, node)
    fault = {"type": kind, "start_s": 1, "end_s": 1 + float(for_s), "node": json.loads(program)}
    for entry in stage(lab, node, [fault]).finish():
        print(json.dumps({key: value for key, value in entry.items() if key not in ("mono_ns", "wall_ns")}))
    left = differences(before, state_of(lab, node))
    print("\n".join(left) or "the node is as it was")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
