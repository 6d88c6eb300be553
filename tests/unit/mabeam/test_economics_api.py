# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Economics through its API, every answer held against its own description."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from urllib.parse import quote

import pytest
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd, mentioned
from ansible_collections.foundation.testbed.tests.support.served import eventually, kind, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from mabeam_service import __main__ as service
from mabeam_service.economics import payments
from mabeam_service.economics.keys import ROOT, auction_prefix
from testbed_service.etcd import Indeterminate, Refused

BASE = "/v1/economics"


def served(scenario, nodes=1, **more):
    """Run a scenario against some nodes on one etcd."""

    async def go():
        etcd = FakeEtcd()
        async with contextlib.AsyncExitStack() as stack:
            asks = [
                await stack.enter_async_context(serving(service, etcd, **{"node": f"n{number}", **more}))
                for number in range(1, nodes + 1)
            ]
            return await scenario(*asks, etcd)

    return asyncio.run(go())


def told(etcd):
    """Return topic and payload of all events, in order."""
    written = [event["kv"] for events in etcd.log for event in events]
    rings = [kv for kv in written if base64.b64decode(kv["key"]).startswith(b"/foundation/")]
    events = [json.loads(base64.b64decode(kv["value"])) for kv in rings]
    return [(event["topic"], event["payload"]) for event in events]


def kept(etcd):
    """Return all that Economics has in the store."""
    return {key: kv for key, kv in etcd.kvs.items() if key.startswith(ROOT)}


async def accounts(ask, **deposits):
    for name, deposit in deposits.items():
        assert (await ask("PUT", f"{BASE}/accounts/{name}", {"deposit": deposit})).status == 201


async def auction(ask, name="a", **more):
    asked = {"id": name, "title": "Server Resources", "seller": "seller", **more}
    return await ask("POST", f"{BASE}/auctions", asked)


async def bid(ask, bidder, amount, name="a"):
    return await ask("POST", f"{BASE}/auctions/{name}/bids", {"bidder": bidder, "amount": amount})


async def balances(ask, prefix="s"):
    answer = await ask("GET", f"{BASE}/accounts?prefix={prefix}")
    return {each["account"]: each["balance"] for each in answer.body["accounts"]}


async def pay(ask, payment, payer, payee, amount):
    asked = {"payment": payment, "from": payer, "to": payee, "amount": amount}
    return await ask("POST", f"{BASE}/payments", asked)


def test_an_auction_from_its_creation_to_its_settlement():
    """S5.1 and S6.3, with every event and step of the workflow."""

    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b1=1000, b2=1000)
        created = await auction(ask, starting_price=100, reserve_price=120, increment=10)
        assert (created.status, created.body["auction"]) == (201, "a")

        async def shown():
            return (await ask("GET", f"{BASE}/market")).body["active_auctions"].get("a")

        assert (await eventually(shown))["minimum_bid"] == 100
        assert [(await bid(ask, "b1", 100)).status, (await bid(ask, "b2", 110)).status] == [201, 201]
        low = await bid(ask, "b1", 119)
        assert (low.status, kind(low), low.body["minimum"]) == (409, "bid-too-low", 120)
        assert (await bid(ask, "b1", 120)).body["bid"] == 3
        read = (await ask("GET", f"{BASE}/auctions/a")).body
        assert [each["amount"] for each in read["highest_bids"]] == [120, 110, 100]
        assert kind(await ask("POST", f"{BASE}/auctions/a/settlement")) == "auction-open"
        closed = (await ask("POST", f"{BASE}/auctions/a/close")).body
        assert closed["winner"] == {"bid": 3, "bidder": "b1", "amount": 120}
        order = {"payment": "auction:a", "from": "b1", "to": "seller", "amount": 120}
        assert closed["winning_transaction"] == order
        assert kind(await bid(ask, "b2", 500)) == "auction-closed"
        paid = await ask("POST", f"{BASE}/auctions/a/settlement")
        assert (paid.status, {**paid.body, **order}) == (201, paid.body)
        again = await ask("POST", f"{BASE}/auctions/a/settlement")
        assert (again.status, again.body) == (200, paid.body)
        assert (await ask("GET", f"{BASE}/payments/auction:a")).body == paid.body
        assert await balances(ask, "b") == {"b1": 880, "b2": 1000}
        assert await balances(ask) == {"seller": 120}

        async def reported():
            report = (await ask("GET", f"{BASE}/reports/recent_auctions?period=last_minute")).body
            return report["completed_auctions"]

        (completed,) = await eventually(reported)
        assert (completed["auction_id"], completed["winner"], completed["amount"]) == ("a", "b1", 120)
        assert (await ask("GET", f"{BASE}/market/a")).status == 404
        topics = [topic for topic, _ in told(etcd)]
        done = dict(told(etcd))["economics.transaction.completed"]
        assert (done["transaction_id"], done["auction_id"], done["amount"]) == ("auction:a", "a", 120)
        assert topics.count("telemetry.workflow.a") >= 8
        assert {"economics.auction.created", "economics.auction.closed"} <= set(topics)

    served(scenario)


def test_without_a_bid_that_meets_the_reserve_there_is_no_winner():
    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b1=1000)
        await auction(ask, reserve_price=500)
        assert (await bid(ask, "b1", 499)).status == 201
        for _ in range(2):
            closed = (await ask("POST", f"{BASE}/auctions/a/close")).body
            assert (closed["winner"], closed["winning_transaction"]) == (None, None)
        assert kind(await ask("POST", f"{BASE}/auctions/a/settlement")) == "no-winner"

    served(scenario)


def test_bids_from_several_nodes_at_once_have_one_order():
    """However many bid at once, the bids that stand are each higher than the one before."""

    async def scenario(one, two, etcd):
        await accounts(one, seller=0, b=10**6)
        await auction(one)
        etcd.delay_s = 0.001
        asked = [bid((one, two)[number % 2], "b", 1 + number * 7 % 60) for number in range(60)]
        answers = await asyncio.gather(*asked)
        stood = [each.body["amount"] for each in answers if each.status == 201]
        refused = [each for each in answers if each.status != 201]
        assert {kind(each) for each in refused} <= {"bid-too-low"}
        read = (await one("GET", f"{BASE}/auctions/a")).body
        amounts = [each["amount"] for each in read["highest_bids"]]
        assert amounts == sorted(set(stood), reverse=True) and amounts[0] == 60
        assert [each["bid"] for each in read["highest_bids"]] == list(range(len(stood), 0, -1))

    served(scenario, nodes=2)


def test_bids_on_one_auction_wait_for_each_other_and_go_together():
    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b=10**6)
        await auction(ask)
        await bid(ask, "b", 1)
        before, etcd.delay_s = len(etcd.asked), 0.02
        await asyncio.gather(*(bid(ask, "b", 2 + number) for number in range(40)))
        return len(etcd.asked) - before

    assert served(scenario) < 15


def test_the_same_key_moves_money_once_whichever_node_is_asked():
    async def scenario(one, two, etcd):
        await accounts(one, s1=100, s2=0)
        etcd.delay_s = 0.001
        answers = await asyncio.gather(*(pay((one, two)[n % 2], "p", "s1", "s2", 30) for n in range(10)))
        assert sorted(each.status for each in answers) == [200] * 9 + [201]
        assert len({json.dumps(each.body) for each in answers}) == 1
        assert await balances(two) == {"s1": 70, "s2": 30}
        other = await pay(two, "p", "s1", "s2", 31)
        assert (other.status, kind(other)) == (409, "key-reused")
        much = await pay(two, "q", "s1", "s2", 71)
        assert (much.status, kind(much), much.body["balance"]) == (409, "insufficient-funds", 70)
        absent = await one("GET", f"{BASE}/payments/q")
        assert (absent.status, absent.body["revision"]) == (404, etcd.revision)
        assert kind(await pay(one, "r", "s1", "s1", 1)) == "same-account"
        assert await balances(two) == {"s1": 70, "s2": 30}

    served(scenario, nodes=2)


def test_payments_of_the_same_accounts_on_several_nodes_conserve_money():
    async def scenario(one, two, etcd):
        await accounts(one, s1=50, s2=50, s3=50)
        etcd.delay_s = 0.001
        names = ("s1", "s2", "s3")
        answers = await asyncio.gather(
            *(
                pay((one, two)[n % 2], f"p{n}", names[n % 3], names[(n + 1 + n % 2) % 3], 20)
                for n in range(40)
            )
        )
        assert {each.status for each in answers} <= {201, 409}
        expected = dict.fromkeys(names, 50)
        for each in answers:
            if each.status == 201:
                expected[each.body["from"]] -= each.body["amount"]
                expected[each.body["to"]] += each.body["amount"]
        found = await balances(one)
        assert found == expected and sum(found.values()) == 150 and min(found.values()) >= 0

    served(scenario, nodes=2)


class Late:
    """What the store did although its answer did not come: the next transaction that moves money."""

    def __init__(self, etcd):
        self.etcd, self.ask, self.left = etcd, etcd.ask, 1
        etcd.ask = self

    async def __call__(self, path, body, timeout_s, writes):
        answer = await self.ask(path, body, timeout_s, writes)
        moved = any(each.get("response_txn", {}).get("succeeded") for each in answer.get("responses", []))
        if moved and self.left and b"completed_s" in b"".join(_values(body)):
            self.left -= 1
            raise Indeterminate("timeout")
        return answer


def _values(body):
    if isinstance(body, list):
        for each in body:
            yield from _values(each)
    elif isinstance(body, dict):
        if "value" in body:
            yield base64.b64decode(body["value"])
        for each in body.values():
            yield from _values(each)


@pytest.mark.parametrize("settlement", [False, True])
@pytest.mark.parametrize("faulty", [False, True])
def test_what_is_in_doubt_is_asked_again_with_its_key_and_a_planted_bug_pays_twice(
    settlement, faulty, monkeypatch
):
    monkeypatch.setattr(payments, "PAUSE_S", 0.01)

    async def scenario(ask, etcd):
        await accounts(ask, seller=0, s1=100)
        await auction(ask)
        await bid(ask, "s1", 30)
        await ask("POST", f"{BASE}/auctions/a/close")

        async def once():
            if settlement:
                return await ask("POST", f"{BASE}/auctions/a/settlement")
            return await pay(ask, "p", "s1", "seller", 30)

        Late(etcd)
        first, second = await once(), await once()
        return first.status, second.status, await balances(ask)

    expected = (201, 200, {"s1": 40, "seller": 60}) if faulty else (504, 200, {"s1": 70, "seller": 30})
    assert served(scenario, faulty=["payment_retried_without_key"] if faulty else []) == expected


def test_an_auction_whose_time_is_up_is_closed_once():
    async def scenario(one, two, etcd):
        await accounts(one, seller=0, b1=10)
        await auction(one, duration_s=0.2)
        await bid(two, "b1", 5)

        async def closed():
            return (await two("GET", f"{BASE}/auctions/a")).body["status"] == "closed"

        await eventually(closed)
        await asyncio.sleep(1.2)
        assert [topic for topic, _ in told(etcd)].count("economics.auction.closed") == 1

    served(scenario, nodes=2)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Indeterminate("timeout"), (504, "indeterminate")),
        (Refused("no-leader"), (503, "unavailable")),
    ],
)
def test_each_operation_says_what_became_of_it(error, expected):
    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b1=10, b2=10)
        await auction(ask)
        for path, body in (
            ("auctions", {"title": "t", "seller": "seller"}),
            ("auctions/a/bids", {"bidder": "b1", "amount": 5}),
            ("payments", {"payment": "p", "from": "b1", "to": "b2", "amount": 1}),
            ("auctions/a/close", None),
        ):
            before, revision = kept(etcd), etcd.revision

            async def caught_up(revision=revision):
                return (await ask("GET", "/v1/status")).body["revision"] >= revision

            await eventually(caught_up)  # so that the very next request to the store is the change
            etcd.fail(error, ROOT)
            answer = await ask("POST", f"{BASE}/{path}", body)
            assert (answer.status, kind(answer), kept(etcd)) == (*expected, before)
        for path in ("accounts/b1", "accounts?prefix=b", "auctions/a", "payments/p"):
            etcd.fail(Refused("timeout"), ROOT)
            assert (await ask("GET", f"{BASE}/{path}")).status == 503

    served(scenario)


def test_a_refusal_that_rests_on_a_bid_in_doubt_is_no_answer():
    """Two bids go together; where the higher one is in doubt, the lower one was not tried."""

    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b=100)
        await auction(ask)
        asked, etcd.delay_s = len(etcd.asked), 0.3  # as long as two bids may take to come in
        first = asyncio.ensure_future(bid(ask, "b", 1))

        async def under_way():
            return any(auction_prefix("a") in mentioned(*each) for each in etcd.asked[asked:])

        await eventually(under_way)
        later = [asyncio.ensure_future(bid(ask, "b", amount)) for amount in (9, 5)]
        await first
        etcd.fail(Indeterminate("timeout"), auction_prefix("a"))
        return [(answer.status, kind(answer)) for answer in await asyncio.gather(*later)]

    assert served(scenario) == [(504, "indeterminate"), (503, "unavailable")]


BAD = [
    ("PUT", "accounts/x", {"deposit": -1}, 400),
    ("PUT", "accounts/x", {"deposit": 1.5}, 400),
    ("PUT", "accounts/x", {"deposit": 1, "owner": "me"}, 400),
    ("PUT", "accounts/-x", {"deposit": 1}, 400),
    ("PUT", "accounts/seller", {"deposit": 1}, 409),
    ("GET", "accounts/x", None, 404),
    ("GET", "accounts", None, 400),
    ("POST", "auctions", {"title": "t", "seller": "x"}, 404),
    ("POST", "auctions", {"title": "t", "seller": "seller", "id": "a"}, 409),
    ("POST", "auctions", {"title": "t", "seller": "seller", "reserve_price": -5}, 400),
    ("POST", "auctions", {"title": "t", "seller": "seller", "starting_price": 0}, 400),
    ("POST", "auctions", {"title": "t" * 201, "seller": "seller"}, 400),
    ("POST", "auctions", {"title": "t" * 100_000, "seller": "seller"}, 413),
    ("POST", "auctions", ["t"], 400),
    ("POST", "auctions/x/bids", {"bidder": "b1", "amount": 5}, 404),
    ("POST", "auctions/a/bids", {"bidder": "x", "amount": 5}, 404),
    ("POST", "auctions/a/bids", {"bidder": "b1", "amount": -5}, 400),
    ("POST", "auctions/a/bids", {"bidder": "seller", "amount": 5}, 409),
    ("POST", "auctions/closed/bids", {"bidder": "b1", "amount": 5}, 409),
    ("POST", "auctions/x/close", None, 404),
    ("POST", "auctions/x/settlement", None, 404),
    ("POST", "auctions/a/settlement", None, 409),
    ("POST", "payments", {"payment": "auction:a", "from": "b1", "to": "seller", "amount": 1}, 400),
    ("POST", "payments", {"payment": "p", "from": "b1", "to": "x", "amount": 1}, 404),
    ("POST", "payments", {"payment": "p", "from": "b1", "to": "seller", "amount": 10**13}, 400),
    ("GET", "reports/recent_auctions?period=ever", None, 400),
    ("GET", "market?limit=0", None, 400),
]


def test_bad_input_is_one_problem_and_changes_nothing():
    async def scenario(ask, etcd):
        await accounts(ask, seller=0, b1=10)
        await auction(ask)
        await auction(ask, "closed")
        await ask("POST", f"{BASE}/auctions/closed/close")
        before = kept(etcd)
        for method, path, body, status in BAD:
            answer = await ask(method, f"{BASE}/{path}", body)
            assert (answer.status, answer.body["status"]) == (status, status), (method, path, answer.body)
        assert kept(etcd) == before

    served(scenario)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAME = st.sampled_from(["a", "b", "s"]) | st.text(min_size=1, max_size=9)
AMOUNT = st.integers(-1, 9) | st.floats(1, 5) | st.integers()
BODY = (
    st.none()
    | JSON
    | st.fixed_dictionaries({"deposit": AMOUNT})
    | st.fixed_dictionaries({"bidder": NAME, "amount": AMOUNT})
    | st.fixed_dictionaries({"payment": NAME, "from": NAME, "to": NAME, "amount": AMOUNT})
    | st.fixed_dictionaries({"title": NAME, "seller": NAME}, optional={"id": NAME, "reserve_price": AMOUNT})
)
REQUESTS = [
    ("PUT", "accounts/{}"), ("GET", "accounts/{}"), ("GET", "accounts?prefix={}"), ("POST", "auctions"),
    ("GET", "auctions/{}"), ("POST", "auctions/{}/bids"), ("POST", "auctions/{}/close"),
    ("POST", "auctions/{}/settlement"), ("POST", "payments"), ("GET", "payments/{}"), ("GET", "market"),
    ("GET", "market/{}"), ("GET", "market?limit={}"), ("GET", "reports/recent_auctions?period={}"),
]  # fmt: skip


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(REQUESTS), NAME, BODY), max_size=12))
def test_nothing_that_is_asked_is_a_defect_and_money_is_conserved(requests):
    async def scenario(ask, etcd):
        for (method, path), part, body in requests:
            part = quote(part, safe="", errors="surrogatepass")
            assert (await ask(method, f"{BASE}/{path.format(part)}", body)).status < 500
        held = [json.loads(base64.b64decode(kv["value"])) for kv in etcd.kvs.values()]
        found = [each for each in held if "deposit" in each]
        assert sum(each["balance"] for each in found) == sum(each["deposit"] for each in found)
        assert all(type(each["balance"]) is int and each["balance"] >= 0 for each in found)

    served(scenario)
