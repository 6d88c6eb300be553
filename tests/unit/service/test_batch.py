# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A batch does what its operations would do one after the other, reads first; none is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import NamedTuple

from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from hypothesis import given
from hypothesis import strategies as st
from testbed_service.batch import (
    MAX_BYTES,
    MAX_STEPS,
    Operation,
    answers,
    create,
    fitting,
    get,
    put,
    remove,
    request,
    take,
    unchanged,
    when,
)
from testbed_service.events import PREFIX, Publisher
from testbed_service.feed import held_of

KEYS = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.lists(
    st.one_of(
        st.builds(get, KEYS),
        st.builds(create, KEYS, st.integers(0, 99).map(str)),
        st.builds(remove, KEYS),
    ),
    max_size=12,
)


class Waiting(NamedTuple):
    number: int
    operation: Operation


def line(operations):
    return deque(Waiting(number, operation) for number, operation in enumerate(operations))


@given(OPERATIONS, st.integers(1, 5))
def test_taking_batches_empties_the_line_and_keeps_the_order_of_the_writes_of_a_key(operations, most):
    waiting, taken = line(operations), []
    while waiting:
        batch = take(waiting, most)
        writes = [one.operation.key for one in batch if one.operation.writes]
        assert batch and len(set(writes)) == len(writes)
        assert len(request([one.operation for one in batch])[0]["success"]) <= most
        taken += batch
    assert sorted(taken) == sorted(line(operations))
    for key in "abc":
        numbers = [one.number for one in taken if one.operation.writes and one.operation.key == key]
        assert numbers == sorted(numbers)


def test_a_batch_is_never_larger_than_etcd_takes():
    assert len(fitting([create(f"k{i}", "v") for i in range(500)])) == MAX_STEPS
    assert len(fitting([get("k")] * 500)) == 500  # one step for all
    large = [create(f"k{i}", "v" * (MAX_BYTES // 3)) for i in range(9)]
    assert len(fitting(large)) == 3 and len(fitting([create("k", "v" * 2 * MAX_BYTES)])) == 1


def one_after_the_other(held, operations):
    """What each operation is answered when it is alone: (succeeded, what it found)."""
    found = []
    for operation in operations:
        before = held.get(operation.key)
        if not operation.writes:
            found.append((before is not None, before))
        elif "requestDeleteRange" in operation.step:
            held.pop(operation.key, None)
            found.append((before is not None, before))
        else:
            held.setdefault(operation.key, value_of(operation))
            found.append((before is None, before))
    return found


def value_of(operation):
    put = operation.step["requestTxn"]["success"][0]["requestPut"]
    return held_of({"value": put["value"], "mod_revision": "1"}).value


@given(OPERATIONS, OPERATIONS)
def test_a_batch_answers_as_if_its_operations_came_alone(before, operations):
    etcd, held = FakeEtcd(), {}

    async def go():
        for operation in before:
            await etcd.ask("/v3/kv/txn", request([operation])[0], 1.0, True)
        one_after_the_other(held, before)
        batch = [one.operation for one in take(line(operations))]
        batch.sort(key=lambda operation: operation.writes)
        body, places = request(batch)
        json.dumps(body)
        steps = answers(await etcd.ask("/v3/kv/txn", body, 1.0, True), places)
        said = [(step.succeeded, held_of(step.found[0]).value if step.found else None) for step in steps]
        assert said == one_after_the_other(held, batch)

    if operations:
        asyncio.run(go())


def test_several_writes_hang_on_all_comparisons():
    """A change and the event that tells of it are both there, or neither."""

    async def go():
        etcd, publisher = FakeEtcd(), Publisher("service", "n1")

        async def do(revision, value):
            told = publisher.event("changed", {"to": value})
            operation = when([unchanged("a", revision)], [put("a", value), told], [get("a").step])
            body, places = request([operation])
            return answers(await etcd.ask("/v3/kv/txn", body, 1.0, True), places)[0]

        first = await do(0, "one")
        late = await do(0, "two")
        second = await do(first.revision, "three")
        assert [step.succeeded for step in (first, late, second)] == [True, False, True]
        assert held_of(late.found[0]).value == "one"
        told = [kv for key, kv in etcd.kvs.items() if key.startswith(PREFIX)]
        assert [json.loads(held_of(kv).value)["payload"] for kv in told] == [{"to": "one"}, {"to": "three"}]

    asyncio.run(go())
