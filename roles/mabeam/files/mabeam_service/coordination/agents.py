# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Agents: processes that register with a lease, keep it alive, and ask what they are to do."""

from __future__ import annotations

import json
from typing import Any

from mabeam_service.coordination.board import Board, said
from mabeam_service.coordination.keys import AGENTS, ALLOCATIONS, GROUPS, key_of
from mabeam_service.coordination.refusals import conflict, not_found
from testbed_service.batch import create, get
from testbed_service.etcd import LeaseNotFound
from testbed_service.feed import held_of
from testbed_service.problems import Problem
from testbed_service.store import Store
from testbed_service.web import Answer, Arguments

LARGEST_LEASE = 2**63 - 1


class Agents:
    """The operations on agents."""

    def __init__(self, store: Store, board: Board) -> None:
        self._store, self._board = store, board

    async def register(self, arguments: Arguments) -> Answer:
        """Begin to be an agent, for as long as the lease is kept alive."""
        agent, asked = arguments.parameters["agent"], arguments.body
        grant = await self._store.ask("/v3/lease/grant", {"TTL": str(asked.get("ttl_s", 2))}, writes=True)
        lease, available = str(grant["ID"]), asked.get("available", True)
        operation = create(key_of(AGENTS, agent), json.dumps({"available": available}), lease)
        step = await self._store.do_alone(operation)
        if step.succeeded:
            return Answer(
                201, {"agent": agent, "lease": lease, "ttl_s": int(grant["TTL"]), "available": available}
            )
        raise conflict("already-registered", "There is an agent of that name.", f"{agent} is registered")

    async def beat(self, arguments: Arguments) -> Answer:
        """Keep a lease alive; return what the agent is to do, as far as this node knows."""
        agent, lease = arguments.parameters["agent"], arguments.body["lease"]
        if int(lease) > LARGEST_LEASE:
            raise _no_lease(lease)
        answer = await self._store.ask("/v3/lease/keepalive", {"ID": lease}, writes=True)
        ttl_s = int(answer["result"].get("TTL", 0))
        if ttl_s <= 0:
            raise _no_lease(lease)
        return Answer(200, {"agent": agent, "ttl_s": ttl_s, "assignments": self._assignments(agent, lease)})

    def _assignments(self, agent: str, lease: str) -> list[dict[str, Any]]:
        own = []
        for name, group in self._board.of_kind(GROUPS).items():
            for slot, held in group.below("slots").items():
                if said(held) == {"agent": agent, "lease": lease} and "plan" in group:
                    plan, progress = said(group["plan"]), group.get(f"progress/{slot}")
                    done = said(progress)["done"] if progress else 0
                    own.append(
                        {"group": name, "slot": int(slot), "token": held.revision, "done": done}
                        | {"steps": plan["steps"], "task": plan["task"]}
                    )
        return own

    async def lookup(self, arguments: Arguments) -> Answer:
        """Return an agent."""
        agent = arguments.parameters["agent"]
        step = await self._store.do(get(key_of(AGENTS, agent)))
        if not step.found:
            raise not_found("agent", agent)
        held = held_of(step.found[0])
        return Answer(200, {"agent": agent, "lease": held.lease, "available": said(held)["available"]})

    async def leave(self, arguments: Arguments) -> Answer:
        """Be an agent no longer."""
        agent = arguments.parameters["agent"]
        step = await self._store.do(get(key_of(AGENTS, agent)))
        if not step.found:
            raise not_found("agent", agent)
        try:
            lease = held_of(step.found[0]).lease
            await self._store.ask("/v3/lease/revoke", {"ID": lease}, writes=True)
        except LeaseNotFound:
            raise not_found("agent", agent) from None
        return Answer(204)

    async def resources(self, arguments: Arguments) -> Answer:
        """Return what an agent has of each resource, as far as this node knows."""
        agent = arguments.parameters["agent"]
        allocations = {
            name: said(allocation["shares"])["shares"][agent]
            for name, allocation in self._board.of_kind(ALLOCATIONS).items()
            if "shares" in allocation and agent in said(allocation["shares"])["shares"]
        }
        if not allocations and agent not in self._board.agents:
            raise not_found("agent", agent)
        total: dict[str, int] = {}
        for shares in allocations.values():
            for resource, units in shares.items():
                total[resource] = total.get(resource, 0) + units
        return Answer(200, {"agent": agent, "allocated_resources": total, "allocations": allocations})


def _no_lease(lease: str) -> Problem:
    return Problem("lease-not-found", f"there is no lease {lease}", status=404, title="The lease has ended.")
