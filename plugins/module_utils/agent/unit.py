# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd unit that holds the agent of a run: whatever ends the agent, it takes back what was applied."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import (
    AGENT,
    run_dir,
    unit_name,
)

# A unit that outlives its plan by more than this is ended, and takes back what it applied.
SLACK_S = 120
# Seconds for taking everything back, large files among it; the agent itself ends far sooner.
TAKE_BACK_S = 300


def plan_end_s(program: dict[str, Any]) -> float:
    """Seconds from the start instant to the last thing that a host does in a run."""
    final_read_s = max([part["final_read_timeout_s"] for part in program["load"]], default=0.0)
    ends = [fault["end_s"] for fault in program["faults"]]
    return float(max([program["duration_s"] + final_read_s, *ends]))


def unit_command(program: dict[str, Any], resumed: bool = False) -> list[str]:
    """Return the command that starts the agent of a run in a unit of its own."""
    run = program["run"]
    agent = f"/usr/bin/python3 {AGENT}"
    lifetime_s = program["start_wall_ns"] / 1e9 - time.time() + plan_end_s(program) + SLACK_S
    properties = {
        "ExecStopPost": f"{agent} revert {run}",
        "KillMode": "control-group",
        "Nice": "-10",
        "OOMPolicy": "continue",
        "RuntimeMaxSec": str(int(lifetime_s)),
        "TasksMax": "infinity",
        "TimeoutStopSec": str(TAKE_BACK_S),
        "WorkingDirectory": str(run_dir(run)),
    }
    return [
        "systemd-run",
        "--quiet",
        f"--unit={unit_name(run)}",
        "--collect",
        *(["--no-block"] if resumed else []),
        *(f"--property={name}={value}" for name, value in properties.items()),
        *agent.split(),
        "resume" if resumed else "run",
        str(run_dir(run)),
    ]
