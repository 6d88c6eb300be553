# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Before etcd starts: a node that was removed meanwhile asks for a place, and gives up its old data."""

from __future__ import annotations

import logging
import shutil
import time

from etcd_keeper import gateway
from etcd_keeper.decisions import Known, Listing, Member, Step, before_start, initial_cluster
from etcd_keeper.settings import Settings, keep_initial_cluster, keep_known, known

LOG = logging.getLogger("etcd-keeper")
LOOK_S = 1.0
LEADER_S = 2.0
PLACE_S = 10.0
"""Seconds that one waits for another node to leave the place of the learner."""
TAKEN = "too many learner"


def join(settings: Settings) -> bool:
    """Do what has to be done before etcd starts; return whether it may. Raises Refused, OSError."""
    leader, listing = leader_of(settings)
    before, has_data = known(settings), settings.data.exists()
    step = before_start(before, has_data, settings.peer_url, listing)
    LOG.info("%s%s", step.value, "" if listing else "; no leader answers")
    if step is Step.WAIT:
        return False
    if listing is None or leader is None or step is Step.START:
        return True
    if step is Step.ADD:
        added, listing = _ask_for_place(leader, settings.peer_url)
        LOG.info("was given the place of the learner %x", added.id)
        if before is not None and listing.cluster_id != before.cluster_id:
            raise gateway.Refused(f"the cluster is another one: {listing.cluster_id:x}")
    _take(settings, listing, anew=step is not Step.GO_ON)
    return True


def _ask_for_place(leader: str, peer_url: str) -> tuple[Member, Listing]:
    """Ask for the place of a learner, of which there is one at a time; wait for it. Raises Refused."""
    end = time.monotonic() + PLACE_S
    while True:
        try:
            return gateway.add_learner(leader, peer_url)
        except gateway.Refused as error:
            if TAKEN not in str(error) or time.monotonic() > end:
                raise
            LOG.debug("%s", error)
        time.sleep(0.2)


def _take(settings: Settings, listing: Listing, anew: bool) -> None:
    """Make etcd start in the place of the list. In this order, so that it can be cut short anywhere."""
    place = next(member for member in listing.members if member.peer_url == settings.peer_url)
    keep_initial_cluster(settings, initial_cluster(listing, settings.names))
    if anew:
        if settings.data.exists():
            LOG.info("gives up the data of the member that was removed: %s", settings.data)
            shutil.rmtree(settings.data)
        keep_known(settings, Known(listing.cluster_id, place.id))


def leader_of(settings: Settings) -> tuple[str | None, Listing | None]:
    """Return the client URL of the other node that leads, and the members that it lists; None where none."""
    for url, said in gateway.as_answered(settings.others, LOOK_S):
        if said.leads:
            try:
                return url, gateway.latest_listing(url, LEADER_S)
            except gateway.Refused as error:
                LOG.info("%s does not lead any more: %s", url, error)
    return None, None
