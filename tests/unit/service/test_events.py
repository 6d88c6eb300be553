# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events in the store: a ring bounds them, also when the service is started anew."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from testbed_service import events
from testbed_service.batch import request
from testbed_service.etcd import Refused
from testbed_service.events import Publisher
from testbed_service.feed import held_of


async def going_on(publisher, etcd):
    """Let a publisher find its place."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(publisher.go_on(etcd), 0.05)


async def recorded(etcd, publisher, *steps):
    """Record steps of a workflow, all in one transaction."""
    batch = [publisher.recording("w", step) for step in steps]
    await etcd.ask("/v3/kv/txn", request(batch)[0], 1.0, True)


def held(etcd):
    """Steps in the store, by the revision and the number that order them."""
    found = [(held_of(kv).revision, json.loads(held_of(kv).value)) for kv in etcd.kvs.values()]
    return [said["payload"]["step"] for _, said in sorted(found, key=lambda one: (one[0], one[1]["number"]))]


def test_a_ring_holds_the_latest_also_after_the_service_was_started_anew(monkeypatch):
    monkeypatch.setattr(events, "SLOTS", 4)

    async def go():
        etcd, first = FakeEtcd(), Publisher("service", "n1")
        await going_on(first, etcd)
        await recorded(etcd, first, *"abc")
        assert held(etcd) == ["a", "b", "c"]
        await recorded(etcd, first, *"de")
        assert held(etcd) == ["b", "c", "d", "e"]
        second = Publisher("service", "n1")
        await going_on(second, etcd)
        await recorded(etcd, second, *"fg")
        return held(etcd)

    assert asyncio.run(go()) == ["d", "e", "f", "g"]


def test_a_publisher_asks_again_where_the_store_does_not_answer(monkeypatch):
    monkeypatch.setattr(events, "AGAIN_S", 0.001)

    async def go():
        etcd = FakeEtcd()
        await recorded(etcd, Publisher("service", "n1"), *"ab")
        for _ in range(2):
            etcd.fail(Refused("timeout"))
        later = Publisher("service", "n1")
        await going_on(later, etcd)
        await recorded(etcd, later, "c")
        assert not etcd.failing
        return held(etcd)

    assert asyncio.run(go()) == ["a", "b", "c"]


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_step_of_a_workflow_is_an_event_with_a_topic_of_its_own(node):
    said = Publisher("mabeam", node).telemetry("auction-1", "bid", {"amount": 5.0})
    value = json.loads(held_of({**said["requestPut"], "mod_revision": "1"}).value)
    payload = {"workflow": "auction-1", "step": "bid", "measurements": {"amount": 5.0}, "metadata": {}}
    assert (value["topic"], value["payload"]) == ("telemetry.workflow.auction-1", payload)
    assert value["source"] == f"mabeam@{node}"
