# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of an allocation: shares for the agents that live, anew when their use or number changes."""

from __future__ import annotations

import json

from mabeam_service.coordination.act import Act, Coordinator
from mabeam_service.coordination.board import Board, Thing, said
from mabeam_service.coordination.keys import ALLOCATIONS, OUTCOME, key_of
from mabeam_service.coordination.shares import shared
from testbed_service.batch import absent, put, unchanged


def wanted_shares(allocation: Thing, board: Board) -> dict[str, dict[str, int]]:
    """Return the shares that the living agents should have now."""
    plan, usage = said(allocation["plan"]), allocation.below("usage")
    wanted = {
        agent: said(usage[agent])["demand"] if agent in usage else asked["demand"]
        for agent, asked in plan["agents"].items()
        if agent in board.agents
    }
    priorities = {agent: asked["priority"] for agent, asked in plan["agents"].items()}
    return shared(plan["strategy"], plan["capacity"], wanted, priorities)


def next_act(name: str, allocation: Thing, board: Board, coordinator: Coordinator) -> Act | None:
    """Return what is to be done next for an allocation."""
    if "plan" not in allocation:
        return None
    key, before = key_of(ALLOCATIONS, name, "shares"), allocation.get("shares")
    shares = wanted_shares(allocation, board)
    if before is not None and said(before)["shares"] == shares:
        return None
    number = said(before)["number"] + 1 if before else 0
    value = {"shares": shares, "number": number, "coordinator": coordinator.record}
    topic = "coordination.resources.reallocated" if before else "coordination.resources.allocated"
    compare = [
        unchanged(key, before.revision) if before else absent(key),
        absent(key_of(ALLOCATIONS, name, OUTCOME)),  # nobody has released it
    ]
    told = {"allocation": name, "shares": shares, "number": number}
    return Act(compare, [put(key, json.dumps(value))], [(topic, told)])
