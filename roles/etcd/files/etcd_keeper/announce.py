# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a member that has just joined serve without delay.

etcd serves clients once it has seen its own address come by in the log. It proposes it as it starts; where a
snapshot has it already, it never comes by, and etcd waits for seven seconds (five, and two election
time-outs) before it proposes again. Started anew, it has the snapshot and is through at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from etcd_keeper.decisions import Known, Listing, Member, own_learner
from etcd_keeper.settings import Settings, announced_anew, keep_announced_anew

AGREED_S = 0.3
"""Seconds that an announcement is given once the leader has the address; one that is not lost takes 0.1 s."""
PROPOSED_S = 2.0
"""Seconds that it is given until then, the start of etcd among them."""


class Announcement:
    """Watches over the first announcement of a member; once for each."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._since: tuple[Member, float] | None = None

    @property
    def waits(self) -> bool:
        """Whether an announcement is on its way."""
        return self._since is not None

    def served(self) -> None:
        """The own member answers."""
        self._since = None

    def is_lost(self, place: Known | None, listing: Listing | None) -> bool:
        """Tell whether etcd, which runs and does not answer, is to be started anew; once for each place."""
        own = own_learner(place, self._settings.peer_url, listing)
        if own is None or announced_anew(self._settings) == own.id:
            self._since = None
            return False
        if self._since is None or self._since[0] != own:
            self._since = own, self._clock()
        if self._clock() - self._since[1] < (AGREED_S if own.client_url else PROPOSED_S):
            return False
        keep_announced_anew(self._settings, own.id)
        return True
