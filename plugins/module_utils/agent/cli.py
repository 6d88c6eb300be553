# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's command line: `agent.pyz VERB ARGUMENTS`; the verbs are in `main`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    heal,
    preflight,
    recover,
    runner,
    system,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_class
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.main import run_monitor


def load(folder: str, generator: str) -> int:
    """Run one load generator of the program staged in `folder`."""
    program = json.loads((Path(folder) / "program.json").read_text(encoding="utf-8"))
    wanted = next(part for part in program["load"] if part["generator"] == generator)
    return run_load(wanted, program["start_wall_ns"], folder, adapter=system.client_module(wanted["system"]))


def monitor(folder: str) -> int:
    """Monitor the run staged in `folder` until told to end."""
    program = json.loads((Path(folder) / "program.json").read_text(encoding="utf-8"))
    return run_monitor(folder, system.client_module(program["monitor"]["system"]))


def revert(run: str, fault: str = "") -> None:
    """Take back one fault of a run, or all that its agent left."""
    if fault:
        UndoJournal().revert_one(run, fault)
    else:
        recover.revert_run(run)


def say(answer: Any) -> None:
    """Print an answer for the module that asked."""
    print(json.dumps(answer))


VERBS: dict[str, Callable[..., Any]] = {
    "run": runner.main,
    "resume": lambda folder: runner.main(folder, resumed=True),
    "load": load,
    "monitor": monitor,
    "revert": revert,
    "recover": recover.recover,
    "heal": lambda: say(heal.heal()),
    "to-heal": lambda: say(heal.to_heal()),
    "active": lambda: say(heal.active()),
    "preflight": lambda *texts: say(preflight.preflight(*map(json.loads, texts))),
    "capable": lambda kind, program: say(fault_class(kind).capable(json.loads(program))),
    "health": lambda name: say(system.status(name)),
}


def main(arguments: list[str]) -> int:
    """Do what the first argument says; returns the exit status."""
    verb, *rest = arguments or [""]
    if verb not in VERBS:
        print(f"unknown verb {verb!r}; allowed: {', '.join(VERBS)}", file=sys.stderr)
        return 2
    return VERBS[verb](*rest) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
