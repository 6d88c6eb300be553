# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who coordinates: the node that created one key, for as long as it keeps the key's lease alive.

The revision that created the key is the token of that election. Tokens grow, and every write of a
coordinator compares the key with its token (fencing): one that was replaced, however late it notices,
changes nothing any more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

from mabeam_service.coordination.act import Coordinator
from mabeam_service.coordination.board import Board
from mabeam_service.coordination.keys import COORDINATOR, created
from testbed_service.batch import absent, get, put, when
from testbed_service.etcd import LeaseNotFound, StoreError
from testbed_service.store import Store

LOG = logging.getLogger(__name__)
TTL_S = 2
EVERY_S = 0.4
"""Seconds between two proofs that this node is still there, or two looks at whether nobody coordinates."""


class Election:
    """This node's part in the election."""

    def __init__(self, store: Store, board: Board, node: str, steadfast: bool = False) -> None:
        """Make it; `steadfast` is a planted bug: once elected, it never believes that another was."""
        self._store, self._board, self._node, self._steadfast = store, board, node, steadfast
        self._lease: str | None = None
        self._kept_s = 0.0
        self._token: int | None = None

    @property
    def coordinator(self) -> Coordinator | None:
        """This node as coordinator; None while it is not, or can no longer be sure."""
        if self._token is None:
            return None
        if not self._steadfast and self._doubtful(self._token):
            return None
        return Coordinator(self._node, self._token)

    def _doubtful(self, token: int) -> bool:
        """Whether another may be elected, or is; only the fence makes it sure that this node does no harm."""
        other = self._board.coordinator
        elected = other is not None and other.revision > token
        return elected or time.monotonic() - self._kept_s >= TTL_S

    def fence(self, coordinator: Coordinator) -> dict[str, Any]:
        """Return the comparison that holds while this coordinator is the one."""
        return created(COORDINATOR, coordinator.token)

    async def take_part(self) -> None:
        """Stand for election while nobody coordinates, stay elected while it can be; without end."""
        while True:
            began = time.monotonic()
            try:
                await (self._stand() if self._token is None else self._stay())
            except LeaseNotFound:
                self._resign("its lease ended")
            except StoreError:
                pass  # the time that the lease was last kept alive says enough
            await asyncio.sleep(max(EVERY_S - (time.monotonic() - began), 0.05))

    async def _stand(self) -> None:
        if self._board.coordinator is not None:
            return
        began = time.monotonic()
        if self._lease is None:
            grant = await self._store.ask("/v3/lease/grant", {"TTL": str(TTL_S)}, writes=True)
            self._lease = str(grant["ID"])
        value = put(COORDINATOR, json.dumps({"node": self._node}), self._lease)
        step = await self._store.do_alone(when([absent(COORDINATOR)], [value], [get(COORDINATOR).step]))
        if step.succeeded:
            self._token = step.revision
        elif (
            step.found and step.found[0].get("lease") == self._lease
        ):  # an earlier attempt was done after all
            self._token = int(step.found[0]["create_revision"])
        if self._token is None:
            self._lease = None
        else:
            self._kept_s = began
            LOG.info("this node coordinates, with token %d", self._token)

    async def _stay(self) -> None:
        began = time.monotonic()
        answer = await self._store.ask("/v3/lease/keepalive", {"ID": self._lease}, writes=False)
        if int(answer["result"].get("TTL", 0)) <= 0:
            self._resign("its lease ended")
        else:
            self._kept_s = began

    def _resign(self, why: str) -> None:
        if self._steadfast and self._token is not None:
            return
        if self._token is not None:
            LOG.info("this node no longer coordinates: %s", why)
        self._lease, self._token = None, None
