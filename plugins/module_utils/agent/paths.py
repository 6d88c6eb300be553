# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the testbed keeps its things on a node."""

from __future__ import annotations

from pathlib import Path

ENROLMENT = Path("/etc/foundation-testbed/enrolment.json")
AGENT = Path("/usr/local/lib/foundation-testbed/agent.pyz")
STATE = Path("/var/lib/foundation-testbed")
RUNS = STATE / "runs"
UNDO = STATE / "undo"
# What a scenario told the role of the system that stands, by names of its variables.
ROLE_VARIABLES = STATE / "role_variables.json"
VOLATILE_UNDO = Path("/run/foundation-testbed/undo")

# Ports of the testbed's own, beside which a host's own exporter and Prometheus can live.
EXPORTER_PORT = 19100
ROUTER_PORT = 19101
PROMETHEUS_PORT = 19090

UNIT_PREFIX = "foundation-testbed-run-"


def run_dir(run: str) -> Path:
    """Folder of one run on this node."""
    return RUNS / run


def unit_name(run: str) -> str:
    """Systemd unit that holds the agent of one run."""
    return f"{UNIT_PREFIX}{run}.service"
