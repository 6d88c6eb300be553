# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put Coordination together."""

from __future__ import annotations

from mabeam_service.coordination.agents import Agents
from mabeam_service.coordination.board import Board, said
from mabeam_service.coordination.consensus import Consensus
from mabeam_service.coordination.coordinator import Work
from mabeam_service.coordination.election import Election
from mabeam_service.coordination.groups import Groups
from mabeam_service.coordination.keys import ALLOCATIONS, CONSENSUS, GROUPS
from mabeam_service.coordination.resources import Resources
from mabeam_service.part import Part
from testbed_service.assembly import Base
from testbed_service.web import Answer, Arguments

TWO_COORDINATORS = "two_coordinators"


def make(base: Base) -> Part:
    """Return Coordination as a part of the service."""
    faulty, board = base.faulty(TWO_COORDINATORS), Board()
    election = Election(base.store, board, base.settings["node"], steadfast=faulty)
    work = Work(base, board, election, unfenced=faulty)
    agents, groups = Agents(base.store, board), Groups(base)
    consensus, resources = Consensus(base), Resources(base)

    async def status(_arguments: Arguments) -> Answer:
        held = board.coordinator
        known = {"node": said(held)["node"], "token": held.revision} if held else None
        return Answer(
            200,
            {
                "node": base.settings["node"],
                "mode": base.store.mode,
                "coordinates": election.coordinator is not None,
                "coordinator": known,
                "agents": len(board.agents),
                "open": {kind: len(board.of_kind(kind)) for kind in (GROUPS, CONSENSUS, ALLOCATIONS)},
            },
        )

    handlers = {
        "readCoordination": status,
        "registerAgent": agents.register,
        "readAgent": agents.lookup,
        "removeAgent": agents.leave,
        "keepAgentAlive": agents.beat,
        "readAgentResources": agents.resources,
        "coordinateAgentGroup": groups.coordinate,
        "readAgentGroup": groups.status,
        "reportSteps": groups.report,
        "initiateConsensus": consensus.initiate,
        "readConsensus": consensus.status,
        "castVote": consensus.vote,
        "createPool": resources.create_pool,
        "readPool": resources.read_pool,
        "allocateResources": resources.allocate,
        "readAllocation": resources.status,
        "releaseAllocation": resources.release,
        "reportUse": resources.use,
    }
    return Part(handlers, [election.take_part(), work.go_on()])
