# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A learner that does not come to serve is started anew: once, and no other member ever."""

from __future__ import annotations

import pytest
from etcd_keeper.announce import AGREED_S, PROPOSED_S, Announcement
from etcd_keeper.decisions import Known, Listing, Member, Rules, own_learner
from etcd_keeper.settings import Settings

OWN, OTHER = "http://10.0.0.1:2380", "http://10.0.0.2:2380"
CLIENT = "http://10.0.0.1:2379"
REST = Member(2, OTHER, "http://10.0.0.2:2379")
LEARNER, ANNOUNCED = Member(3, OWN, "", True), Member(3, OWN, CLIENT, True)
JOINED = Listing(7, (REST, LEARNER))


@pytest.mark.parametrize(
    ("known", "listing", "expected"),
    [
        (Known(7, 3), JOINED, LEARNER),
        (None, JOINED, None),
        (Known(7, 3), None, None),
        (Known(7, 1), JOINED, None),
        (Known(7, 3), Listing(7, (REST, ANNOUNCED)), ANNOUNCED),
        (Known(7, 3), Listing(7, (REST, Member(3, OWN, ""))), None),
        (Known(7, 3), Listing(7, (Member(3, OTHER, "", True),)), None),
    ],
)
def test_only_a_learner_in_its_own_place_is_looked_after(known, listing, expected):
    assert own_learner(known, OWN, listing) == expected


@pytest.fixture
def settings(tmp_path):
    return Settings(OWN, {OWN: CLIENT}, {OWN: "n1"}, tmp_path, tmp_path / "keeper", Rules(3.0, 3))


def lost(announcement, learner):
    return announcement.is_lost(Known(7, 3), Listing(7, (REST, learner)))


def test_etcd_is_started_anew_once_whoever_looks(settings):
    now = [100.0]
    announcement = Announcement(settings, lambda: now[0])
    assert not lost(announcement, ANNOUNCED) and announcement.waits
    now[0] += AGREED_S / 2
    assert not lost(announcement, ANNOUNCED)
    now[0] += AGREED_S / 2
    assert lost(announcement, ANNOUNCED)
    now[0] += 10
    for another in (announcement, Announcement(settings, lambda: now[0])):
        assert not lost(another, ANNOUNCED) and not another.waits


def test_an_address_that_is_not_agreed_on_yet_is_given_longer(settings):
    """etcd may not even have started; the wait begins anew once the leader has the address."""
    now = [0.0]
    announcement = Announcement(settings, lambda: now[0])
    for now[0], learner, expected in (
        (0.0, LEARNER, False), (PROPOSED_S - 0.1, LEARNER, False), (PROPOSED_S, ANNOUNCED, False),
        (PROPOSED_S + 2 * AGREED_S, ANNOUNCED, True),
    ):  # fmt: skip
        assert lost(announcement, learner) is expected, now


def test_an_address_that_never_comes_to_the_leader_is_not_waited_for_without_end(settings):
    now = [0.0]
    announcement = Announcement(settings, lambda: now[0])
    assert not lost(announcement, LEARNER)
    now[0] = PROPOSED_S
    assert lost(announcement, LEARNER)


def test_nobody_is_waited_for_once_the_member_serves(settings):
    announcement = Announcement(settings)
    assert not lost(announcement, LEARNER) and announcement.waits
    announcement.served()
    assert not announcement.waits
