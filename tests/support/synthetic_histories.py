# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Histories of a register that really is linearizable, as our load would record them.

Each client waits, invokes, is served at one instant and is answered. Some calls get no answer: half of
those are never served, the others at any time up to two seconds later.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, replace

from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Shape:
    """What the load of one key looks like; `values` None means that every written value is unique."""

    operations: int = 200
    clients: int = 8
    indeterminate: float = 0.05
    values: int | None = None
    pause_ms: float = 5.0
    latency_ms: float = 10.0


def synthetic_key(key: str, shape: Shape, rng: random.Random) -> list[Operation]:
    """Return the history of one key."""
    return _Register(key, shape, rng).run()


def synthetic_history(keys: int, shape: Shape, seed: int = 1) -> list[Operation]:
    """Return the histories of many keys, one after the other in the list."""
    rng = random.Random(seed)
    return [operation for number in range(keys) for operation in synthetic_key(f"r0-{number}", shape, rng)]


def make_stale(operations: list[Operation], rng: random.Random) -> list[Operation]:
    """Return the history with one late read answered with the value of an early one."""
    reads = [one for one in operations if one.f == "read" and one.outcome == "ok"]
    early, late = reads[len(reads) // 4], rng.choice(reads[len(reads) // 2 :])
    return [replace(one, value=early.value) if one is late else one for one in operations]


class _Register:
    """A simulation of one register and its clients, driven by a queue of invocations and of effects."""

    def __init__(self, key: str, shape: Shape, rng: random.Random) -> None:
        self.key, self.shape, self.rng = key, shape, rng
        self.state: int | None = None
        self.known: dict[int, int | None] = {}
        self.next_value = 0
        self.done: list[Operation] = []
        self.queue: list[tuple[int, int, int, Operation | None]] = []
        self.number = 0

    def run(self) -> list[Operation]:
        """Simulate until enough operations were invoked and all were served."""
        for client in range(self.shape.clients):
            self._push(self._delay(self.shape.pause_ms), client, None)
        invoked = 0
        while self.queue:
            now, _, client, operation = heapq.heappop(self.queue)
            if operation is not None:
                self._serve(client, operation)
            elif invoked < self.shape.operations:
                self._invoke(now, client, invoked)
                invoked += 1
        return sorted(self.done, key=lambda one: one.invoke_ns)

    def _delay(self, mean_ms: float) -> int:
        return int(self.rng.expovariate(1.0) * mean_ms * MILLISECOND) + 1

    def _push(self, when: int, client: int, operation: Operation | None) -> None:
        self.number += 1
        heapq.heappush(self.queue, (when, self.number, client, operation))

    def _value(self) -> int:
        self.next_value += 1
        return self.next_value if self.shape.values is None else self.rng.randrange(self.shape.values)

    def _invoke(self, now: int, client: int, number: int) -> None:
        f = self.rng.choices(("read", "write", "cas"), (0.5, 0.3, 0.2))[0]
        values = {"read": None, "write": self._value(), "cas": (self.known.get(client), self._value())}
        served = now + self._delay(self.shape.latency_ms / 2)
        answered = served + self._delay(self.shape.latency_ms / 2)
        operation = Operation(
            "observer1-0", number, client, "failover", f, self.key, values[f], now, answered, now,
            f"n{client % 5 + 1}", "ok", None, "main",
        )  # fmt: skip
        if self.rng.random() < self.shape.indeterminate:
            operation = replace(operation, outcome="info", error="timeout", complete_ns=None)
            self._lose(now, client, operation)
        else:
            self._push(served, client, operation)
        self._push(answered + self._delay(self.shape.pause_ms), client, None)

    def _lose(self, now: int, client: int, operation: Operation) -> None:
        if self.rng.random() < 0.5:
            self.done.append(operation)
        else:
            self._push(now + self.rng.randrange(1, 2_000 * MILLISECOND), client, operation)

    def _serve(self, client: int, operation: Operation) -> None:
        """Let the operation take effect, and note what its client learns."""
        if operation.f == "read":
            operation = replace(operation, value=self.state if operation.outcome == "ok" else None)
            self.known[client] = self.state
        elif operation.f == "write":
            self.state = operation.value
        elif operation.value[0] == self.state:
            self.state = operation.value[1]
        elif operation.outcome == "ok":
            operation = replace(operation, outcome="fail", error="mismatch")
        self.done.append(operation)
