# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a fault of processes may be told: units, patterns over command lines, and intervals."""

from __future__ import annotations

import re

from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import PROTECTED_UNITS
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import parse_duration, shown

SHORTEST_INTERVAL_S = 0.1


def unit(value: object) -> str:
    """Return the full name of a service that a fault may touch; raises ValueError."""
    name = value if isinstance(value, str) else ""
    name = name if "." in name else f"{name}.service"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.service", name):
        raise ValueError(
            f"given {shown(value)}; allowed: the name of a systemd service, such as etcd.service"
        )
    if PROTECTED_UNITS.fullmatch(name):
        raise ValueError(
            f"given {shown(value)}; allowed: any service but ssh, dbus, systemd-* and the testbed's own, "
            "without which nobody could take the fault back"
        )
    return name


def pattern(value: object) -> str:
    """Return a regular expression; raises ValueError."""
    allowed = "a regular expression that is found in a command line"
    if not isinstance(value, str) or not value:
        raise ValueError(f"given {shown(value)}; allowed: {allowed}")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"given {shown(value)} ({error}); allowed: {allowed}") from None
    return value


def interval(value: object) -> float:
    """Return the seconds between two kills; raises ValueError."""
    seconds = parse_duration(value)
    if seconds < SHORTEST_INTERVAL_S:
        raise ValueError(f"given {shown(value)}; allowed: {SHORTEST_INTERVAL_S:g}s or more")
    return seconds
