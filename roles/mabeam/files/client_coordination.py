# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Coordination over HTTP: the requests of the workload `consensus`, and what a history keeps of answers."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.roles.service.files.client import Request, name_of

READS = frozenset({"read"})
NEGATIVE = {
    "already-exists": "already_exists",
    "already-voted": "already_voted",
    "closed": "closed",
    "not-found": "not_found",
}
"""Problems that answer the question, and the words of a history for them."""
CONSENSUS = "/v1/coordination/consensus"


def member(number: int) -> str:
    """Return the name of a member of a proposal."""
    return f"member{number}"


def request_of(f: str, key: str, value: Any) -> Request:
    """Return the request of an operation; `write` is a probe's, which makes a proposal of its own."""
    name = name_of(key)
    if f == "read":
        return Request("GET", f"{CONSENSUS}/{name}")
    if f in ("propose", "write"):
        members = [member(number) for number in range(value if f == "propose" else 1)]
        return Request("POST", CONSENSUS, {"id": name, "members": members})
    if f == "vote":
        return Request("POST", f"{CONSENSUS}/{name}/votes", {"agent": member(value[0]), "vote": value[1]})
    raise ValueError(f"no operation {f}")


def done_value(f: str, value: Any, body: Any) -> Any:
    """Return what a history keeps of a success."""
    return consensus_value(body) if f == "read" else value


def consensus_value(body: Any) -> dict[str, Any]:
    """Return a consensus as a history has it: members by number, the coordinator by its token."""
    outcome = body["outcome"]
    return {
        "members": len(body["members"]),
        "quorum": body["quorum"],
        "votes": _votes(body["votes"]),
        "completions": body["completions"],
        "outcome": outcome
        and {
            "decision": outcome["decision"],
            "votes": _votes(outcome["votes"]),
            "token": outcome["coordinator"]["token"],
            "revision": outcome["revision"],
        },
    }


def _votes(said: dict[str, str]) -> dict[str, str]:
    return {agent.removeprefix("member"): vote for agent, vote in said.items()}
