# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""States of the node's own system that a fault waits for: it leads, it lags by so many revisions, and so on.

A condition is `{"state": name}` with one of `is` (equal), `above`, `below` (numbers) or `changed` (true).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import system
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock

# Seconds between two questions to the system.
ASK_EVERY_S = 0.1

Answer = Mapping[str, Any]


def holds(condition: Mapping[str, Any], answer: Answer, first: Answer) -> bool:
    """Whether an answer of the system meets the condition; `first` is its answer at the beginning. Pure.

    A state that the system cannot tell right now (None) meets nothing.
    """
    value, before = answer.get(condition["state"]), first.get(condition["state"])
    if value is None:
        return False
    if "is" in condition:
        return bool(value == condition["is"])
    if "above" in condition:
        return bool(value > condition["above"])
    if "below" in condition:
        return bool(value < condition["below"])
    return before is not None and value != before


async def ask(name: str) -> Answer:
    """Ask the node's own system in a thread; never raises."""
    return await asyncio.get_running_loop().run_in_executor(None, system.status, name)


async def reached(
    condition: Mapping[str, Any],
    clock: RunClock,
    deadline_s: float,
    ask_now: Optional[Callable[[], Any]] = None,
) -> Optional[Answer]:
    """Return the first answer that meets the condition, or None when none did by `deadline_s`."""
    first: Optional[Answer] = None
    while True:
        answer = await (ask(condition["system"]) if ask_now is None else ask_now())
        # A system that does not answer says nothing to compare later answers with.
        first = answer if first is None and answer.get(condition["state"]) is not None else first
        if holds(condition, answer, first or {}):
            return dict(answer)
        if clock.now_s() >= deadline_s:
            return None
        await clock.until(min(deadline_s, clock.now_s() + ASK_EVERY_S))
