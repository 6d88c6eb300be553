# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which power switch a node has, by its provider; and the file that says so, which root alone reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Record, Switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_baremetal import BareMetalSwitch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_vm import VmSwitch

SWITCHES: dict[str, type[Switch]] = {
    kind.provider: kind for kind in (ContainerSwitch, VmSwitch, BareMetalSwitch)
}
FILE = "switches.json"


def switch_of(lab: LabPaths, name: str, said: Record) -> Switch:
    """Return a node's switch; raises LabError where there is no such node, or no such provider."""
    kind = SWITCHES.get(str(said.get("provider")))
    if kind is None:
        raise LabError(f"{name}: given the provider {said.get('provider')!r}; allowed: {', '.join(SWITCHES)}")
    return kind(lab, name, said)


def staged_switch(lab: LabPaths, folder: Path, name: str) -> Switch:
    """Return a node's switch as a power program's folder says it; raises LabError."""
    try:
        said = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{folder / FILE}: {error}") from None
    if name not in said:
        raise LabError(f"{folder / FILE} names no switch of {name}")
    return switch_of(lab, name, said[name])


def write_switches(folder: Path, said: Mapping[str, Record]) -> None:
    """Write what is known of each node's switch; nobody but the owner may read it at any time."""
    handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(dict(said), file)
        file.flush()
        os.fsync(file.fileno())


def without_password(said: Record) -> tuple[Record, Optional[str]]:
    """Take the password out of what is known of a switch, so that the rest may be shown. Pure."""
    power = dict(said.get("power") or {})
    password = power.pop("password", None)
    return ({**said, "power": power} if "power" in said else dict(said)), password


def with_password(said: Record, password: str) -> Record:
    """Return what is known of a switch with its password, where it expects that. Pure."""
    return {**said, "power": {**said["power"], "password": password}}
