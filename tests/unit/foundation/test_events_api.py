# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events through the API: what is published comes to every subscriber once and in order."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import kind
from ansible_collections.foundation.testbed.tests.support.served_foundation import served
from foundation_service import ids
from foundation_service.events import SUBSCRIPTIONS as SUBSCRIPTIONS_KEPT
from hypothesis import given, settings
from hypothesis import strategies as st
from testbed_service.batch import request
from testbed_service.etcd import Indeterminate, LeaseNotFound, Refused
from testbed_service.events import PREFIX as RING
from testbed_service.events import Publisher
from testbed_service.feed import Feed

EVENTS, SUBSCRIPTIONS = "/v1/events", "/v1/events/subscriptions/"
NAMES = "/v1/registry/names/"


async def read_on(ask, name, count, limit=100):
    """Read so many events of a subscription, from answer to answer."""
    found, after = [], ""
    while len(found) < count:
        answer = await ask("GET", f"{SUBSCRIPTIONS}{name}/events?limit={limit}&wait_s=5{after}")
        assert answer.status == 200
        found += answer.body["events"]
        after = f"&after={answer.body['revision']}"
    return found


def test_the_contract_of_events():
    """S6.2: publish is answered and delivered to subscribers; subscribe is answered and registered."""

    async def scenario(ask, etcd):
        wanted = {"subscriber": "market", "pattern": "auction.*.closed"}
        made = await ask("PUT", SUBSCRIPTIONS + "s", wanted)
        assert (made.status, made.body["pattern"]) == (201, "auction.*.closed")
        assert (await ask("PUT", SUBSCRIPTIONS + "s", wanted)).body == made.body
        assert (await ask("GET", SUBSCRIPTIONS + "s")).body == made.body
        for other in ({**wanted, "subscriber": "bank"}, {**wanted, "pattern": "#"}):
            refused = await ask("PUT", SUBSCRIPTIONS + "s", other)
            assert (refused.status, kind(refused)) == (409, "already-subscribed")
            assert refused.body["subscriber"] == "market"
        done = await ask("POST", EVENTS, {"topic": "auction.7.closed", "payload": {"price": 5}})
        assert done.status == 201
        await ask("POST", EVENTS, {"topic": "auction.7.opened"})
        (event,) = await read_on(ask, "s", 1)
        assert (event["topic"], event["payload"]) == ("auction.7.closed", {"price": 5})
        assert (event["revision"], event["source"]) == (done.body["revision"], "foundation@n1")
        nothing = await ask("GET", f"{SUBSCRIPTIONS}s/events?after={etcd.revision}")
        assert nothing.body == {"events": [], "revision": etcd.revision}
        assert (await ask("DELETE", SUBSCRIPTIONS + "s")).body == made.body
        for method, path in (("DELETE", ""), ("GET", ""), ("GET", "/events")):
            while (gone := await ask(method, f"{SUBSCRIPTIONS}s{path}")).status == 200:
                await asyncio.sleep(0.001)  # the view of a node is a moment behind
            assert (gone.status, kind(gone)) == (404, "not-found")

    served(scenario)


def test_registering_and_unregistering_publish_an_event():
    """S6.1, and nobody but the registry says so."""

    async def scenario(ask, etcd):
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "registry.*"})
        lease = (await ask("POST", "/v1/registry/leases", {"ttl_s": 5})).body["lease"]
        await ask("PUT", NAMES + "a", {"owner": "one"})
        await ask("PUT", NAMES + "b", {"owner": "two", "lease": lease})
        await ask("DELETE", NAMES + "a")
        await ask("DELETE", f"/v1/registry/leases/{lease}")
        told = [(one["topic"], one["payload"]) for one in await read_on(ask, "s", 4)]
        one, two = {"name": "a", "owner": "one"}, {"name": "b", "owner": "two"}
        assert told == [
            ("registry.registered", one), ("registry.registered", two),
            ("registry.unregistered", one), ("registry.unregistered", two),
        ]  # fmt: skip
        refused = await ask("POST", EVENTS, {"topic": "registry.registered", "payload": one})
        assert (refused.status, kind(refused)) == (403, "reserved-topic")

    served(scenario)


def test_the_registrys_changes_know_nothing_of_events_and_are_not_pushed_out_by_them(monkeypatch):
    monkeypatch.setattr(Feed.__init__, "__defaults__", (20, None))

    async def scenario(ask, etcd):
        start = etcd.revision
        await ask("PUT", NAMES + "a", {"owner": "one"})
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "#"})
        for number in range(40):
            await ask("POST", EVENTS, {"topic": "t", "payload": {"n": number}})
        answer = await ask("GET", f"/v1/registry/changes?after={start}&wait_s=5")
        assert [each["name"] for each in answer.body["changes"]] == ["a"]
        while (await ask("GET", "/v1/status")).body["revision"] < etcd.revision:
            await asyncio.sleep(0.001)
        gone = await ask("GET", f"{SUBSCRIPTIONS}s/events")
        assert (gone.status, kind(gone)) == (410, "gone")
        return (await ask("GET", f"{SUBSCRIPTIONS}s/events?after={gone.body['oldest']}&wait_s=5")).body

    last = served(scenario)
    assert [one["payload"]["n"] for one in last["events"]] == list(range(20, 40))


def test_events_of_one_transaction_keep_their_order_and_are_never_parted():
    async def scenario(ask, etcd):
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "#"})
        other = Publisher("mabeam", "n2")
        batch = [other.publishing("t", {"n": number}) for number in range(7)]
        await etcd.ask("/v3/kv/txn", request(batch)[0], 1.0, True)
        answer = await ask("GET", f"{SUBSCRIPTIONS}s/events?limit=2&wait_s=5")
        return [one["payload"]["n"] for one in answer.body["events"]]

    assert served(scenario) == list(range(7))


def test_a_reader_goes_on_where_it_was_when_the_service_was_started_anew():
    etcd = FakeEtcd()

    async def before(ask, _etcd):
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "t"})
        for number in range(3):
            await ask("POST", EVENTS, {"topic": "t", "payload": {"n": number}})
        (first, *_) = await read_on(ask, "s", 1, limit=1)
        return first["revision"]

    async def after(ask, _etcd):
        for number in (3, 4):
            await ask("POST", EVENTS, {"topic": "t", "payload": {"n": number}})
        found = []
        while len(found) < 4:
            answer = await ask("GET", f"{SUBSCRIPTIONS}s/events?after={revision}&wait_s=5")
            found = [one["payload"]["n"] for one in answer.body["events"]]
        return found

    revision = served(before, etcd)
    assert served(after, etcd) == [1, 2, 3, 4]


def test_a_retry_with_an_id_has_no_second_effect():
    async def scenario(ask, etcd):
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "#"})
        said = {"topic": "t", "payload": {}, "id": "one"}
        while (first := await ask("POST", EVENTS, said)).status == 503:  # its lease is not there yet
            await asyncio.sleep(0.001)
        again = await ask("POST", EVENTS, said)
        assert (first.status, again.status, again.body) == (201, 200, first.body)
        await ask("POST", EVENTS, {"topic": "u"})
        assert [one["topic"] for one in await read_on(ask, "s", 2)] == ["t", "u"]
        etcd.fail(LeaseNotFound("lease-not-found"), RING)
        lost = await ask("POST", EVENTS, {**said, "id": "two"})
        assert (lost.status, kind(lost)) == (503, "unavailable")

    served(scenario)


def test_an_id_that_would_not_be_remembered_long_enough_is_refused(monkeypatch):
    monkeypatch.setattr(ids, "REMEMBERED_S", ids.SLACK_S)

    async def scenario(ask, etcd):
        return [(await ask("POST", EVENTS, {"topic": "t", **more})).status for more in ({"id": "one"}, {})]

    assert served(scenario) == [503, 201]


def test_each_operation_says_what_became_of_it():
    async def scenario(ask, etcd):
        subscribing = {"subscriber": "a", "pattern": "#"}
        for error, expected in ((Indeterminate("timeout"), 504), (Refused("no-leader"), 503)):
            for method, path, body, kept in (
                ("POST", EVENTS, {"topic": "t"}, RING),
                ("PUT", SUBSCRIPTIONS + "s", subscribing, SUBSCRIPTIONS_KEPT),
                ("DELETE", SUBSCRIPTIONS + "s", None, SUBSCRIPTIONS_KEPT),
            ):
                etcd.fail(error, kept)
                assert (await ask(method, path, body)).status == expected
        assert (await ask("PUT", SUBSCRIPTIONS + "s", subscribing)).status == 201
        await ask("POST", EVENTS, {"topic": "t"})
        await read_on(ask, "s", 1)
        etcd.ask = unreachable
        while (await ask("GET", "/v1/status")).body["mode"] != "safe_mode":
            await asyncio.sleep(0.01)
        assert kind(await ask("POST", EVENTS, {"topic": "t"})) == "no-majority"
        assert kind(await ask("GET", SUBSCRIPTIONS + "unknown/events")) == "no-majority"
        return (await ask("GET", SUBSCRIPTIONS + "s/events")).status

    async def unreachable(*_arguments, **_more):
        raise Refused("timeout")

    assert served(scenario, detect_s=0.8, safe_s=0.9) == 200


@pytest.mark.parametrize("faulty", [[], ["events_dropped_at_reconnect"]])
def test_the_planted_bug_leaves_out_what_came_during_a_cut(faulty):
    """The view has everything; readers' places are taken as if nothing were missing."""

    async def scenario(ask, etcd):
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "#"})
        await ask("POST", EVENTS, {"topic": "before"})
        await read_on(ask, "s", 1)
        asks = etcd.ask

        async def unreachable(*_arguments, **_more):
            raise Refused("timeout")

        etcd.ask = unreachable
        while (await ask("GET", "/v1/status")).body["mode"] == "normal":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await asks(
            "/v3/kv/txn", request([Publisher("foundation", "n2").publishing("during", {})])[0], 1, True
        )
        etcd.ask = asks
        while (await ask("POST", EVENTS, {"topic": "after"})).status != 201:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        await ask("POST", EVENTS, {"topic": "last"})
        topics = []
        while "last" not in topics:
            topics = [one["topic"] for one in (await ask("GET", f"{SUBSCRIPTIONS}s/events")).body["events"]]
        return topics

    found = served(scenario, detect_s=0.7, safe_s=1.5, faulty=faulty)
    assert found[0] == "before" and found[-1] == "last"
    assert ("during" in found) == (not faulty)


PART = st.text(min_size=1, max_size=20) | st.sampled_from(["s", "*", "#", "a.b", "a..b", "a.#"])
JSON = st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    ("POST", EVENTS),
                    ("PUT", SUBSCRIPTIONS + "{}"),
                    ("GET", SUBSCRIPTIONS + "{}"),
                    ("DELETE", SUBSCRIPTIONS + "{}"),
                    ("GET", SUBSCRIPTIONS + "{}/events"),
                    ("GET", SUBSCRIPTIONS + "s/events?after={}"),
                    ("GET", "/v1/telemetry/workflows/{}/events"),
                    ("POST", "/v1/telemetry/workflows/{}/events"),
                ]
            ),
            PART,
            st.none()
            | JSON
            | st.fixed_dictionaries({"topic": PART | JSON}, optional={"payload": JSON, "id": PART})
            | st.fixed_dictionaries({"subscriber": PART, "pattern": PART})
            | st.fixed_dictionaries({"step": PART}, optional={"measurements": JSON, "metadata": JSON}),
        ),
        max_size=8,
    )
)
def test_nothing_that_is_asked_is_a_defect(requests):
    """Whatever comes is answered as the description says; bad topics and patterns are refused with a 4xx."""

    async def scenario(ask, etcd):
        for (method, path), part, body in requests:
            answer = await ask(method, path.format(quote(part, safe="", errors="surrogatepass")), body)
            assert answer.status < 500 or kind(answer) == "unavailable"

    served(scenario)


@pytest.mark.parametrize("pattern", ["", ".", "a.", "a..b", "a b", "**", "a.*b", "#\n", "x" * 201])
def test_a_bad_pattern_is_refused(pattern):
    async def scenario(ask, etcd):
        refused = await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": pattern})
        assert (refused.status, kind(refused)) == (400, "invalid-request")
        assert (await ask("GET", SUBSCRIPTIONS + "s")).status == 404

    served(scenario)


def test_metrics_are_told_as_values_and_workflows_in_order():
    """Telemetry: the same counters as Prometheus sees; the steps of a workflow, also another service's."""

    async def scenario(ask, etcd):
        path = "/v1/telemetry/workflows/auction-7/events"
        assert (await ask("GET", path)).body == {"workflow": "auction-7", "events": []}
        await ask("PUT", SUBSCRIPTIONS + "s", {"subscriber": "a", "pattern": "telemetry.workflow.auction-7"})
        mabeam = Publisher("mabeam", "n2")
        steps = [mabeam.recording("auction-7", f"bid-{number}", {"amount": number}) for number in range(6)]
        await etcd.ask("/v3/kv/txn", request(steps)[0], 1.0, True)
        await ask("POST", "/v1/telemetry/workflows/other/events", {"step": "made"})
        done = await ask("POST", path, {"step": "closed", "metadata": {"winner": "b"}})
        assert done.status == 201
        found = (await ask("GET", path)).body["events"]
        assert [one["step"] for one in found] == [*(f"bid-{number}" for number in range(6)), "closed"]
        assert (found[1]["measurements"], found[1]["source"]) == ({"amount": 1}, "mabeam@n2")
        assert (found[-1]["metadata"], found[-1]["revision"]) == ({"winner": "b"}, done.body["revision"])
        assert (await ask("GET", path + "?consistency=local")).body["events"] == found
        assert [one["payload"]["step"] for one in await read_on(ask, "s", 7)] == [
            one["step"] for one in found
        ]
        return (await ask("GET", "/v1/telemetry/metrics")).body

    told = served(scenario)
    requests = next(one for one in told["metrics"] if one["name"] == "foundation_requests")
    (posted,) = [
        one["value"]
        for one in requests["samples"]
        if one["name"].endswith("_total")
        and one["labels"] == {"operation": "recordWorkflowEvent", "status": "201"}
    ]
    assert (told["node"], requests["type"], posted) == ("n1", "counter", 2)
    json.dumps(told, allow_nan=False)
