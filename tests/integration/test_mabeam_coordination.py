# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Coordination on four real nodes: agents that are processes, a crash, a split."""

from __future__ import annotations

import json
import time

import pytest
from services_lab import NODES, fresh
from support import record, wait_until

pytestmark = pytest.mark.lab

BASE = "/v1/coordination"


def start(nodes, names, options=""):
    """Start agents, in turn on all nodes; returns on which node each is, once all are registered."""
    places = {name: nodes[number % len(nodes)] for number, name in enumerate(names)}
    for node in nodes:
        if own := [name for name, place in places.items() if place is node]:
            node.start_agents(*own, options=options)
    for name in names:
        wait_until(lambda name=name: nodes[0].ask("GET", f"{BASE}/agents/{name}").status == 200, 20, name)
    return places


def group(node, name):
    return node.ask("GET", f"{BASE}/groups/{name}").body


def test_agents_on_three_nodes_coordinate_as_a_group(nodes):
    """S4.3: it completes within 10 s; S6.4: an id, and a status that can be read on any node."""
    agents = [fresh("a") for _ in range(3)]
    start(nodes[:3], agents)
    asked = nodes[0].ask("POST", f"{BASE}/groups", {"agents": agents, "steps": 4})
    assert asked.status == 201
    name = asked.body["id"]
    wait_until(lambda: group(nodes[3], name)["state"] == "completed", 10, "the group to complete")
    assert [slot["done"] for slot in group(nodes[1], name)["slots"]] == [4, 4, 4]


def test_a_consensus_is_told_to_who_listens(nodes):
    """S6.4: initiate → id, ok for each vote, and the event within 10 s, at a subscriber of foundation."""
    watch = f"/v1/events/subscriptions/{fresh('watch')}"
    wanted = {"subscriber": "test", "pattern": "coordination.consensus.completed"}
    subscribed = nodes[3].ask("PUT", watch, wanted, service="foundation")
    assert subscribed.status == 201, subscribed
    members = ["one", "two", "three"]
    name = nodes[0].ask("POST", f"{BASE}/consensus", {"members": members}).body["id"]
    for member, node in zip(members[:2], nodes, strict=False):
        vote = node.ask("POST", f"{BASE}/consensus/{name}/votes", {"agent": member, "vote": "approve"})
        assert vote.status == 200, vote
    refused = nodes[2].ask("POST", f"{BASE}/consensus/{name}/votes", {"agent": "one", "vote": "reject"})
    assert (refused.status, refused.kind) in ((409, "already-voted"), (409, "closed"))

    def told():
        after = subscribed.body["revision"]
        path = f"{watch}/events?after={after}&wait_s=5"
        events = nodes[3].ask("GET", path, service="foundation").body["events"]
        return [event for event in events if event["payload"]["consensus_id"] == name]

    events = wait_until(told, 10, "the event of the consensus")
    assert [event["payload"]["decision"] for event in events] == ["approved"]
    nodes[3].ask("DELETE", watch, service="foundation")


def test_a_pool_is_shared_by_ten_agents_and_again_as_their_use_changes(nodes):
    """S5.2: done within 15 s, every agent holds some; at least two reallocations within 20 s."""
    agents, pool, name = [fresh("r") for _ in range(10)], fresh("pool"), fresh("allocation")
    start(nodes, agents, f"--use {name} cpu 20")
    assert nodes[0].ask("POST", f"{BASE}/pools", {"id": pool, "capacity": {"cpu": 64}}).status == 201
    asked = {
        "id": name,
        "pool": pool,
        "strategy": "fair_share",
        "agents": [{"agent": agent} for agent in agents],
    }
    assert nodes[1].ask("POST", f"{BASE}/allocations", asked).status == 201

    def allocation():
        return nodes[2].ask("GET", f"{BASE}/allocations/{name}").body

    wait_until(lambda: allocation()["state"] == "allocated", 15, "the pool to be shared")
    for agent in agents:
        path = f"{BASE}/agents/{agent}/resources"
        wait_until(
            lambda path=path: nodes[3].ask("GET", path).body["allocated_resources"].get("cpu"), 5, agent
        )
    wait_until(lambda: allocation()["reallocations"] >= 2, 20, "two reallocations")
    shares = allocation()["shares"]
    assert sum(share["cpu"] for share in shares.values()) <= 64
    assert nodes[0].ask("DELETE", f"{BASE}/allocations/{name}").status == 204


def test_crashed_agents_are_noticed_and_replaced(nodes):
    """S5.3: detected within 5 s, recovery within 10 s, five active within 15 s, complete within 30 s."""
    agents = [fresh("a") for _ in range(5)]
    places = start(nodes, agents)
    asked = nodes[0].ask("POST", f"{BASE}/groups", {"agents": agents, "steps": 25, "task": "long-running"})
    name = asked.body["id"]
    wait_until(lambda: group(nodes[1], name)["state"] == "active", 10, "the group to be active")
    crashed, began = agents[:2], time.monotonic()
    for agent in crashed:
        places[agent].kill_agent(agent)
    wait_until(lambda: sorted(group(nodes[2], name)["failed_agents"]) == sorted(crashed), 5, "detection")
    wait_until(lambda: group(nodes[3], name)["recovery"]["initiated"], 5, "recovery")
    replacements = [fresh("b") for _ in range(2)]
    start(nodes[2:], replacements)
    wait_until(lambda: len(group(nodes[0], name)["active_agents"]) == 5, 15, "five active agents")
    assert sorted(group(nodes[0], name)["replacement_agents"]) == sorted(replacements)
    left_s = 30 - (time.monotonic() - began)
    wait_until(lambda: group(nodes[0], name)["state"] == "completed", left_s, "the group to complete")


def test_in_two_halves_every_node_says_so_and_returns(services, nodes):
    """S2.4: while a coordination runs, 2 | 2: every node notices within 15 s; afterwards the work goes on."""
    agents = [fresh("a") for _ in range(4)]
    start(nodes, agents)
    asked = nodes[0].ask("POST", f"{BASE}/groups", {"agents": agents, "steps": 10_000})
    name = asked.body["id"]
    outcome = services.run("consensus_halves")
    results = record(services.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (0, "pass"), results["reasons"]
    samples = [json.loads(line) for line in (services.newest() / "samples.jsonl").read_text().splitlines()]
    for node in NODES:
        modes = {one["mode"] for one in samples if one["node"] == node and one["t_s"] < 4 + 15}
        assert modes & {"partition_detected", "safe_mode"}, (node, modes)
    assert [node.ask("GET", "/v1/status").body["mode"] for node in nodes] == ["normal"] * 4

    def progress():
        return sum(slot["done"] for slot in group(nodes[3], name)["slots"])

    before = progress()
    wait_until(lambda: progress() > before, 10, "the work to go on")
