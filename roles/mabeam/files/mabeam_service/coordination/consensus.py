# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ConsensusProtocol: proposals, votes, and what a quorum decides, once."""

from __future__ import annotations

import json
from typing import Any

from mabeam_service.coordination import consensus_rules
from mabeam_service.coordination.board import said
from mabeam_service.coordination.keys import CONSENSUS, OUTCOME, Parts, key_of, present, read
from mabeam_service.coordination.refusals import (
    conflict,
    exists,
    found_key,
    has_ended,
    name_for,
    not_found,
)
from testbed_service.assembly import Base
from testbed_service.batch import absent, get, put, when
from testbed_service.feed import Held
from testbed_service.problems import Problem
from testbed_service.web import Answer, Arguments


class Consensus:
    """The operations on proposals."""

    def __init__(self, base: Base) -> None:
        self._base, self._store = base, base.store

    async def initiate(self, arguments: Arguments) -> Answer:
        """Propose something to some members."""
        asked, name = arguments.body, name_for(arguments.body)
        members = len(asked["members"])
        least = consensus_rules.majority(members)
        quorum = asked.get("quorum", least)
        if not least <= quorum <= members:
            raise Problem("invalid-request", f"a quorum of {members} members is from {least} to {members}")
        proposal = {
            "subject": asked.get("subject", ""),
            "members": asked["members"],
            "quorum": quorum,
            "timeout_s": asked.get("timeout_s", 60),
        }
        key = key_of(CONSENSUS, name, "proposal")
        event = self._base.publisher.event("coordination.consensus.initiated", {"consensus_id": name})
        step = await self._store.do_alone(when([absent(key)], [put(key, json.dumps(proposal)), event], []))
        if not step.succeeded:
            raise exists("consensus", name)
        return Answer(201, {"id": name, **proposal})

    async def vote(self, arguments: Arguments) -> Answer:
        """Take the one vote of a member."""
        name, agent, choice = (
            arguments.parameters["consensus"],
            arguments.body["agent"],
            arguments.body["vote"],
        )
        proposal = await self._proposal(name)
        if agent not in proposal["members"]:
            raise Problem("not-a-member", f"{agent} is no member", status=403, title="Only members vote.")
        key = key_of(CONSENSUS, name, "votes", agent)
        ends = [key_of(CONSENSUS, name, part) for part in (OUTCOME, "closing")]
        compare = [present(key_of(CONSENSUS, name, "proposal")), absent(key), *map(absent, ends)]
        requests = [get(each).step for each in (key, *ends)]
        operation = when(compare, [put(key, json.dumps({"vote": choice}))], requests, key)
        step = await self._store.do(operation)
        if step.succeeded:
            return Answer(200, {"id": name, "agent": agent, "vote": choice})
        if found_key(step.found, key):
            raise conflict("already-voted", "A member votes once.", f"{agent} has voted")
        raise has_ended("consensus", name) if step.found else not_found("consensus", name)

    async def _proposal(self, name: str) -> dict[str, Any]:
        """Return a proposal; it never changes, so what this node has of it will do."""
        held: Held | None = self._base.feed.view.get(key_of(CONSENSUS, name, "proposal"))
        held = held or (await read(self._store, CONSENSUS, name)).get("proposal")
        if held is None:
            raise not_found("consensus", name)
        return said(held)

    async def status(self, arguments: Arguments) -> Answer:
        """Return a proposal, its votes, and what was decided."""
        name = arguments.parameters["consensus"]
        parts = await read(self._store, CONSENSUS, name)
        if "proposal" not in parts:
            raise not_found("consensus", name)
        return Answer(200, consensus_record(name, parts))


def consensus_record(name: str, parts: Parts) -> dict[str, Any]:
    """Return a consensus as the API shows it.

    `completions` is how often etcd has seen an outcome written: once, unless there is a defect.
    """
    outcome = None
    if OUTCOME in parts:
        outcome = {**said(parts[OUTCOME]), "revision": parts[OUTCOME].revision}
    votes = {agent: said(held)["vote"] for agent, held in parts.below("votes").items()}
    completions = parts.versions.get(OUTCOME, 0)
    return {
        "id": name, **said(parts["proposal"]), "votes": votes, "completions": completions, "outcome": outcome,
    }  # fmt: skip
