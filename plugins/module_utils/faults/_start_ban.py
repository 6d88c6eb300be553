# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drop-ins that forbid units to start for as long as a fault's marker is there; a boot leaves none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent import service_units

DROP_INS = Path("/run/systemd/system")
PREFIX = "foundation-testbed-"


def drop_in_text(marker: Path) -> str:
    """Return the drop-in that keeps a unit from being started while a marker is there."""
    return f"[Unit]\nConditionPathExists=!{marker}\n"


def ban(name: str, units: Iterable[str], marker: Path) -> None:
    """Forbid the start of units; systemd takes some 200 ms to read that."""
    for unit in units:
        path = _path(name, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drop_in_text(marker), encoding="utf-8")
    service_units.systemctl("daemon-reload")


def is_banned(name: str, units: Iterable[str]) -> bool:
    """Whether a fault forbids all of these to start."""
    return all(_path(name, unit).exists() for unit in units)


def drop_ins(name: str = "*") -> list[Path]:
    """Return the drop-ins of a fault, or of all."""
    return sorted(DROP_INS.glob(f"*.service.d/{PREFIX}{name}.conf"))


def units_by_name() -> dict[str, list[str]]:
    """Which units each fault forbids to start, by its name."""
    found: dict[str, list[str]] = {}
    for path in drop_ins():
        found.setdefault(path.stem[len(PREFIX) :], []).append(path.parent.name[: -len(".d")])
    return found


def lift(name: str) -> None:
    """Allow what a fault forbids; does nothing where it forbids nothing."""
    found = drop_ins(name)
    for path in found:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    if found:
        service_units.systemctl("daemon-reload")


def _path(name: str, unit: str) -> Path:
    return DROP_INS / f"{unit}.d" / f"{PREFIX}{name}.conf"
