# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ResourceAllocator: pools of resources, and who holds how much of them."""

from __future__ import annotations

import json
from typing import Any

from mabeam_service.coordination.board import said
from mabeam_service.coordination.keys import ALLOCATIONS, OUTCOME, POOLS, Parts, delete, key_of, present, read
from mabeam_service.coordination.refusals import (
    Registered,
    conflict,
    exists,
    found_key,
    has_ended,
    name_for,
    not_found,
    unknown_agents,
)
from testbed_service.assembly import Base
from testbed_service.batch import absent, create, get, put, when
from testbed_service.problems import Problem
from testbed_service.web import Answer, Arguments


class Resources:
    """The operations on pools and allocations."""

    def __init__(self, base: Base) -> None:
        self._base, self._store = base, base.store

    async def create_pool(self, arguments: Arguments) -> Answer:
        """Make a pool."""
        name, capacity = name_for(arguments.body), arguments.body["capacity"]
        step = await self._store.do(create(key_of(POOLS, name, "plan"), json.dumps({"capacity": capacity})))
        if not step.succeeded:
            raise exists("pool", name)
        return Answer(201, {"id": name, "capacity": capacity, "allocation": None})

    async def read_pool(self, arguments: Arguments) -> Answer:
        """Return a pool, and the allocation that has it."""
        name = arguments.parameters["pool"]
        parts = await self._pool(name)
        taken = parts.get("allocation")
        allocation = said(taken)["id"] if taken else None
        return Answer(
            200, {"id": name, "capacity": said(parts["plan"])["capacity"], "allocation": allocation}
        )

    async def _pool(self, name: str) -> Parts:
        parts = await read(self._store, POOLS, name)
        if "plan" not in parts:
            raise not_found("pool", name)
        return parts

    async def allocate(self, arguments: Arguments) -> Answer:
        """Share a pool among registered agents; the coordinator works out and keeps up the shares."""
        asked, name, pool = arguments.body, name_for(arguments.body), arguments.body["pool"]
        capacity = said((await self._pool(pool))["plan"])["capacity"]
        agents = [each["agent"] for each in asked["agents"]]
        if len(set(agents)) < len(agents):
            raise Problem("invalid-request", "an agent is named twice")
        for each in asked["agents"]:
            _known_resources(capacity, each.get("demand", {}))
        plan = {
            "pool": pool,
            "strategy": asked["strategy"],
            "capacity": capacity,
            "agents": {
                each["agent"]: {"priority": each.get("priority", 0), "demand": each.get("demand", {})}
                for each in asked["agents"]
            },
        }
        await self._begin(name, plan, Registered(agents))
        return Answer(201, {"id": name, **plan})

    async def _begin(self, name: str, plan: dict[str, Any], agents: Registered) -> None:
        key, taken = key_of(ALLOCATIONS, name, "plan"), key_of(POOLS, plan["pool"], "allocation")
        told = {"allocation": name, "pool": plan["pool"]}
        event = self._base.publisher.event("coordination.resources.requested", told)
        step = await self._store.do_alone(
            when(
                [absent(key), absent(taken), *agents.compare],
                [put(key, json.dumps(plan)), put(taken, json.dumps({"id": name})), event],
                [get(key).step, get(taken).step, *agents.requests],
            )
        )
        if step.succeeded:
            return
        if found_key(step.found, key):
            raise exists("allocation", name)
        if found_key(step.found, taken):
            raise conflict(
                "pool-in-use", "Another allocation has the pool.", f"{plan['pool']} is shared already"
            )
        raise unknown_agents(agents.missing(step.found))

    async def _open(self, name: str) -> Parts:
        parts = await read(self._store, ALLOCATIONS, name)
        if "plan" not in parts:
            raise not_found("allocation", name)
        if OUTCOME in parts:
            raise has_ended("allocation", name)
        return parts

    async def use(self, arguments: Arguments) -> Answer:
        """Take from an agent how much it wants from now on."""
        name, agent = arguments.parameters["allocation"], arguments.parameters["agent"]
        demand, plan = arguments.body["demand"], said((await self._open(name))["plan"])
        if agent not in plan["agents"]:
            raise not_found("agent", f"{agent} in allocation {name}")
        _known_resources(plan["capacity"], demand)
        key = key_of(ALLOCATIONS, name, "usage", agent)
        compare = [present(key_of(ALLOCATIONS, name, "plan")), absent(key_of(ALLOCATIONS, name, OUTCOME))]
        step = await self._store.do(when(compare, [put(key, json.dumps({"demand": demand}))], [], key))
        if not step.succeeded:
            raise has_ended("allocation", name)
        return Answer(200, {"id": name, "agent": agent, "demand": demand})

    async def status(self, arguments: Arguments) -> Answer:
        """Return an allocation and its shares."""
        name = arguments.parameters["allocation"]
        parts = await read(self._store, ALLOCATIONS, name)
        if "plan" not in parts:
            raise not_found("allocation", name)
        shares = said(parts["shares"]) if "shares" in parts else None
        state = "released" if OUTCOME in parts else "allocated" if shares else "requested"
        return Answer(
            200,
            {
                "id": name,
                "state": state,
                **said(parts["plan"]),
                "shares": shares["shares"] if shares else {},
                "reallocations": shares["number"] if shares else 0,
            },
        )

    async def release(self, arguments: Arguments) -> Answer:
        """Give a pool back."""
        name = arguments.parameters["allocation"]
        pool = said((await self._open(name))["plan"])["pool"]
        ended, taken = key_of(ALLOCATIONS, name, OUTCOME), key_of(POOLS, pool, "allocation")
        event = self._base.publisher.event(
            "coordination.resources.released", {"allocation": name, "pool": pool}
        )
        writes = [put(ended, json.dumps({"state": "released"})), delete(taken), event]
        step = await self._store.do_alone(when([absent(ended)], writes, []))
        if not step.succeeded:
            raise has_ended("allocation", name)
        return Answer(204)


def _known_resources(capacity: dict[str, int], demand: dict[str, int]) -> None:
    unknown = sorted(set(demand) - set(capacity))
    if unknown:
        raise Problem("invalid-request", f"the pool has no {', '.join(unknown)}")
