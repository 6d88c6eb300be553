# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the keys of Coordination: `/mabeam/coordination/KIND/ID/PART`.

What belongs to one thing has one prefix, so that one range of etcd is all of it at one moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from testbed_service.batch import absent
from testbed_service.etcd import after_prefix, decoded, encoded
from testbed_service.feed import Held, held_of
from testbed_service.store import Store

ROOT = "/mabeam/coordination/"
COORDINATOR = f"{ROOT}coordinator"
AGENTS, GROUPS, CONSENSUS, POOLS, ALLOCATIONS = "agents", "groups", "consensus", "pools", "allocations"
OUTCOME = "outcome"
"""The part that is there when a thing has come to its end."""
ENDING = (GROUPS, CONSENSUS, ALLOCATIONS)
"""Kinds of things that come to an end."""


class Place(NamedTuple):
    """What a key is about; `part` is empty where the thing is one key."""

    kind: str
    name: str
    part: str


def key_of(kind: str, name: str, *part: str | int) -> str:
    """Return the key of a thing, or of a part of it."""
    return "/".join([f"{ROOT}{kind}", name, *map(str, part)])


def place_of(key: str) -> Place | None:
    """Return what a key is about; None for one that is of no thing."""
    if not key.startswith(ROOT):
        return None
    kind, _, rest = key.removeprefix(ROOT).partition("/")
    name, _, part = rest.partition("/")
    return Place(kind, name, part) if name else None


def present(key: str) -> dict[str, Any]:
    """Return the comparison that holds while there is such a key."""
    return {**absent(key), "result": "GREATER"}


def created(key: str, revision: int) -> dict[str, Any]:
    """Return the comparison that holds while a key is the one that `revision` created."""
    return {**absent(key), "create_revision": str(revision)}


def delete(key: str) -> dict[str, Any]:
    """Return the request that removes a key."""
    return {"requestDeleteRange": {"key": encoded(key)}}


class Parts(dict[str, Held]):
    """What etcd had of one thing at one moment, by part; `versions` says how often each was written."""

    versions: dict[str, int]

    def below(self, folder: str) -> dict[str, Held]:
        """Return the parts in a folder, by name."""
        start = f"{folder}/"
        return {part.removeprefix(start): held for part, held in self.items() if part.startswith(start)}


def parts_of(kvs: Iterable[dict[str, Any]]) -> Parts:
    """Return the parts that some key-values of one thing are."""
    parts, versions = Parts(), {}
    for kv in kvs:
        place = place_of(decoded(kv["key"]))
        if place is not None:
            parts[place.part] = held_of(kv)
            versions[place.part] = int(kv.get("version", 1))
    parts.versions = versions
    return parts


async def read(store: Store, kind: str, name: str) -> Parts:
    """Return all of one thing, as a majority has it; empty where there is none."""
    prefix = f"{key_of(kind, name)}/"
    body = {"key": encoded(prefix), "range_end": encoded(after_prefix(prefix))}
    answer = await store.ask("/v3/kv/range", body, writes=False)
    return parts_of(answer.get("kvs", []))
