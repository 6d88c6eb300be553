# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's command line: `agent.pyz run DIR | load DIR GENERATOR | revert RUN | heal [--check] |
preflight SYSTEMS FAULTS | health SYSTEM`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent import heal, preflight, runner, system
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load


def load(folder: str, generator: str) -> int:
    """Run one load generator of the program staged in `folder`."""
    program = json.loads((Path(folder) / "program.json").read_text(encoding="utf-8"))
    wanted = next(part for part in program["load"] if part["generator"] == generator)
    return run_load(wanted, program["start_wall_ns"], folder, adapter=system.client_module(wanted["system"]))


def main(arguments: list[str]) -> int:
    """Do what the first argument says; returns the exit status."""
    verb, *rest = arguments
    if verb == "run":
        return runner.main(*rest)
    if verb == "load":
        return load(*rest)
    if verb == "revert":
        UndoJournal().revert(*rest)
        return 0
    if verb == "heal":
        print(json.dumps(heal.to_heal() if rest == ["--check"] else heal.heal()))
        return 0
    if verb == "preflight":
        print(json.dumps(preflight.preflight(*(json.loads(argument) for argument in rest))))
        return 0
    if verb == "health":
        print(json.dumps(system.status(*rest)))
        return 0
    print(f"unknown verb {verb!r}; allowed: run, load, revert, heal, preflight, health", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
