# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""S4: one node has foundation, one mabeam, one both, in a ring with 10 to 100 ms: they are one system."""

from __future__ import annotations

import time

import pytest
from services_lab import Services, fresh
from support import HERE, ROOT, Lab, nothing_left_of, wait_until

pytestmark = pytest.mark.lab

AGENT = ROOT / "roles/mabeam/files/mabeam_service/coordination/agent.py"
COORDINATION, ECONOMICS, EVENTS = "/v1/coordination", "/v1/economics", "/v1/events"


@pytest.fixture(scope="module")
def applications(tmp_path_factory):
    """The lab, made for this file and removed after it."""
    lab = Lab(HERE / "inventory_applications", tmp_path_factory.mktemp("runs"))
    with nothing_left_of(lab):
        for playbook in ("provision", "deploy", "verify"):
            outcome = lab.playbook(playbook)
            assert outcome.status == 0, outcome.output[-4000:]
        yield lab


@pytest.fixture
def foundation(applications):
    """The node with foundation alone."""
    return Services(applications, "n1")


@pytest.fixture
def mabeam(applications):
    """The node with mabeam alone."""
    return Services(applications, "n2")


@pytest.fixture
def both(applications):
    """The node with both."""
    return Services(applications, "n3")


def test_a_name_registered_on_one_node_is_found_on_another(foundation, both):
    """S4.1."""
    path = f"/v1/registry/names/{fresh('name')}"
    assert foundation.ask("PUT", path, {"owner": "one"}, service="foundation").status == 201
    assert both.ask("GET", path, service="foundation").body["owner"] == "one"
    wait_until(
        lambda: both.ask("GET", f"{path}?consistency=local", service="foundation").status == 200,
        10, "the other node's own view",
    )  # fmt: skip


def test_an_event_reaches_a_subscriber_on_another_node(foundation, both):
    """S4.2: within 2 s."""
    watch, topic = f"{EVENTS}/subscriptions/{fresh('watch')}", f"test.{fresh('topic')}"
    wanted = {"subscriber": "test", "pattern": topic}
    assert both.ask("PUT", watch, wanted, service="foundation").status == 201
    began = time.monotonic()
    published = foundation.ask("POST", EVENTS, {"topic": topic, "payload": {"n": 1}}, service="foundation")
    assert published.status == 201, published
    events = both.ask("GET", f"{watch}/events?wait_s=2", service="foundation").body["events"]
    assert [event["payload"] for event in events] == [{"n": 1}]
    assert time.monotonic() - began < 2


def test_agents_on_three_nodes_coordinate(applications, foundation, mabeam, both):
    """S4.3: within 10 s; where mabeam does not run, an agent asks the service of another node."""
    service = f"http://{applications.variables('n2')['ansible_host']}:4200"
    names = [fresh("a") for _ in range(3)]
    try:
        run = f"systemd-run --quiet --collect --unit=agent-{names[0]} python3 /run/agent.py {names[0]}"
        applications.on("n1", f"cat > /run/agent.py && {run} --url {service}", stdin=AGENT.read_text())
        mabeam.start_agents(names[1])
        both.start_agents(names[2])
        for name in names:
            known = f"{COORDINATION}/agents/{name}"
            wait_until(lambda known=known: both.ask("GET", known).status == 200, 20, name)
        group = mabeam.ask("POST", f"{COORDINATION}/groups", {"agents": names, "steps": 3})
        assert group.status == 201, group
        path = f"{COORDINATION}/groups/{group.body['id']}"
        wait_until(lambda: both.ask("GET", path).body["state"] == "completed", 10, "the group to complete")
    finally:
        for node in (foundation, mabeam, both):
            node.stop_agents()


def test_an_auction_takes_a_bid_that_another_node_is_given(foundation, mabeam, both):
    """S4.4: within 5 s; and what mabeam does is told to subscribers on the node that has foundation alone."""
    watch = f"{EVENTS}/subscriptions/{fresh('watch')}"
    wanted = {"subscriber": "test", "pattern": "economics.#"}
    assert foundation.ask("PUT", watch, wanted, service="foundation").status == 201
    seller, bidder = fresh("seller"), fresh("bidder")
    for account in (seller, bidder):
        assert mabeam.ask("PUT", f"{ECONOMICS}/accounts/{account}", {"deposit": 100}).status == 201
    began = time.monotonic()
    created = mabeam.ask("POST", f"{ECONOMICS}/auctions", {"title": "a lamp", "seller": seller})
    assert created.status == 201, created
    path = f"{ECONOMICS}/auctions/{created.body['auction']}"
    bid = both.ask("POST", f"{path}/bids", {"bidder": bidder, "amount": 40})
    assert bid.status == 201, bid
    assert mabeam.ask("GET", path).body["highest"]["bidder"] == bidder
    assert time.monotonic() - began < 5
    told = wait_until(
        lambda: [
            event
            for event in foundation.ask("GET", f"{watch}/events", service="foundation").body["events"]
            if event["payload"].get("auction_id") == created.body["auction"]
        ],
        2, "what mabeam did",
    )  # fmt: skip
    assert told[0]["topic"] == "economics.auction.created"
