# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AgentCoordinator: groups of agents that do something together, and how far they are."""

from __future__ import annotations

import json
from typing import Any

from mabeam_service.coordination.board import said
from mabeam_service.coordination.keys import GROUPS, OUTCOME, Parts, key_of, place_of, read
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
from testbed_service.batch import absent, get, put, unchanged, when
from testbed_service.problems import Problem
from testbed_service.web import Answer, Arguments

LOCAL = "local"


class Groups:
    """The operations on groups."""

    def __init__(self, base: Base) -> None:
        self._base, self._store = base, base.store

    async def coordinate(self, arguments: Arguments) -> Answer:
        """Make a group of registered agents; the coordinator hands out what it is to do."""
        asked, name = arguments.body, name_for(arguments.body)
        key, agents = key_of(GROUPS, name, "plan"), Registered(asked["agents"])
        plan = {
            "agents": asked["agents"],
            "task": asked.get("task", ""),
            "steps": asked.get("steps", 1),
            "timeout_s": asked.get("timeout_s", 300),
        }
        event = self._base.publisher.event(
            "coordination.group.initiated", {"group": name, "agents": asked["agents"]}
        )
        step = await self._store.do_alone(
            when(
                [absent(key), *agents.compare],
                [put(key, json.dumps(plan)), event],
                [get(key).step, *agents.requests],
            )
        )
        if step.succeeded:
            return Answer(201, {"id": name, **plan})
        raise (
            exists("group", name)
            if found_key(step.found, key)
            else unknown_agents(agents.missing(step.found))
        )

    async def status(self, arguments: Arguments) -> Answer:
        """Return how far a group is."""
        name = arguments.parameters["group"]
        if arguments.parameters["consistency"] == LOCAL:
            parts = self._local(name)
        else:
            parts = await read(self._store, GROUPS, name)
        if "plan" not in parts:
            raise not_found("group", name)
        return Answer(200, {"mode": self._store.mode, **group_record(name, parts)})

    def _local(self, name: str) -> Parts:
        places = ((place_of(key), held) for key, held in self._base.feed.view.items())
        return Parts({place.part: held for place, held in places if place and place[:2] == (GROUPS, name)})

    async def report(self, arguments: Arguments) -> Answer:
        """Take from the holder of a slot how many steps are done."""
        name, slot = arguments.parameters["group"], arguments.parameters["slot"]
        done, token = arguments.body["done"], arguments.body["token"]
        parts = await read(self._store, GROUPS, name)
        if "plan" not in parts or slot >= len(said(parts["plan"])["agents"]):
            raise not_found("slot", f"{slot} of a group {name}")
        if OUTCOME in parts:
            raise has_ended("group", name)
        steps, before = said(parts["plan"])["steps"], parts.get(f"progress/{slot}")
        if done > steps:
            raise Problem("invalid-request", f"the group has {steps} steps")
        if before and done < said(before)["done"]:
            raise conflict("superseded", "More has been reported.", f"{said(before)['done']} steps are done")
        slot_key, key = key_of(GROUPS, name, "slots", slot), key_of(GROUPS, name, "progress", slot)
        compare = [
            unchanged(slot_key, token),  # whoever lost the slot meanwhile reports in vain
            unchanged(key, before.revision) if before else absent(key),
            absent(key_of(GROUPS, name, OUTCOME)),
        ]
        step = await self._store.do_alone(when(compare, [put(key, json.dumps({"done": done}))], []))
        if not step.succeeded:
            raise conflict(
                "superseded", "The slot is another's now.", f"slot {slot} is not held under {token}"
            )
        return Answer(200, {"group": name, "slot": slot, "done": done, "steps": steps})


def group_record(name: str, parts: Parts) -> dict[str, Any]:
    """Return a group as the API shows it."""
    plan = said(parts["plan"])
    nothing: dict[str, Any] = {"failed": [], "replacements": [], "recoveries": 0}
    state = said(parts["state"]) if "state" in parts else nothing
    holders = {slot: said(held)["agent"] for slot, held in parts.below("slots").items()}
    progress = {slot: said(held)["done"] for slot, held in parts.below("progress").items()}
    outcome = said(parts[OUTCOME]) if OUTCOME in parts else None
    return {
        "id": name,
        "state": outcome["state"] if outcome else "active" if "state" in parts else "initiated",
        "task": plan["task"],
        "steps": plan["steps"],
        "agents": plan["agents"],
        "active_agents": sorted(set(holders.values())),
        "failed_agents": state["failed"],
        "replacement_agents": state["replacements"],
        "recovery": {"initiated": state["recoveries"] > 0, "number": state["recoveries"]},
        "slots": [
            {"slot": slot, "agent": holders.get(str(slot)), "done": progress.get(str(slot), 0)}
            for slot in range(len(plan["agents"]))
        ],
        "coordinator": outcome["coordinator"] if outcome else None,
    }
