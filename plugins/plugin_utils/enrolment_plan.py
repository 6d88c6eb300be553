# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What enrolling would do to hosts that belong to somebody, as a person reads it before saying yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What every host gets beside packages; `units` and `files` of systems come with their own deployment.
ON_EVERY_HOST = (
    "/etc/foundation-testbed/enrolment.json: the mark that it is a host of this testbed",
    "/usr/local/lib/foundation-testbed/agent.pyz: the agent, which does nothing until a run is staged",
    "/var/lib/foundation-testbed/: records of runs, and of what was here before (before/)",
    "foundation-testbed-recover.service: takes faults back at boot",
    "foundation-testbed-exporter.service: figures of the host, port 19100",
)
ON_FIRST_OBSERVER = "foundation-testbed-prometheus.service: keeps the figures, port 19090"


def enrolment_plan(plans: Mapping[str, Mapping[str, Any]], testbed_id: str) -> str:
    """Return what would be installed where, empty where nothing is to be done. Pure."""
    changes = {name: plan for name, plan in plans.items() if plan and not plan.get("enrolled")}
    if not changes:
        return ""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, plan in changes.items():
        groups.setdefault(tuple(plan.get("packages") or ()), []).append(name)
    lines = [f"The testbed {testbed_id} is going to install on {', '.join(changes)}:"]
    for packages, names in groups.items():
        lines += ["", f"  {', '.join(names)}: {len(packages)} Debian packages", *_wrapped(packages)]
    lines += ["", "  on every one of them:", *(f"    {line}" for line in ON_EVERY_HOST)]
    lines += [f"    {ON_FIRST_OBSERVER} (first observer)"]
    resumed = [name for name, plan in changes.items() if plan.get("resumes")]
    if resumed:
        lines += ["", f"  begun before and to be brought to its end: {', '.join(resumed)}"]
    return "\n".join(
        [
            *lines,
            "",
            "  No service of these packages is started or enabled by that; deploy.yml starts the systems.",
            "  playbooks/release.yml puts every host back as it is now.",
        ]
    )


def _wrapped(words: tuple[str, ...], width: int = 100) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= width:
            lines[-1] += f", {word}"
        else:
            lines.append(f"    {word}")
    return [f"{line}," for line in lines[:-1]] + lines[-1:]
