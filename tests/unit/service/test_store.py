# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store: operations travel together, and each is done, certainly not done, or in doubt."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from testbed_service.batch import create, get
from testbed_service.etcd import Indeterminate, LeaseNotFound, Refused, failure, failure_of, word_of
from testbed_service.mode import Limits
from testbed_service.store import NoMajority, Store


async def outcome(awaitable):
    """Name what became of an operation."""
    try:
        step = await awaitable
    except (Refused, Indeterminate) as error:
        return type(error).__name__
    return "done" if step.succeeded else "not"


def with_store(scenario, timeout_s=1.0, proved=True, **of_etcd):
    etcd = FakeEtcd()
    vars(etcd).update(of_etcd)
    store = Store(etcd, timeout_s, Limits())
    if proved:
        store._proved(time.monotonic())
    return asyncio.run(scenario(store, etcd))


def test_what_comes_while_one_is_under_way_goes_together():
    async def scenario(store, etcd):
        found = await asyncio.gather(*(outcome(store.do(create(f"k{i}", "v"))) for i in range(50)))
        assert set(found) == {"done"}
        return [len(body["success"]) for _, body in etcd.asked]

    # all of these came in one turn of the loop, before anything was sent
    assert with_store(scenario, delay_s=0.01) == [50]


def test_a_second_write_of_a_key_waits_for_the_next_batch():
    async def scenario(store, etcd):
        found = await asyncio.gather(*(outcome(store.do(create("k", str(i)))) for i in range(3)))
        return found, len(etcd.asked)

    assert with_store(scenario) == (["done", "not", "not"], 3)


def test_a_failed_batch_leaves_writes_in_doubt_but_never_reads():
    async def scenario(store, etcd):
        etcd.fail(Indeterminate("timeout"))
        first = await asyncio.gather(outcome(store.do(create("a", "1"))), outcome(store.do(get("b"))))
        etcd.fail(Refused("no-leader"))
        second = await asyncio.gather(outcome(store.do(create("a", "1"))), outcome(store.do(get("b"))))
        return first, second, await outcome(store.do(create("a", "1")))

    assert with_store(scenario) == (["Indeterminate", "Refused"], ["Refused", "Refused"], "done")


def test_an_answer_that_makes_no_sense_leaves_writes_in_doubt_and_the_next_ones_unharmed():
    async def scenario(store, etcd):
        right, etcd._txn = etcd._txn, lambda body: {"header": {}}
        broken = await asyncio.gather(outcome(store.do(create("a", "1"))), outcome(store.do(get("b"))))
        etcd._txn = right
        return broken, await outcome(store.do(create("a", "1")))

    assert with_store(scenario) == (["Indeterminate", "Refused"], "done")


def test_what_waited_too_long_was_certainly_not_sent():
    async def scenario(store, etcd):
        first = asyncio.ensure_future(outcome(store.do(create("k", "1"))))
        await asyncio.sleep(0)
        late = await outcome(store.do(create("k", "2")))
        return await first, late, len(etcd.asked)

    assert with_store(scenario, timeout_s=0.02, delay_s=0.1) == ("done", "Refused", 1)


def test_without_a_majority_nothing_is_sent_and_a_proof_lets_it_through_again():
    async def scenario(store, etcd):
        with pytest.raises(NoMajority):
            await store.do(create("k", "1"))
        assert not etcd.asked and store.mode == "safe_mode"
        watching = asyncio.ensure_future(store.watch_majority())
        while store.mode != "normal":
            await asyncio.sleep(0.001)
        watching.cancel()
        return await outcome(store.do(create("k", "1")))

    assert with_store(scenario, proved=False) == "done"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failure("refused", writes=True), Refused),
        (failure("timeout", writes=True), Indeterminate),
        (failure("connection-lost", writes=True), Indeterminate),
        (failure("timeout", writes=False), Refused),
        (failure_of("etcdserver: no leader", writes=True), Refused),
        (failure_of("etcdserver: request timed out", writes=True), Indeterminate),
        (failure_of("never heard of", writes=True), Indeterminate),
        (failure_of("etcdserver: requested lease not found", writes=True), LeaseNotFound),
    ],
)
def test_in_doubt_it_is_in_doubt(error, kind):
    assert type(error) is kind


@pytest.mark.parametrize(
    ("error", "word", "of_a_write"),
    [
        (aiohttp.ClientConnectorError(None, ConnectionRefusedError()), "refused", Refused),
        (aiohttp.ClientConnectorError(None, OSError(113, "no route")), "unreachable", Refused),
        (aiohttp.ServerDisconnectedError(), "connection-lost", Indeterminate),
        (ConnectionResetError(), "connection-lost", Indeterminate),
        (TimeoutError(), "timeout", Indeterminate),
    ],
)
def test_only_a_request_that_never_left_has_certainly_done_nothing(error, word, of_a_write):
    assert word_of(error) == word
    assert type(failure(word_of(error), True)) is of_a_write
    assert type(failure(word_of(error), False)) is Refused
