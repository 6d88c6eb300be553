# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Coordination says that it did not do what it was asked, and how it names what is new."""

from __future__ import annotations

import uuid
from typing import Any

from mabeam_service.coordination.keys import AGENTS, key_of, present
from testbed_service.batch import get
from testbed_service.etcd import decoded
from testbed_service.problems import Problem


def name_for(body: dict[str, Any]) -> str:
    """Return the name that a new thing was given, or one of its own."""
    return str(body.get("id") or uuid.uuid4())


def not_found(kind: str, name: str) -> Problem:
    """Return the problem of a thing that there is not."""
    return Problem("not-found", f"there is no {kind} {name}")


def conflict(kind: str, title: str, detail: str, **more: Any) -> Problem:
    """Return the problem of a request that what is there does not allow."""
    return Problem(kind, detail, status=409, title=title, **more)


def exists(kind: str, name: str) -> Problem:
    """Return the problem of a name that another thing has."""
    return conflict("already-exists", "There is one of that name.", f"there is a {kind} {name}")


def has_ended(kind: str, name: str) -> Problem:
    """Return the problem of a thing that came to its end."""
    return conflict("closed", "It has ended.", f"the {kind} {name} has ended")


class Registered:
    """That some agents are registered: to be compared by etcd, and to be looked up where it was not so."""

    def __init__(self, agents: list[str]) -> None:
        self._keys = {key_of(AGENTS, agent): agent for agent in agents}
        self.compare = [present(key) for key in self._keys]
        self.requests = [get(key).step for key in self._keys]

    def missing(self, found: list[dict[str, Any]]) -> list[str]:
        """Return the agents that were not among what etcd found."""
        there = {decoded(kv["key"]) for kv in found}
        return [agent for key, agent in self._keys.items() if key not in there]


def unknown_agents(missing: list[str]) -> Problem:
    """Return the problem of agents that are not registered."""
    shown = ", ".join(missing[:5])
    return Problem(
        "unknown-agents", f"not registered: {shown}", status=404, title="There are no such agents."
    )


def found_key(found: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """Return one of the key-values that etcd found."""
    return next((kv for kv in found if decoded(kv["key"]) == key), None)
