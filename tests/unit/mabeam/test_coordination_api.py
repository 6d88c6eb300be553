# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Coordination through its API, every answer held against its own description."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import quote

from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import ROLES_DIR, read_system
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import eventually, kind, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mabeam_service import __main__ as service
from mabeam_service.coordination.keys import COORDINATOR
from testbed_service.etcd import Refused

BASE = "/v1/coordination"


def served(scenario, **more):
    """Run a scenario against one node."""

    async def go():
        etcd = FakeEtcd()
        async with serving(service, etcd, **more) as ask:
            return await scenario(ask, etcd)

    return asyncio.run(go())


def told(etcd, topic):
    """Return the payloads of all events of a topic, in order."""
    events = [
        json.loads(base64.b64decode(event["kv"]["value"]))
        for events in etcd.log
        for event in events
        if base64.b64decode(event["kv"]["key"]).startswith(b"/foundation/events/")
    ]
    return [event["payload"] for event in events if event["topic"] == topic]


async def register(ask, *agents, available=True):
    return {
        agent: (await ask("PUT", f"{BASE}/agents/{agent}", {"available": available})).body["lease"]
        for agent in agents
    }


async def group_of(ask, name):
    return (await ask("GET", f"{BASE}/groups/{name}")).body


async def work(ask, agent, lease, steps=None):
    """Do what an agent is to do, as far as it knows of it."""
    duties = (await ask("POST", f"{BASE}/agents/{agent}/heartbeat", {"lease": lease})).body["assignments"]
    for duty in duties:
        report = {"token": duty["token"], "done": steps or duty["steps"]}
        path = f"{BASE}/groups/{duty['group']}/slots/{duty['slot']}/reports"
        assert (await ask("POST", path, report)).status == 200
    return duties


def test_agents_coordinate_as_a_group_and_complete():
    """S4.3 and S6.4: an id, a status that can be read, and an end that an event tells of, once."""

    async def scenario(ask, etcd):
        leases = await register(ask, "a", "b", "c")
        asked = await ask("POST", f"{BASE}/groups", {"agents": ["a", "b", "c"], "steps": 2, "task": "count"})
        name = asked.body["id"]
        assert asked.status == 201

        async def active():
            return (await group_of(ask, name))["state"] == "active"

        await eventually(active)
        for agent, lease in leases.items():
            await eventually(lambda agent=agent, lease=lease: work(ask, agent, lease))

        async def completed():
            return (await group_of(ask, name))["state"] == "completed"

        await eventually(completed)
        status = await group_of(ask, name)
        assert [slot["done"] for slot in status["slots"]] == [2, 2, 2]
        assert status["failed_agents"] == []
        assert told(etcd, "coordination.group.completed") == [{"group": name}]

    served(scenario)


def test_crashed_agents_are_replaced_and_their_reports_no_longer_count():
    """S5.3: the end of a lease is noticed, recovery begins, and standing-by agents take the slots."""

    async def scenario(ask, etcd):
        leases = await register(ask, "a", "b", "c")
        name = (await ask("POST", f"{BASE}/groups", {"agents": ["a", "b", "c"], "steps": 10})).body["id"]
        (duty,) = await eventually(lambda: work(ask, "a", leases["a"], steps=4))
        await eventually(lambda: work(ask, "b", leases["b"], steps=4))
        await etcd.ask("/v3/lease/revoke", {"ID": leases["a"]}, 1.0, True)
        await etcd.ask("/v3/lease/revoke", {"ID": leases["b"]}, 1.0, True)

        async def failed():
            return set((await group_of(ask, name))["failed_agents"]) == {"a", "b"}

        await eventually(failed)
        status = await group_of(ask, name)
        assert status["recovery"]["initiated"]
        assert status["active_agents"] == ["c"]
        late = {"token": duty["token"], "done": 9}
        refused = await ask("POST", f"{BASE}/groups/{name}/slots/{duty['slot']}/reports", late)
        assert (refused.status, kind(refused)) == (409, "superseded")
        leases |= await register(ask, "d", "e")

        async def whole():
            return len((await group_of(ask, name))["active_agents"]) == 3

        await eventually(whole)
        assert sorted((await group_of(ask, name))["replacement_agents"]) == ["d", "e"]
        (taken_over,) = await eventually(lambda: work(ask, "d", leases["d"]))
        assert taken_over["done"] == 4  # where the one before it was
        for agent in ("c", "e"):
            await eventually(lambda agent=agent: work(ask, agent, leases[agent]))

        async def completed():
            return (await group_of(ask, name))["state"] == "completed"

        await eventually(completed)
        failures = told(etcd, "coordination.agents.failed")
        assert sorted(agent for each in failures for agent in each["agents"]) == ["a", "b"]

    served(scenario)


def test_a_consensus_completes_once_and_members_vote_once():
    """S6.4: an id, ok for each vote, and the event that tells of the decision."""

    async def scenario(ask, etcd):
        asked = await ask("POST", f"{BASE}/consensus", {"members": ["a", "b", "c"], "subject": "more"})
        path = f"{BASE}/consensus/{asked.body['id']}"
        assert (asked.status, asked.body["quorum"]) == (201, 2)
        assert (await ask("POST", f"{path}/votes", {"agent": "a", "vote": "approve"})).status == 200
        again = await ask("POST", f"{path}/votes", {"agent": "a", "vote": "reject"})
        assert (again.status, kind(again)) == (409, "already-voted")
        stranger = await ask("POST", f"{path}/votes", {"agent": "z", "vote": "approve"})
        assert (stranger.status, kind(stranger)) == (403, "not-a-member")
        assert (await ask("GET", path)).body["outcome"] is None
        assert (await ask("POST", f"{path}/votes", {"agent": "b", "vote": "approve"})).status == 200

        async def completed():
            return (await ask("GET", path)).body["outcome"]

        outcome = await eventually(completed)
        assert (outcome["decision"], outcome["votes"]) == ("approved", {"a": "approve", "b": "approve"})
        late = await ask("POST", f"{path}/votes", {"agent": "c", "vote": "reject"})
        assert (late.status, kind(late)) == (409, "closed")
        assert (await ask("GET", path)).body["completions"] == 1
        (event,) = told(etcd, "coordination.consensus.completed")
        assert (event["consensus_id"], event["decision"]) == (asked.body["id"], "approved")

    served(scenario)


def test_a_consensus_without_a_quorum_expires():
    async def scenario(ask, etcd):
        asked = {"members": ["a", "b", "c"], "timeout_s": 1, "id": "late"}
        assert (await ask("POST", f"{BASE}/consensus", asked)).status == 201
        assert (await ask("POST", f"{BASE}/consensus", asked)).status == 409
        assert (
            await ask("POST", f"{BASE}/consensus/late/votes", {"agent": "a", "vote": "approve"})
        ).status == 200

        async def completed():
            return (await ask("GET", f"{BASE}/consensus/late")).body["outcome"]

        assert (await eventually(completed))["decision"] == "expired"

    served(scenario)


def test_a_pool_is_shared_and_shared_anew_as_use_changes():
    """S5.2: every agent holds some, and at least two reallocations follow changing use."""

    async def scenario(ask, etcd):
        agents = [f"a{number}" for number in range(10)]
        await register(ask, *agents)
        assert (
            await ask("POST", f"{BASE}/pools", {"id": "p", "capacity": {"cpu": 64, "memory": 100}})
        ).status == 201
        asked = {"pool": "p", "strategy": "fair_share", "agents": [{"agent": agent} for agent in agents]}
        name = (await ask("POST", f"{BASE}/allocations", asked)).body["id"]
        again = await ask("POST", f"{BASE}/allocations", asked)
        assert (again.status, kind(again)) == (409, "pool-in-use")
        path = f"{BASE}/allocations/{name}"

        async def allocated():
            answer = (await ask("GET", path)).body
            return answer["state"] == "allocated" and answer

        shares = (await eventually(allocated))["shares"]
        assert sorted(each["cpu"] for each in shares.values()) == [6] * 6 + [7] * 4
        for number, demand in enumerate(({"cpu": 1}, {"cpu": 2, "memory": 3}), 1):
            assert (await ask("PUT", f"{path}/usage/a0", {"demand": demand})).status == 200

            async def anew(number=number):
                return (await ask("GET", path)).body["reallocations"] == number

            await eventually(anew)

        async def known():
            own = await ask("GET", f"{BASE}/agents/a0/resources")
            return own.body["allocated_resources"] == {"cpu": 2, "memory": 3}

        await eventually(known)
        assert len(told(etcd, "coordination.resources.reallocated")) == 2
        assert (await ask("DELETE", path)).status == 204
        assert kind(await ask("DELETE", path)) == "closed"
        assert (await ask("GET", f"{BASE}/pools/p")).body["allocation"] is None

    served(scenario)


def test_what_there_is_not_is_said():
    async def scenario(ask, etcd):
        before = dict(etcd.kvs)
        for method, path, body in (
            ("GET", "/agents/x", None),
            ("DELETE", "/agents/x", None),
            ("GET", "/agents/x/resources", None),
            ("POST", "/agents/x/heartbeat", {"lease": "7"}),
            ("POST", "/agents/x/heartbeat", {"lease": str(2**63)[:19]}),
            ("POST", "/groups", {"agents": ["x"]}),
            ("GET", "/groups/x", None),
            ("GET", "/groups/x?consistency=local", None),
            ("POST", "/groups/x/slots/0/reports", {"token": 1, "done": 1}),
            ("GET", "/consensus/x", None),
            ("POST", "/consensus/x/votes", {"agent": "a", "vote": "approve"}),
            ("GET", "/pools/x", None),
            ("POST", "/allocations", {"pool": "x", "strategy": "priority", "agents": [{"agent": "x"}]}),
            ("GET", "/allocations/x", None),
            ("DELETE", "/allocations/x", None),
            ("PUT", "/allocations/x/usage/a", {"demand": {}}),
        ):
            answer = await ask(method, BASE + path, body)
            assert answer.status == 404, (method, path, answer)
        later = {key: value for key, value in etcd.kvs.items() if not key.endswith("/coordinator")}
        assert later == {key: value for key, value in before.items() if not key.endswith("/coordinator")}

    served(scenario)


async def elected(etcd, nodes, after=0):
    """Return the record of a coordinator elected after a revision, once all know it and its own says so."""

    async def known():
        record = etcd.kvs.get(COORDINATOR)
        said = [(await ask("GET", f"{BASE}/status")).body for ask in nodes]
        if record is None or not all(each["coordinator"] for each in said):
            return None
        token = int(record["create_revision"])
        agreed = all(each["coordinator"]["token"] == token for each in said)
        acting = any(each["coordinates"] and each["node"] == each["coordinator"]["node"] for each in said)
        return token > after and agreed and acting and record

    return await eventually(known)


async def end_election(etcd, record):
    """Take the coordinator's lease away without telling it."""
    await etcd.ask("/v3/lease/revoke", {"ID": record["lease"]}, 1.0, True)


def test_one_node_coordinates_and_another_takes_over_when_its_lease_ends():
    async def scenario():
        etcd = FakeEtcd()
        async with serving(service, etcd) as first, serving(service, etcd, node="n2") as second:
            record = await elected(etcd, (first, second))
            await end_election(etcd, record)
            await elected(etcd, (first, second), after=int(record["create_revision"]))
            said = [(await ask("GET", f"{BASE}/status")).body["coordinates"] for ask in (first, second)]
            return sum(said)

    assert asyncio.run(scenario()) == 1


async def completed_under_two(faulty, completions):
    """Return a consensus that was decided after the first coordinator had lost its lease unawares."""
    etcd = FakeEtcd()
    async with (
        serving(service, etcd, faulty=faulty) as first,
        serving(service, etcd, node="n2", faulty=faulty) as second,
    ):
        record = await elected(etcd, (first, second))
        await end_election(etcd, record)
        await elected(etcd, (first, second), after=int(record["create_revision"]))
        await first("POST", f"{BASE}/consensus", {"id": "c", "members": ["a"]})
        etcd.delay_s = 0.3  # longer than from one node's view of a vote to the other's
        await second("POST", f"{BASE}/consensus/c/votes", {"agent": "a", "vote": "approve"})

        async def completed():
            return (await first("GET", f"{BASE}/consensus/c")).body["completions"] >= completions

        await eventually(completed)
        await asyncio.sleep(0.3)  # room for a completion too many
        return (await first("GET", f"{BASE}/consensus/c")).body, told(
            etcd, "coordination.consensus.completed"
        )


def test_a_planted_bug_lets_two_nodes_complete_a_consensus():
    """What elections and tokens are for: without them one consensus completes twice."""
    consensus, events = asyncio.run(completed_under_two([], 1))
    assert (consensus["completions"], len(events)) == (1, 1)
    consensus, events = asyncio.run(completed_under_two([service.coordination.TWO_COORDINATORS], 2))
    assert (consensus["completions"], len(events)) == (2, 2)


def test_a_node_without_a_majority_says_so_in_what_it_knows_of_a_group():
    """S2.4: a group's status tells the node's mode, from its own view or in the problem."""

    async def scenario(ask, etcd):
        await register(ask, "a")
        await ask("POST", f"{BASE}/groups", {"id": "g", "agents": ["a"], "steps": 100})

        async def known():
            return (await ask("GET", f"{BASE}/groups/g?consistency=local")).status == 200

        await eventually(known)

        async def normal():
            return (await group_of(ask, "g")).get("mode") == "normal"

        await eventually(normal)

        async def unreachable(*_arguments, **_more):
            raise Refused("timeout")

        etcd.ask = unreachable

        async def safe():
            return (await ask("GET", f"{BASE}/groups/g?consistency=local")).body["mode"] == "safe_mode"

        await eventually(safe)
        refused = await ask("POST", f"{BASE}/consensus", {"members": ["a"]})
        assert (refused.status, kind(refused), refused.body["mode"]) == (503, "no-majority", "safe_mode")
        refused = await ask("GET", f"{BASE}/groups/g")
        assert (refused.status, refused.body["mode"]) == (503, "safe_mode")

    served(scenario, detect_s=0.6, safe_s=1.2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["agents", "members", "id", "pool", "strategy", "capacity", "demand", "vote", "agent"]
)
BODY = st.none() | JSON | st.dictionaries(WORDS, JSON | st.just(["a"]) | st.just("a"), max_size=4)
PART = st.text(min_size=1, max_size=20) | st.integers(0, 2**70).map(str) | st.just("a")
OPERATIONS = [
    (operation.method, operation.path)
    for operation in service.description().operations.values()
    if "/coordination/" in operation.path
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), PART, BODY), max_size=8))
def test_nothing_that_is_asked_is_a_defect(requests):
    """Whatever comes is answered as the description says; what the service did not foresee would be a 500."""

    async def scenario(ask, etcd):
        for (method, path), part, body in requests:
            quoted = quote(part, safe="", errors="surrogatepass")
            for name in ("agent", "group", "slot", "consensus", "pool", "allocation"):
                path = path.replace(f"{{{name}}}", quoted)
            answer = await ask(method, path, body)
            assert answer.status < 500, answer

    served(scenario)


def test_the_description_is_served_and_its_schemas_are_schemas():
    async def scenario(ask, etcd):
        document = (await ask("GET", "/v1/openapi.json")).body
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        return document

    assert served(scenario) == service.description().document


def test_the_bugs_that_can_be_planted_are_those_that_the_role_knows():
    assert tuple(read_system("mabeam").options["faulty"].words) == service.FAULTY
    specs = (ROLES_DIR / "mabeam/meta/argument_specs.yml").read_text()
    assert f"choices: [{', '.join(service.FAULTY)}]" in specs
