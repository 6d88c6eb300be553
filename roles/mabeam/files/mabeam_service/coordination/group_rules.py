# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of a group of agents: a pure function of what is known of the group and of the agents.

A group has as many slots as it named agents. Each slot is held by one agent, under the revision that gave it
the slot: its token. An agent whose lease ended loses its slot; a registered agent that is free takes it and
goes on where the report of the one before it ended.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from mabeam_service.coordination.act import Act, Coordinator
from mabeam_service.coordination.board import Board, Thing, said
from mabeam_service.coordination.keys import AGENTS, GROUPS, OUTCOME, delete, key_of
from testbed_service.batch import absent, put, unchanged
from testbed_service.feed import Held

COMPLETED, EXPIRED = "completed", "expired"


class Slots(NamedTuple):
    """The slots of a group by number: those done, those held by a living agent, by a crashed one, by none."""

    done: list[int]
    active: dict[int, str]
    crashed: dict[int, str]
    vacant: list[int]


def slots_of(parts: dict[str, Held], board: Board) -> Slots:
    """Sort the slots of a group that was begun."""
    plan = said(parts["plan"])
    slots = Slots([], {}, {}, [])
    for number in range(len(plan["agents"])):
        held, progress = parts.get(f"slots/{number}"), parts.get(f"progress/{number}")
        holder = said(held) if held else None
        if progress and said(progress)["done"] >= plan["steps"]:
            slots.done.append(number)
        elif holder is None:
            slots.vacant.append(number)
        elif board.alive(holder["agent"], holder["lease"]):
            slots.active[number] = holder["agent"]
        else:
            slots.crashed[number] = holder["agent"]
    return slots


def free_agents(board: Board) -> list[str]:
    """Return the agents that offer themselves as replacements and hold no slot, in order."""
    busy = {
        said(held)["agent"]
        for group in board.of_kind(GROUPS).values()
        for held in group.below("slots").values()
    }
    named = {
        agent
        for group in board.of_kind(GROUPS).values()
        if "state" not in group and "plan" in group
        for agent in said(group["plan"])["agents"]
    }
    return sorted(
        name
        for name, held in board.agents.items()
        if said(held)["available"] and name not in busy and name not in named
    )


def next_act(
    name: str, group: Thing, board: Board, free: list[str], coordinator: Coordinator, now_s: float
) -> Act | None:
    """Return what is to be done next for a group; takes replacements out of `free`."""
    if "plan" not in group:
        return None
    if "state" not in group:
        return _begin(name, group, board)
    slots = slots_of(group, board)
    if len(slots.done) == len(said(group["plan"])["agents"]):
        return _end(name, group, COMPLETED, coordinator)
    if now_s - group.since_s >= said(group["plan"])["timeout_s"]:
        return _end(name, group, EXPIRED, coordinator)
    if slots.crashed:
        return _fail(name, group, board, slots.crashed)
    if slots.vacant and free:
        return _replace(name, group, board, slots.vacant, free)
    return None


def _given(name: str, slot: int, agent: str, board: Board) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the comparison and the write that give an agent a slot."""
    held = board.agents[agent]
    value = json.dumps({"agent": agent, "lease": held.lease})
    return unchanged(key_of(AGENTS, agent), held.revision), put(key_of(GROUPS, name, "slots", slot), value)


def _state(failed: Collection[str], replaced: Collection[str], recoveries: int) -> str:
    return json.dumps({"failed": list(failed), "replacements": list(replaced), "recoveries": recoveries})


def _begin(name: str, group: Thing, board: Board) -> Act:
    plan, key = said(group["plan"]), key_of(GROUPS, name, "state")
    alive = [(slot, agent) for slot, agent in enumerate(plan["agents"]) if agent in board.agents]
    failed = [agent for agent in plan["agents"] if agent not in board.agents]
    given = [_given(name, slot, agent, board) for slot, agent in alive]
    return Act(
        [absent(key), *(compare for compare, _ in given)],
        [put(key, _state(failed, [], int(bool(failed)))), *(write for _, write in given)],
        [
            ("coordination.group.started", {"group": name, "agents": [agent for _, agent in alive]}),
            *_failure_events(name, failed),
        ],
    )


def _failure_events(name: str, failed: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
    if not failed:
        return []
    return [
        ("coordination.agents.failed", {"group": name, "agents": list(failed)}),
        ("coordination.recovery.initiated", {"group": name, "wanted": len(failed)}),
    ]


def _fail(name: str, group: Thing, board: Board, crashed: dict[int, str]) -> Act:
    before, key = said(group["state"]), key_of(GROUPS, name, "state")
    compare = [unchanged(key, group["state"].revision)]
    for agent in sorted(set(crashed.values())):
        held = board.agents.get(agent)  # one that is back under another lease has crashed all the same
        own = key_of(AGENTS, agent)
        compare.append(unchanged(own, held.revision) if held else absent(own))
    failed = list(dict.fromkeys([*before["failed"], *crashed.values()]))
    slots = [key_of(GROUPS, name, "slots", slot) for slot in crashed]
    compare += [
        unchanged(slot, group[f"slots/{number}"].revision)
        for slot, number in zip(slots, crashed, strict=True)
    ]
    state = put(key, _state(failed, before["replacements"], before["recoveries"] + 1))
    return Act(compare, [state, *map(delete, slots)], _failure_events(name, list(crashed.values())))


def _replace(name: str, group: Thing, board: Board, vacant: list[int], free: list[str]) -> Act:
    before, key = said(group["state"]), key_of(GROUPS, name, "state")
    pairs = [(slot, free.pop(0)) for slot in vacant[: len(free)]]
    given = [_given(name, slot, agent, board) for slot, agent in pairs]
    joined = [agent for _, agent in pairs]
    state = put(key, _state(before["failed"], [*before["replacements"], *joined], before["recoveries"]))
    return Act(
        [unchanged(key, group["state"].revision), *(compare for compare, _ in given)],
        [state, *(write for _, write in given)],
        [("coordination.agents.joined", {"group": name, "agents": joined})],
    )


def _end(name: str, group: Thing, how: str, coordinator: Coordinator) -> Act:
    key, state = key_of(GROUPS, name, OUTCOME), key_of(GROUPS, name, "state")
    value = json.dumps({"state": how, "coordinator": coordinator.record})
    return Act(
        [absent(key), unchanged(state, group["state"].revision)],
        [put(key, value)],
        [(f"coordination.group.{how}", {"group": name})],
    )
