# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of a fault on one node: check, apply, prove it holds, revert, prove it is gone, record.

What a kind of fault has to offer for that is `agent/fault.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any, Callable, Optional, TypeVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent import states
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    fault_class,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import watch_edge
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal

# Seconds before an edge at which dense probing begins, and after it at which it gives up.
EDGE_BEFORE_S, EDGE_AFTER_S = 0.1, 1.0
# Seconds before the start at which a node is asked whether it can: only the act is left for the start.
CHECK_AHEAD_S = 1.0
# While the effect is to hold, an entry in the ledger sums up some observations. However seldom the plan looks
# at its nodes, an entry is due every 2 s: a fault that shows nothing for 4 s counts as not held.
OBSERVATIONS_PER_ENTRY, LONGEST_ENTRY_S = 4, 2.0
# How often a fault that has gone wrong is taken back until that works, and the seconds in between.
TRIES, TRY_AGAIN_S = 3, 1.0

Answer = TypeVar("Answer")


def observe_every_s(sample_every_s: float) -> float:
    """Return the seconds between two observations, in a plan that looks at its nodes so often."""
    return min(sample_every_s, LONGEST_ENTRY_S) / OBSERVATIONS_PER_ENTRY


def observation_times(start_s: float, end_s: float, every_s: float) -> list[float]:
    """Instants at which to observe: clear of both edges, where the outcome is open."""
    count = int((end_s - EDGE_BEFORE_S - start_s) / every_s)
    times = [start_s + every_s * i for i in range(1, count + 1)]
    return [at_s for at_s in times if at_s < end_s - EDGE_BEFORE_S]


async def in_thread(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Await a blocking call without keeping other faults waiting."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class FaultRun:
    """One fault of the plan, on this node. `program` is its entry in what was staged (docs/records.md)."""

    def __init__(
        self,
        run: str,
        program: dict[str, Any],
        clock: RunClock,
        ledger: Ledger,
        journal: UndoJournal,
        sample_every_s: float = 1.0,
    ):
        self.run_id, self.program, self.clock = run, program, clock
        self.journal = journal
        self.observe_every_s = observe_every_s(sample_every_s)
        self.fault_id, self.kind = program["id"], program["type"]
        self.start_s, self.end_s = float(program["start_s"]), float(program["end_s"])
        self.write = functools.partial(ledger.write, fault=self.fault_id, kind=self.kind)

    async def live(self) -> None:
        """Go through all steps; whatever goes wrong is in the ledger, and the fault is taken back."""
        try:
            await self._live()
        except Exception as error:
            self.write("error", message=f"{type(error).__name__}: {error}")
            await self._take_back()

    async def _take_back(self) -> None:
        """Take back what is left of it; what stays all the same is for the end of the agent's unit."""
        for _ in range(TRIES):
            try:
                await in_thread(self.journal.revert_one, self.run_id, self.fault_id)
                return
            except Exception as error:
                self.write("error", message=f"not taken back: {type(error).__name__}: {error}")
                await asyncio.sleep(TRY_AGAIN_S)

    def cut_short(self) -> None:
        """Write down that a boot of the node ended the fault, and whether anything is left of it."""
        self.write("interrupted", traces=self._fault().traces())

    async def _live(self) -> None:
        fault = self._fault()
        await self.clock.until(self.start_s - max(fault.lead_s, CHECK_AHEAD_S))
        reasons = await in_thread(fault.capable, self.program["node"])
        kinds: dict[str, Any] = {
            "feels": fault.feels,
            "lapses": fault.lapses,
            "evidence_kind": fault.evidence_kind,
        }
        self.write("check", able=not reasons, reasons=reasons, **kinds)
        if "when" in self.program:  # asked before, so that the act comes right after the state
            if not await self._begin_on_state():
                return
            fault = self._fault()  # its times are known only now
        if reasons or ("where" in self.program and not await self._concerned()):
            return
        await in_thread(self._journal, fault)
        if fault.lead_s > 0:
            await in_thread(fault.apply)
            self._say_loaded()
            await self._edge(fault, "apply", self.start_s, wanted=True)
        else:
            await self.clock.until(self.start_s)
            await self._act("apply", fault.apply)
            self._say_loaded()
        ended_early = await self._hold(fault)
        await self._end(fault, by_itself=fault.lapses and not ended_early)

    def _fault(self) -> Fault:
        return fault_class(self.kind)(
            Context(
                self.run_id,
                self.fault_id,
                self.program["node"],
                self.clock.wall_ns(self.start_s),
                self.clock.wall_ns(self.end_s),
                scheduled=not {"when", "where", "at_once"} & set(self.program),
                observe_every_s=self.observe_every_s,
            )
        )

    async def _begin_on_state(self) -> bool:
        """Wait for the state that begins the fault; from then on its times are the node's own."""
        condition = self.program["when"]
        await self.clock.until(self.start_s)
        deadline_s = self.start_s + condition["within_s"]
        answer = await states.reached(condition, self.clock, deadline_s)
        if answer is None:
            self.write(
                "idle", reason=f"its system did not reach the state within {condition['within_s']:g} s"
            )
            return False
        self.start_s = self.clock.now_s()
        self.end_s = self.start_s + self.program["for_s"]
        self.write("when", condition=condition, answer=answer)
        return True

    async def _concerned(self) -> bool:
        """Ask at the start instant whether this node is one of those that the fault is about."""
        await self.clock.until(self.start_s)
        condition = self.program["where"]
        answer = await states.ask(condition["system"])
        if states.holds(condition, answer, {}):
            self.write("where", condition=condition, answer=answer)
            return True
        self.write("idle", reason=f"its {condition['state']} was {answer.get(condition['state'])!r}")
        return False

    def _journal(self, fault: Fault) -> None:
        self.journal.add(
            self.run_id, self.fault_id, self.kind, fault.undo(), until_wall_ns=self.clock.wall_ns(self.end_s)
        )

    def _say_loaded(self) -> None:
        self.write(
            "load",
            start_wall_ns=self.clock.wall_ns(self.start_s),
            end_wall_ns=self.clock.wall_ns(self.end_s),
        )

    async def _act(self, event: str, act: Callable[..., None], *arguments: Any) -> None:
        """Do it now; it took effect within the call, by the run's own clock: it may move the wall clock."""
        began_s = self.clock.now_s()
        await in_thread(act, *arguments)
        ended_s = self.clock.now_s()
        self.write(
            event, felt_ns=self.clock.wall_ns(ended_s), resolution_ms=round((ended_s - began_s) * 1e3, 3)
        )

    async def _edge(self, fault: Fault, event: str, at_s: float, wanted: bool) -> None:
        """Feel how an effect that the kernel begins or ends comes or goes."""
        await self.clock.until(at_s - EDGE_BEFORE_S if fault.feels else at_s)
        if not fault.feels:
            return
        edge = await in_thread(
            watch_edge,
            fault.felt,
            wanted,
            self.clock.wall_ns(at_s),
            self.clock.wall_ns(at_s + EDGE_AFTER_S),
        )
        if edge is not None:
            self.write(event, felt_ns=edge.felt_ns, resolution_ms=edge.resolution_ms)

    async def _hold(self, fault: Fault) -> bool:
        """Observe while the effect is to hold; returns whether a state of the system ended it early."""
        ending: Optional[asyncio.Task[Any]] = None
        if "until" in self.program:
            condition = self.program["until"]
            ending = asyncio.ensure_future(states.reached(condition, self.clock, self.end_s))
        times = observation_times(self.start_s, self.end_s, self.observe_every_s)
        entry_s = self.observe_every_s * OBSERVATIONS_PER_ENTRY
        try:
            told_s = seen_s = self.start_s
            for at_s in times:
                # A slow node looks less often: looking without a pause would leave nothing to its system.
                if at_s < self.clock.now_s():
                    continue
                if await self._ends_before(at_s, ending):
                    break
                await in_thread(fault.observe)
                seen_s = at_s
                if seen_s - told_s >= entry_s:
                    self.write("evidence", **await in_thread(fault.evidence))
                    told_s = seen_s
            else:
                if seen_s > told_s and self.clock.now_s() < self.end_s - EDGE_BEFORE_S:
                    self.write("evidence", **await in_thread(fault.evidence))
            return await self._ends_before(self.end_s - EDGE_BEFORE_S, ending)
        finally:
            if ending is not None:
                ending.cancel()

    async def _ends_before(self, at_s: float, ending: Optional[asyncio.Task[Any]]) -> bool:
        if ending is None:
            await self.clock.until(at_s)
            return False
        if not ending.done():
            with contextlib.suppress(asyncio.TimeoutError):
                left_s = max(0.0, at_s - self.clock.now_s())
                await asyncio.wait_for(asyncio.shield(ending), timeout=left_s)
        answer = ending.result() if ending.done() else None
        if answer is None:
            return False
        if self.end_s > self.clock.now_s():
            self.end_s = self.clock.now_s()
            self.write("until", condition=self.program["until"], answer=answer)
        return True

    async def _end(self, fault: Fault, by_itself: bool) -> None:
        """End the effect, or feel how it ends by itself; then prove that nothing is left and all is well."""
        if by_itself:
            await self._edge(fault, "revert", self.end_s, wanted=False)
        else:
            await self.clock.until(self.end_s)
        last = await in_thread(fault.evidence)
        if by_itself:
            await in_thread(fault.revert, fault.undo())
        else:
            self.write("evidence", **last)
            await self._act("revert", fault.revert, fault.undo())
        self.journal.remove(self.run_id, self.fault_id)
        self.write("gone", traces=await in_thread(fault.traces), probe_passed=await fault.recovered())
        self.write("record", **last)
