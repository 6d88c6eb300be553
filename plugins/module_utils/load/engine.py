# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The open loop: each operation goes out at its intended time, whatever became of the ones before."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import (
    Group,
    Numbers,
    Outcome,
    Slot,
)
from ansible_collections.foundation.testbed.plugins.module_utils.load.pacing import make_alarm
from ansible_collections.foundation.testbed.plugins.module_utils.load.recorder import Recorder, Tally
from ansible_collections.foundation.testbed.plugins.module_utils.load.schedule import NS, Op

GRACE_S = 1.0
"""How long after its own time-out a client may still answer before its operation is given up."""
TYPES = frozenset({"ok", "fail", "info"})


class Flight:
    """One operation between invocation and completion."""

    def __init__(self, op: Op, slot: Slot, f: str, value: Any, phase: str, sent_ns: int) -> None:
        self.op, self.slot, self.f, self.value, self.phase, self.sent_ns = op, slot, f, value, phase, sent_ns
        self.task: Optional[asyncio.Task[Outcome]] = None
        self.expired = False

    @property
    def head(self) -> tuple[int, int, str, str]:
        """Return the operation as the recorder wants it."""
        return self.op.number, self.op.intended_ns, self.op.client, self.op.key


class Engine:
    """Sends a schedule through client groups and records what came back.

    At most `max_in_flight` operations are open at once; more wait in line, and one that has waited longer
    than the operation time-out is a `drop`. A cap of `rate x time-out` or more never binds.
    """

    def __init__(
        self,
        program: dict[str, Any],
        module: ModuleType,
        workload: Any,
        recorder: Recorder,
        start_mono_ns: int,
    ) -> None:
        self.program, self.workload, self.recorder = program, workload, recorder
        self.timeout_ns = int(program["operation_timeout_s"] * NS)
        self.tally, self.flights = Tally(), {}  # type: Tally, dict[int, Flight]
        self.groups: dict[str, Group] = {}
        self.namespace = program.get("namespace", "")
        self._module, self._numbers, self._start_mono_ns = module, Numbers(program), start_mono_ns
        self._backlog: deque[Op] = deque()
        self._next: Optional[Op] = None
        self._flush_due = False
        self._idle = asyncio.Event()
        for spec in program["clients"]:
            self.add_group(spec)

    def add_group(self, spec: dict[str, Any]) -> Group:
        """Make the clients of one group."""
        group = Group(self._module, spec, self.program["operation_timeout_s"], self._numbers)
        self.groups[group.name] = group
        return group

    def now_ns(self) -> int:
        """Return the time since the start instant."""
        return time.monotonic_ns() - self._start_mono_ns

    async def run(self, schedule: Iterator[Op]) -> None:
        """Send the whole schedule; return when it has been sent and every operation has ended."""
        self._schedule, self._next = schedule, next(schedule, None)
        self._alarm = make_alarm(asyncio.get_running_loop(), self._tick)
        try:
            self._arm()
            if self._next is not None:
                await self._idle.wait()
        finally:
            self._alarm.close()

    def _arm(self) -> None:
        if self._next is not None:
            self._alarm.set(self._start_mono_ns + self._next.intended_ns)

    def _tick(self) -> None:
        """Move everything that is due into the line, and the line onto the wire."""
        now_ns = self.now_ns()
        while self._next is not None and self._next.intended_ns <= now_ns:
            self._backlog.append(self._next)
            self._next = next(self._schedule, None)
        self._pump()
        self._arm()

    def _pump(self) -> None:
        ready = []
        while self._backlog:
            late_ns = self.now_ns() - self._backlog[0].intended_ns
            if late_ns > self.timeout_ns:
                self._drop(self._backlog.popleft())
            elif len(self.flights) >= self.program["max_in_flight"]:
                break
            else:
                ready.append(self._begin_main(self._backlog.popleft()))
        self.recorder.flush()  # in the kernel before the tasks below run
        for flight in ready:
            flight.task = asyncio.ensure_future(self.execute(flight))
        if self._next is None and not self._backlog and not self.flights:
            self._idle.set()

    def _drop(self, op: Op) -> None:
        self.tally.dropped += 1
        head = (op.number, op.intended_ns, op.client, op.key)
        self.recorder.line("drop", head, None, op.f, None, self.now_ns(), None, "late", "main")

    def _begin_main(self, op: Op) -> Flight:
        f, value = self.workload.prepare(op.number, op.f, op.key, op.client)
        flight = self.begin(op, self.groups[op.client].take(), f, value, "main")
        self.tally.send(flight.sent_ns - op.intended_ns)
        self.tally.ask(getattr(flight.slot.client, "node", None))
        return flight

    def begin(self, op: Op, slot: Slot, f: str, value: Any, phase: str) -> Flight:
        """Record an invocation; it must be flushed before `execute`."""
        flight = Flight(op, slot, f, value, phase, self.now_ns())
        self.flights[op.number] = flight
        node = getattr(slot.client, "node", None)
        self.recorder.line("invoke", flight.head, slot.process, f, value, flight.sent_ns, node, None, phase)
        return flight

    async def execute(self, flight: Flight) -> Outcome:
        """Ask the system and record its answer; cancelled by others than `expire`, leave it open."""
        try:
            done = await flight.slot.client.invoke(flight.f, self.namespace + flight.op.key, flight.value)
            outcome = Outcome(done.type, done.value, done.error, done.node)
            if outcome.type not in TYPES:
                outcome = self._unanswered(flight, f"bad-completion-{outcome.type}")
        except asyncio.CancelledError:
            if not flight.expired:
                raise
            outcome = self._unanswered(flight, "timeout")
        except (asyncio.TimeoutError, TimeoutError):
            outcome = self._unanswered(flight, "timeout")
        except Exception as error:
            outcome = self._unanswered(flight, type(error).__name__)
        if self.flights.get(flight.op.number) is flight:
            self._complete(flight, outcome)
        return outcome

    def _unanswered(self, flight: Flight, error: str) -> Outcome:
        """Without an answer only an operation that changes nothing has certainly failed."""
        kind = "fail" if flight.f in self.workload.read_only else "info"
        return Outcome(kind, flight.value, error, getattr(flight.slot.client, "node", None))

    def _complete(self, flight: Flight, outcome: Outcome) -> None:
        kind, slot = outcome.type, flight.slot
        now_ns, error = self.now_ns(), outcome.error
        told = flight.f in self.workload.tells_value and says_something(kind, error)
        value = outcome.value if told else flight.value
        self.recorder.line(
            kind, flight.head, slot.process, flight.f, value, now_ns, outcome.node, error, flight.phase
        )
        self.workload.observe(flight.f, flight.op.key, value, kind)
        if flight.phase == "main":
            self.tally.complete(kind, error, outcome.node)
        if not flight.expired:  # else the client hangs: its slot is not used again
            slot.group.give(slot, retired=kind == "info")
        del self.flights[flight.op.number]
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._pump()

    def expire(self) -> None:
        """Give up the operations whose client has overrun its own time-out; call it about once a second."""
        limit_ns = self.now_ns() - self.timeout_ns - int(GRACE_S * NS)
        for flight in [f for f in self.flights.values() if f.sent_ns < limit_ns and f.task is not None]:
            if flight.expired:  # it did not even heed the cancellation
                self._complete(flight, self._unanswered(flight, "timeout"))
            flight.expired = True
            flight.task.cancel()  # type: ignore[union-attr]

    def abandon(self) -> None:
        """Stop here: what is in flight stays open in the history."""
        for flight in self.flights.values():
            if flight.task is not None:
                flight.task.cancel()

    async def close(self, timeout_s: float = 2.0) -> None:
        """Close every client, but wait no longer than `timeout_s`."""
        clients = [slot.client for group in self.groups.values() for slot in group.slots]
        closing = [asyncio.ensure_future(client.close()) for client in clients]
        if closing:
            done, late = await asyncio.wait(closing, timeout=timeout_s)
            for task in late:
                task.cancel()
            for task in done:
                task.exception()
