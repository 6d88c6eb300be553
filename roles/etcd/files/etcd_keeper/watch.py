# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""While etcd runs: look at the members. The leader's node has dead ones removed and learners promoted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from etcd_keeper import etcd_process, gateway
from etcd_keeper.announce import Announcement
from etcd_keeper.connections import sever
from etcd_keeper.decisions import (
    Known,
    Listing,
    Member,
    Silence,
    dead,
    promotions,
    removal,
    was_removed,
)
from etcd_keeper.join import leader_of
from etcd_keeper.settings import Settings, keep_known, known

LOG = logging.getLogger("etcd-keeper")
INTERVAL_S = 0.5
LOOK_S, SHORT_LOOK_S = 0.75, 0.2
ELECTION_LOOKS = 3
"""Looks in a row at an own member without a leader that may be an election."""


class Silences:
    """Since when each member has not answered. A member that is new in the list counts as heard then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[int, tuple[float, int]] = {}

    def note(self, members: Sequence[Member], answered: set[int]) -> Mapping[int, Silence]:
        """Take in one look at all members; return those that did not answer it.

        Where no majority answered it, this node may be the one that is cut off: then nobody's silence counts.
        """
        now = self._clock()
        voters = {member.id for member in members if not member.learner}
        if 2 * len(voters & answered) <= len(voters):
            self._heard = {member.id: (now, 0) for member in members}
            return {member.id: Silence(0.0, 1) for member in members if member.id not in answered}
        for gone in set(self._heard) - {member.id for member in members}:
            del self._heard[gone]
        for member in members:
            heard, misses = self._heard.get(member.id, (now, 0))
            self._heard[member.id] = (now, 0) if member.id in answered else (heard, misses + 1)
        return {
            each: Silence(now - heard, misses) for each, (heard, misses) in self._heard.items() if misses > 0
        }


class Keeper:
    """Looks at the members again and again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = settings.members[settings.peer_url]
        self._silences = Silences()
        self._severed: set[int] = set()
        self._leaderless = 0
        self._announcement = Announcement(settings)

    def run(self) -> None:
        """Keep the membership without end."""
        while True:
            begun = time.monotonic()
            self.look_once()
            interval_s = 0.0 if self._announcement.waits else INTERVAL_S
            time.sleep(max(begun + interval_s - time.monotonic(), 0.05))

    def look_once(self) -> None:
        """Look at all members once, through another where the own one does not answer, and act on it."""
        try:
            self._look()
        except gateway.Refused as error:
            LOG.debug("the own member: %s", error)
            self._ask_leader(serves=False)

    def _look(self) -> None:
        now = gateway.status(self._own, SHORT_LOOK_S if self._announcement.waits else LOOK_S)
        self._announcement.served()
        self._leaderless = 0 if now.leader_id else self._leaderless + 1
        if self._leaderless > ELECTION_LOOKS:
            self._ask_leader(serves=True)
        listing = gateway.listing(self._own, LOOK_S)
        self._remember(Known(now.cluster_id, now.member_id), listing)
        silent = self._silences.note(listing.members, self._answered(listing) | {now.member_id})
        self._sever(dead(listing.members, silent, self._settings.rules))
        # The look took a while: whether this member still leads is asked again.
        now = gateway.status(self._own, LOOK_S)
        leaves = removal(listing.members, now.member_id, now.leader_id, silent, self._settings.rules)
        if leaves:
            self._remove(leaves, silent[leaves.id], listing)
            return
        for learner in promotions(listing.members, now.member_id, now.leader_id, silent):
            self._promote(learner)

    def _ask_leader(self, serves: bool) -> None:
        """Ask another node that leads for the own member; start etcd anew where that has to be.

        One that learns of its removal would first wait for requests that it will never answer.
        """
        process = etcd_process.running()  # before the rest, which is not about one that starts meanwhile
        if process is None:
            return
        place = known(self._settings)
        _leader, listing = leader_of(self._settings)
        if was_removed(place, self._settings.peer_url, listing):
            LOG.info("this node was removed: etcd is started anew")
        elif not serves and self._announcement.is_lost(place, listing):
            LOG.info("etcd has not seen its address come by, and is started anew")
        else:
            return
        etcd_process.kill(process)

    def _remember(self, now: Known, listing: Listing) -> None:
        listed = now.member_id in {member.id for member in listing.members}
        if listed and known(self._settings) != now:
            keep_known(self._settings, now)

    def _answered(self, listing: Listing) -> set[int]:
        """Return who answers as the member of this cluster that the list says."""
        urls = {member.client_url: member.id for member in listing.members if member.client_url}
        return {
            urls[url]
            for url, said in gateway.as_answered(urls, LOOK_S)
            if (said.cluster_id, said.member_id) == (listing.cluster_id, urls[url])
        }

    def _sever(self, gone: Sequence[Member]) -> None:
        """End this node's connections with dead members, once for each time that they die."""
        for member in gone:
            if member.id not in self._severed:
                sever(member.peer_url)
        self._severed = {member.id for member in gone}

    def _remove(self, leaves: Member, silence: Silence, listing: Listing) -> None:
        name = self._settings.names.get(leaves.peer_url, leaves.peer_url)
        LOG.info("%s (%x) of %d: silent for %.1f s", name, leaves.id, len(listing.members), silence.s)
        try:
            gateway.remove(self._own, leaves.id)
            LOG.info("%s (%x) is removed", name, leaves.id)
        except gateway.Refused as error:
            LOG.info("%s (%x) is not removed, or may yet be: %s", name, leaves.id, error)

    def _promote(self, learner: Member) -> None:
        name = self._settings.names.get(learner.peer_url, learner.peer_url)
        try:
            gateway.promote(self._own, learner.id)
            LOG.info("%s (%x) votes", name, learner.id)
        except gateway.Refused as error:
            LOG.info("%s (%x) does not vote yet: %s", name, learner.id, error)
