# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Economics on four real nodes: an auction, a whole workflow, payments."""

from __future__ import annotations

import pytest
from services_lab import fresh
from support import wait_until

pytestmark = pytest.mark.lab

BASE = "/v1/economics"


def account(node, deposit):
    name = fresh("account")
    assert node.ask("PUT", f"{BASE}/accounts/{name}", {"deposit": deposit}).status == 201
    return name


def create(node, seller, **more):
    asked = {"title": "Server Resources", "seller": seller, **more}
    created = node.ask("POST", f"{BASE}/auctions", asked)
    assert created.status == 201, created
    assert isinstance(created.body["auction"], str)
    return created.body["auction"]


def bid(node, auction, bidder, amount):
    return node.ask("POST", f"{BASE}/auctions/{auction}/bids", {"bidder": bidder, "amount": amount})


def bids(node, auction):
    return node.ask("GET", f"{BASE}/auctions/{auction}").body["highest_bids"]


def on_the_market(node, auction):
    return auction in node.ask("GET", f"{BASE}/market").body["active_auctions"]


def test_an_auction_of_one_node_takes_a_bid_of_another(nodes):
    """S4.4 within 5 s, and S6.3: an id that is a string, on the market within 5 s, a bid recorded in 3 s."""
    seller, bidder = account(nodes[0], 0), account(nodes[1], 1000)
    auction = create(nodes[0], seller, starting_price=100)
    for node in nodes:
        wait_until(lambda node=node: on_the_market(node, auction), 5, f"{node.node} to show the auction")
    assert bid(nodes[1], auction, bidder, 150).status == 201
    for node in nodes:
        wait_until(lambda node=node: bids(node, auction), 3, f"{node.node} to know the bid")
    low = bid(nodes[2], auction, bidder, 150)
    assert (low.status, low.kind) == (409, "bid-too-low")
    assert nodes[3].ask("POST", f"{BASE}/auctions/{auction}/close").body["winner"]["amount"] == 150
    late = bid(nodes[1], auction, bidder, 900)
    assert (late.status, late.kind) == (409, "auction-closed")


def test_a_workflow_from_the_auction_to_the_report(nodes):
    """S5.1 in its ten steps, each on another node than the one before."""
    one, two, three, four = nodes
    watch, start = f"/v1/events/subscriptions/{fresh('watch')}", {}
    wanted = {"subscriber": "test", "pattern": "economics.transaction.completed"}
    start["completed"] = four.ask("PUT", watch, wanted, service="foundation").body["revision"]
    seller, bidders = account(one, 0), [account(node, 10_000) for node in nodes[:3]]
    # 1, 2: created, and on the market
    auction = create(one, seller, starting_price=100, reserve_price=200)
    wait_until(lambda: on_the_market(two, auction), 5, "market data")
    # 3: bidding agents are coordinated
    agents = [fresh("bidder") for _ in bidders]
    for agent, node in zip(agents, nodes, strict=False):
        node.start_agents(agent)
    for agent in agents:
        known = f"/v1/coordination/agents/{agent}"
        wait_until(lambda known=known: one.ask("GET", known).status == 200, 20, agent)
    asked = {"agents": agents, "steps": 3, "task": f"bid on {auction}"}
    group = three.ask("POST", "/v1/coordination/groups", asked).body["id"]

    def coordinated():
        return two.ask("GET", f"/v1/coordination/groups/{group}").body["state"] == "completed"

    wait_until(coordinated, 10, "the agents to be coordinated")
    # 4, 5: they bid, and the bids are there
    for number, (bidder, node) in enumerate(zip(bidders, nodes, strict=False)):
        assert bid(node, auction, bidder, 150 + 50 * number).status == 201
    wait_until(lambda: len(bids(four, auction)) >= 3, 5, "three bids")
    # 6: closed
    closed = two.ask("POST", f"{BASE}/auctions/{auction}/close").body
    order = closed["winning_transaction"]
    assert (order["from"], order["to"], order["amount"]) == (bidders[2], seller, 250)
    # 7: paid, once, whoever asks
    paid = three.ask("POST", f"{BASE}/auctions/{auction}/settlement")
    assert paid.status == 201
    again = one.ask("POST", f"{BASE}/auctions/{auction}/settlement")
    assert (again.status, again.body) == (200, paid.body)
    balances = [four.ask("GET", f"{BASE}/accounts/{name}").body["balance"] for name in (seller, bidders[2])]
    assert balances == [250, 9_750]

    # 8: told to who listens
    def told():
        path = f"{watch}/events?after={start['completed']}&wait_s=5"
        events = four.ask("GET", path, service="foundation").body["events"]
        return [each for each in events if each["payload"]["transaction_id"] == paid.body["payment"]]

    (event,) = wait_until(told, 10, "the event of the payment")
    assert (event["payload"]["auction_id"], event["payload"]["amount"]) == (auction, 250)
    four.ask("DELETE", watch, service="foundation")

    # 9: in the report
    def reported():
        report = one.ask("GET", f"{BASE}/reports/recent_auctions").body
        return [each for each in report["completed_auctions"] if each["auction_id"] == auction]

    (completed,) = wait_until(reported, 5, "the report")
    assert (completed["winner"], completed["amount"]) == (bidders[2], 250)
    # 10: the workflow's telemetry
    steps = steps_of(two, auction)
    assert len(steps) >= 8 and steps[0] == "auction.created" and steps[-1] == "auction.settled", steps


def steps_of(node, workflow):
    """The steps of a workflow, from the telemetry of foundation."""
    answer = node.ask("GET", f"/v1/telemetry/workflows/{workflow}/events", service="foundation")
    return [each["step"] for each in answer.body["events"]]


def test_payments_are_made_once_whichever_nodes_are_asked(nodes):
    payer, payee, name = account(nodes[0], 100), account(nodes[1], 0), fresh("payment")
    asked = {"payment": name, "from": payer, "to": payee, "amount": 60}
    answers = [node.ask("POST", f"{BASE}/payments", asked) for node in nodes]
    assert [each.status for each in answers] == [201, 200, 200, 200]
    assert all(each.body == answers[0].body for each in answers)
    much = nodes[1].ask("POST", f"{BASE}/payments", {**asked, "payment": fresh("payment")})
    assert (much.status, much.kind, much.body["balance"]) == (409, "insufficient-funds", 40)
