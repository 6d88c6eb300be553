# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The six steps of a fault on one node: check, apply, prove it holds, revert, prove it is gone, record.

A kind of fault is one file in `module_utils/faults` whose `FAULT` is a class with these members:

* `lead_s`: seconds before its start at which it has to be applied (0 when applying is the effect),
* `FAULT(run, fault_id, program, start_wall_ns, end_wall_ns, prober)`,
* `check() -> list[str]`: reasons why this node cannot do it, empty when it can,
* `undo() -> dict`: what the module's `revert(undo)` needs; written to the journal before `apply()`,
* `apply()`,
* `feels`: whether this node can feel the effect, and `felt() -> bool`: whether it does right now,
* `observe()`: probe once while the effect is to hold, and keep count,
* `evidence() -> dict`: the counts, and whether the effect is still in place,
* `traces() -> list[str]`: what is left on this node, and `async recovered() -> bool`: whether all is well.

The module's own functions are `capable()` (reasons why this node can do no fault of this kind),
`revert(undo)`, idempotent, `leftovers()`, every trace of this kind whoever made it, and `sweep()`, which
removes those.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import Prober, watch_edge
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal, fault_module

# Seconds before an edge at which dense probing begins, and after it at which it gives up.
EDGE_BEFORE_S, EDGE_AFTER_S = 0.1, 1.0
# Seconds between two observations while the effect is to hold, and how many make one entry in the ledger.
OBSERVE_EVERY_S, OBSERVATIONS_PER_ENTRY = 0.25, 4


def observation_times(start_s: float, end_s: float) -> list[float]:
    """Instants at which to observe: clear of both edges, where the outcome is open."""
    count = int((end_s - EDGE_BEFORE_S - start_s) / OBSERVE_EVERY_S)
    times = [start_s + OBSERVE_EVERY_S * i for i in range(1, count + 1)]
    return [at_s for at_s in times if at_s < end_s - EDGE_BEFORE_S]


class FaultRun:
    """One fault of the plan, on this node."""

    def __init__(
        self,
        run: str,
        program: dict[str, Any],
        clock: RunClock,
        ledger: Ledger,
        journal: UndoJournal,
        prober: Prober,
    ):
        self.run_id, self.clock, self.journal = run, clock, journal
        self.fault_id, self.kind = program["id"], program["type"]
        self.start_s, self.end_s = float(program["start_s"]), float(program["end_s"])
        self.write = functools.partial(ledger.write, fault=self.fault_id, kind=self.kind)
        self.module = fault_module(self.kind)
        self.fault = self.module.FAULT(
            run,
            self.fault_id,
            program["node"],
            clock.wall_ns(self.start_s),
            clock.wall_ns(self.end_s),
            prober,
        )

    async def live(self) -> None:
        """Go through all six steps; whatever goes wrong is in the ledger, and the fault is taken back."""
        try:
            await self.clock.until(self.start_s - self.fault.lead_s)
            reasons = self.fault.check()
            self.write("check", able=not reasons, reasons=reasons)
            if reasons:
                return
            self.journal.add(self.run_id, self.fault_id, self.kind, self.fault.undo())
            self.fault.apply()
            self.write(
                "load",
                start_wall_ns=self.clock.wall_ns(self.start_s),
                end_wall_ns=self.clock.wall_ns(self.end_s),
            )
            await self._prove()
            await self._take_back()
        except Exception as error:
            self.write("error", message=f"{type(error).__name__}: {error}")
            self.journal.revert_one(self.run_id, self.fault_id)

    async def _prove(self) -> None:
        """Feel the beginning, observe while it holds, feel the end."""
        await self._edge("apply", self.start_s, wanted=True)
        for count, at_s in enumerate(observation_times(self.start_s, self.end_s), 1):
            await self.clock.until(at_s)
            self.fault.observe()
            if count % OBSERVATIONS_PER_ENTRY == 0:
                self.write("evidence", **self.fault.evidence())
        await self._edge("revert", self.end_s, wanted=False)

    async def _edge(self, event: str, at_s: float, wanted: bool) -> None:
        await self.clock.until(at_s - EDGE_BEFORE_S if self.fault.feels else at_s)
        if not self.fault.feels:
            return
        edge = await asyncio.get_running_loop().run_in_executor(
            None,
            watch_edge,
            self.fault.felt,
            wanted,
            self.clock.wall_ns(at_s),
            self.clock.wall_ns(at_s + EDGE_AFTER_S),
        )
        if edge is not None:
            self.write(event, felt_ns=edge.felt_ns, resolution_ms=edge.resolution_ms)

    async def _take_back(self) -> None:
        """Remove the fault, then prove that nothing is left of it and that all is well again."""
        last = self.fault.evidence()
        self.module.revert(self.fault.undo())
        self.journal.remove(self.run_id, self.fault_id)
        self.write("gone", traces=self.fault.traces(), probe_passed=await self.fault.recovered())
        self.write("record", packets=last["packets"], probes=last["probes"])
