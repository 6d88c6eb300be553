# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts: opened with a deposit, which is where all money comes from; never removed."""

from __future__ import annotations

import json
import time
from typing import Any

from mabeam_service.economics.keys import account_key
from mabeam_service.economics.ledger_rules import account_of
from mabeam_service.economics.refusals import not_found, refusal
from testbed_service.assembly import Base
from testbed_service.batch import create, get
from testbed_service.etcd import after_prefix, encoded
from testbed_service.feed import held_of
from testbed_service.web import Answer, Arguments

MOST = 10_000
"""Accounts of one answer."""


def shown(value: str, revision: int) -> dict[str, Any]:
    """Return an account as the API shows it."""
    account = json.loads(value)
    return {**{name: account[name] for name in ("account", "balance", "deposit")}, "revision": revision}


class Accounts:
    """The operations on accounts."""

    def __init__(self, base: Base) -> None:
        self._store, self._view = base.store, base.feed

    async def open(self, arguments: Arguments) -> Answer:
        """Open an account with a deposit."""
        name, deposit = (
            arguments.parameters["account"],
            int(arguments.body["deposit"]),
        )  # 5.0 is an integer too
        account = account_of(name, deposit, time.time())
        step = await self._store.do(create(account_key(name), json.dumps(account)))
        if not step.succeeded:
            raise refusal("already-exists", f"there is an account {name}")
        return Answer(201, shown(json.dumps(account), step.revision))

    async def read(self, arguments: Arguments) -> Answer:
        """Return an account."""
        name = arguments.parameters["account"]
        step = await self._store.do(get(account_key(name)))
        if not step.found:
            raise not_found("account", name)
        held = held_of(step.found[0])
        return Answer(200, shown(held.value, held.revision))

    async def read_all(self, arguments: Arguments) -> Answer:
        """Return all accounts whose names begin with something, as they are at one moment."""
        prefix = account_key(arguments.parameters["prefix"])
        body = {"key": encoded(prefix), "range_end": encoded(after_prefix(prefix)), "limit": str(MOST)}
        answer = await self._store.ask("/v3/kv/range", body, writes=False)
        held = [held_of(kv) for kv in answer.get("kvs", [])]
        return Answer(
            200,
            {
                "accounts": [shown(each.value, each.revision) for each in held],
                "complete": not answer.get("more", False),
                "revision": int(answer["header"]["revision"]),
            },
        )

    async def need(self, name: str) -> None:
        """Raise a Problem unless there is such an account; one that this node has seen is there for good."""
        key = account_key(name)
        if key not in self._view.view and not (await self._store.do(get(key))).found:
            raise not_found("account", name)
