# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes that faults keep stopped: whose they are, and who lets them go on."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes
from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import Process

Key = tuple[int, int]
"""A process: its number and when it began."""


def targets_of(undo: Mapping[str, Any]) -> list[Process]:
    """Return the processes that a fault is about, out of its undo record."""
    if undo["pattern"] is not None:
        return processes.matching(undo["pattern"])
    return processes.of_units(undo["units"])


def stopped(found: Iterable[Process]) -> set[Key]:
    """Return those that are stopped."""
    return {process.key for process in found if process.stopped}


def stopped_by(faults: Iterable[Mapping[str, Any]]) -> set[Key]:
    """Processes that faults keep stopped: what was stopped before a fault is not its own."""
    keys: set[Key] = set()
    for undo in faults:
        if undo["action"] == "pause":
            keys |= {process.key for process in targets_of(undo)} - _before(undo)
    return keys


def let_go_on(undo: Mapping[str, Any], rest: Iterable[Mapping[str, Any]]) -> None:
    """Continue what is stopped, but for what was stopped before and what another fault stops."""
    spared = _before(undo) | stopped_by(rest)
    for process in targets_of(undo):
        if process.stopped and process.key not in spared:
            processes.send(process, signal.SIGCONT)


def _before(undo: Mapping[str, Any]) -> set[Key]:
    return {(pid, start) for pid, start in undo["stopped_before"]}
