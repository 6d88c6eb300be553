# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ProcessRegistry: who owns a name. Register, look up, unregister; leases; a feed of every change.

A name is one key of etcd, so that each operation is one step of one transaction: registering is a create
that needs the name to be absent, unregistering a removal that returns what was there.
"""

from __future__ import annotations

import json
from typing import Any

from testbed_service.batch import create, get, remove
from testbed_service.etcd import LeaseNotFound
from testbed_service.feed import Change, Feed, Gone, Held, held_of
from testbed_service.problems import Problem
from testbed_service.store import Store
from testbed_service.web import Answer, Arguments

PREFIX = "/foundation/registry/names/"
LARGEST_LEASE = 2**63 - 1
LOCAL = "local"


def registration(name: str, held: Held) -> dict[str, Any]:
    """Return a registration as the API shows it."""
    said = json.loads(held.value)
    return {
        "name": name,
        "owner": said["owner"],
        "metadata": said["metadata"],
        "lease": held.lease,
        "revision": held.revision,
    }


def change_record(change: Change) -> dict[str, Any]:
    """Return a change as the API shows it."""
    name = change.key.removeprefix(PREFIX)
    held = change.now or change.before
    what = "unregistered" if change.now is None else "registered"
    return {
        "change": what,
        "name": name,
        "owner": json.loads(held.value)["owner"] if held else None,
        "revision": change.revision,
    }


def not_found(name: str) -> Problem:
    """Return the problem of a name that nobody has."""
    return Problem("not-found", f"nobody has registered {name}")


class Registry:
    """The operations of the registry."""

    def __init__(self, store: Store, feed: Feed, local_reads: bool = False) -> None:
        """Make it; with `local_reads` every lookup is answered from the local view: a planted bug."""
        self._store, self._feed, self._local_reads = store, feed, local_reads
        self._changes = feed.log(PREFIX)

    async def register(self, arguments: Arguments) -> Answer:
        """Give an unowned name an owner."""
        name, asked = arguments.parameters["name"], arguments.body
        value = {"owner": asked["owner"], "metadata": asked.get("metadata", {})}
        lease = asked.get("lease")
        operation = create(PREFIX + name, json.dumps(value), lease)
        if lease is None:
            step = await self._store.do(operation)
        else:
            known_lease(lease)
            step = await _with_lease(self._store.do_alone(operation), lease)
        if step.succeeded:
            return Answer(201, {"name": name, **value, "lease": lease, "revision": step.revision})
        holder = registration(name, held_of(step.found[0]))
        raise Problem(
            "already-registered",
            f"{name} belongs to {holder['owner']}",
            status=409,
            title="Somebody has registered the name.",
            owner=holder["owner"],
        )

    async def lookup(self, arguments: Arguments) -> Answer:
        """Say who owns a name."""
        name = arguments.parameters["name"]
        if self._local_reads or arguments.parameters["consistency"] == LOCAL:
            held = self._feed.view.get(PREFIX + name)
        else:
            step = await self._store.do(get(PREFIX + name))
            held = held_of(step.found[0]) if step.found else None
        if held is None:
            raise not_found(name)
        return Answer(200, registration(name, held))

    async def unregister(self, arguments: Arguments) -> Answer:
        """Take a name from its owner, whoever that is."""
        name = arguments.parameters["name"]
        step = await self._store.do(remove(PREFIX + name))
        if not step.succeeded:
            raise not_found(name)
        return Answer(200, registration(name, held_of(step.found[0])))

    async def changes(self, arguments: Arguments) -> Answer:
        """Return the changes after a revision; wait for one."""
        given = arguments.parameters
        after = self._feed.revision if given["after"] is None else given["after"]
        try:
            found, reached = await self._changes.after(
                after, lambda _change: True, given["limit"], given["wait_s"]
            )
        except Gone as gone:
            raise Problem(
                "gone", f"changes are kept from {gone.oldest} on; look names up anew", oldest=gone.oldest
            ) from None
        return Answer(200, {"changes": [change_record(change) for change in found], "revision": reached})


class Leases:
    """Leases: names registered with one vanish when it ends."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed

    async def grant(self, arguments: Arguments) -> Answer:
        """Begin a lease."""
        answer = await self._store.ask("/v3/lease/grant", {"TTL": str(arguments.body["ttl_s"])}, writes=True)
        return Answer(201, {"lease": answer["ID"], "ttl_s": int(answer["TTL"])})

    async def keep_alive(self, arguments: Arguments) -> Answer:
        """Let a lease begin anew."""
        lease = known_lease(arguments.parameters["lease"])
        answer = await self._store.ask("/v3/lease/keepalive", {"ID": lease}, writes=True)
        ttl_s = int(answer["result"].get("TTL", 0))
        if ttl_s <= 0:
            raise no_lease(lease)
        return Answer(200, {"lease": lease, "ttl_s": ttl_s})

    async def revoke(self, arguments: Arguments) -> Answer:
        """End a lease, and the registrations that hang on it."""
        lease = known_lease(arguments.parameters["lease"])
        await _with_lease(self._store.ask("/v3/lease/revoke", {"ID": lease}, writes=True), lease)
        return Answer(204)


def known_lease(lease: str) -> str:
    """Return a lease that there can be; raises Problem for one beyond etcd's numbers."""
    if int(lease) > LARGEST_LEASE:
        raise no_lease(lease)
    return lease


def no_lease(lease: str) -> Problem:
    """Return the problem of a lease that has ended, or never was."""
    return Problem("lease-not-found", f"there is no lease {lease}", status=404, title="The lease has ended.")


async def _with_lease(asked: Any, lease: str) -> Any:
    try:
        return await asked
    except LeaseNotFound:
        raise no_lease(lease) from None
