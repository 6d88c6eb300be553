# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that turn inventory variables into module options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.enrolment_plan import enrolment_plan


def lab_nodes(names: Iterable[str], hostvars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One mapping for each host: name, address, packages and limits, as the container modules take them."""
    return [
        {
            "name": name,
            "address": hostvars[name]["testbed_address"],
            "packages": hostvars[name]["testbed_packages"],
            "memory_bytes": hostvars[name]["testbed_memory_bytes"],
            "cpus": hostvars[name]["testbed_cpus"],
            "pids": hostvars[name]["testbed_pids"],
            "cpu_weight": hostvars[name].get("testbed_cpu_weight"),
            "disk_bytes": hostvars[name].get("testbed_disk_bytes"),
        }
        for name in names
    ]


def answers(names: Iterable[str], hostvars: Mapping[str, Any], variable: str) -> dict[str, Any]:
    """A registered variable of each host, by name; empty for a host that has none."""
    return {name: dict(hostvars[name].get(variable) or {}) for name in names}


def failures(result: Mapping[str, Any]) -> str:
    """What went wrong with a task in one line; of a loop, each item that failed with its own words."""
    failed = [one for one in result.get("results") or () if one.get("failed")]
    if not failed:
        return str(result.get("msg", "it failed"))
    return "; ".join(f"{one.get('item')}: {one.get('msg', 'it failed')}" for one in failed)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            "lab_nodes": lab_nodes,
            "answers": answers,
            "failures": failures,
            "enrolment_plan": enrolment_plan,
        }
