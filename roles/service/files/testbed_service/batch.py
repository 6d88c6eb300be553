# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many operations in one transaction of etcd: pure functions between operations, a request and its answers.

Each operation becomes one step of the transaction; a step that depends on a comparison is a transaction of
its own inside, whose comparisons see the state before the whole. So no two writes of a batch may touch one
key, and reads come first: a batch then does what its operations would do one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from testbed_service.etcd import encoded

MAX_STEPS = 100
"""Steps of one batch. etcd takes 128 (--max-txn-ops), those inside a step counted with those around it."""


MAX_BYTES = 1_000_000
"""Bytes of the values of one batch. etcd takes 1.5 MiB (--max-request-bytes) with all that is around them."""


class Operation(NamedTuple):
    """One operation on one key: the step of a transaction that does it, whether it writes, and how much."""

    key: str
    step: dict[str, Any]
    writes: bool
    size: int = 0


def get(key: str) -> Operation:
    """Return what a key holds."""
    return Operation(key, {"requestRange": {"key": encoded(key)}}, writes=False)


def put(key: str, value: str, lease: str | None = None) -> dict[str, Any]:
    """Return the request that gives a key a value."""
    said: dict[str, Any] = {"key": encoded(key), "value": encoded(value)}
    if lease is not None:
        said["lease"] = lease
    return {"requestPut": said}


def absent(key: str) -> dict[str, Any]:
    """Return the comparison that holds while there is no such key."""
    return {"key": encoded(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def unchanged(key: str, revision: int) -> dict[str, Any]:
    """Return the comparison that holds while nobody has written a key since `revision` wrote it."""
    return {"key": encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def create(key: str, value: str, lease: str | None = None) -> Operation:
    """Give an absent key a value; of one that is there, return what it holds."""
    operation = when([absent(key)], [put(key, value, lease)], [get(key).step], key)
    return operation._replace(size=len(value.encode()))


def when(
    compare: list[dict[str, Any]],
    then: list[dict[str, Any]],
    otherwise: list[dict[str, Any]],
    key: str = "",
) -> Operation:
    """Do some requests where all comparisons hold, and others where not.

    One that writes more than the key that it names goes alone (`Store.do_alone`).
    """
    step = {"compare": compare, "success": then, "failure": otherwise}
    return Operation(key, {"requestTxn": step}, writes=True)


def remove(key: str) -> Operation:
    """Remove a key; return what it held."""
    return Operation(key, {"requestDeleteRange": {"key": encoded(key), "prev_kv": True}}, writes=True)


class Step(NamedTuple):
    """What became of one step: whether its comparison held, what it saw, and the revision of the batch."""

    succeeded: bool
    found: list[dict[str, Any]]
    revision: int


def fitting(waiting: Iterable[Operation], most: int = MAX_STEPS) -> list[int]:
    """Return the places of the operations that go into the next batch, in order.

    Of one key the first write and any number of reads; reads of one key are one step.
    """
    chosen, reads, writes, size = [], set(), set(), 0  # type: list[int], set[str], set[str], int
    for place, operation in enumerate(waiting):
        size += operation.size
        if len(reads) + len(writes) >= most or (chosen and size > MAX_BYTES):
            break
        if operation.writes and operation.key in writes:
            continue
        (writes if operation.writes else reads).add(operation.key)
        chosen.append(place)
    return chosen


def request(batch: list[Operation]) -> tuple[dict[str, Any], list[int]]:
    """Return the transaction of a batch, and for each operation the place of its step."""
    reads = list(dict.fromkeys(one.key for one in batch if not one.writes))
    of_read = {key: place for place, key in enumerate(reads)}
    steps = [get(key).step for key in reads]
    places = []
    for one in batch:
        if one.writes:
            places.append(len(steps))
            steps.append(one.step)
        else:
            places.append(of_read[one.key])
    return {"success": steps}, places


def answers(answer: dict[str, Any], places: list[int]) -> list[Step]:
    """Return what became of each operation of a batch."""
    revision = int(answer["header"]["revision"])
    steps = [_step(response, revision) for response in answer["responses"]]
    return [steps[place] for place in places]


def _step(response: dict[str, Any], revision: int) -> Step:
    (kind, said) = next(iter(response.items()))
    if kind == "response_txn":
        inner = said.get("responses", [])
        found = [kv for each in inner for kv in each.get("response_range", {}).get("kvs", [])]
        return Step(bool(said.get("succeeded")), found, revision)
    if kind == "response_delete_range":
        return Step("deleted" in said, said.get("prev_kvs", []), revision)
    found = said.get("kvs", [])
    return Step(bool(found), found, revision)


def take(waiting: deque[Any], most: int = MAX_STEPS) -> list[Any]:
    """Take the next batch out of a line of things that have an `operation`; the others keep their order."""
    chosen = set(fitting((one.operation for one in waiting), most))
    taken = [one for place, one in enumerate(waiting) if place in chosen]
    left = [one for place, one in enumerate(waiting) if place not in chosen]
    waiting.clear()
    waiting.extend(left)
    return taken
