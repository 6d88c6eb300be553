# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A planted bug: a node that returns from a cut begins its feed anew, without what came meanwhile."""

from __future__ import annotations

import asyncio

from testbed_service.etcd import StoreError
from testbed_service.mode import NORMAL
from testbed_service.store import Store

LOOK_S = 0.05


class Forgetful:
    """Leaves out every change up to the one at which the node reached a majority again."""

    def __init__(self) -> None:
        self._cut, self._until = False, 0

    def leaves_out(self, revision: int) -> bool:
        """Whether the changes of a revision are left out."""
        return self._cut or revision <= self._until

    async def watch(self, store: Store) -> None:
        """Look at the mode, without end, from when the node has been well for the first time."""
        while store.mode != NORMAL:
            await asyncio.sleep(LOOK_S)
        while True:
            if store.mode != NORMAL:
                self._cut = True
            elif self._cut:
                await self._begin_anew(store)
            await asyncio.sleep(LOOK_S)

    async def _begin_anew(self, store: Store) -> None:
        body = {"key": "Lw==", "limit": "1", "keys_only": True}
        try:
            answer = await store.ask("/v3/kv/range", body, writes=False)
        except StoreError:
            return
        self._until, self._cut = int(answer["header"]["revision"]), False
