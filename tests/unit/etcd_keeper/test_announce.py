# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A learner that does not come to serve is started anew: once, and no other member ever."""

from __future__ import annotations

import pytest
from etcd_keeper import announce
from etcd_keeper.announce import PATIENCE_S, Announcement
from etcd_keeper.decisions import Known, Listing, Member, Rules, learns
from etcd_keeper.settings import Settings, keep_known

OWN, OTHER = "http://10.0.0.1:2380", "http://10.0.0.2:2380"
CLIENT = "http://10.0.0.1:2379"
REST = Member(2, OTHER, "http://10.0.0.2:2379")
JOINED = Listing(7, (REST, Member(3, OWN, "", True)))


@pytest.mark.parametrize(
    ("known", "listing", "expected"),
    [
        (Known(7, 3), JOINED, True),
        (None, JOINED, False),
        (Known(7, 3), None, False),
        (Known(7, 1), JOINED, False),
        (Known(7, 3), Listing(7, (REST, Member(3, OWN, CLIENT, True))), True),
        (Known(7, 3), Listing(7, (REST, Member(3, OWN, ""))), False),
        (Known(7, 3), Listing(7, (Member(3, OTHER, "", True),)), False),
    ],
)
def test_only_a_learner_in_its_own_place_learns(known, listing, expected):
    assert learns(known, OWN, listing) is expected


def test_etcd_is_started_anew_once_whoever_looks(tmp_path, monkeypatch):
    settings = Settings(OWN, {OWN: CLIENT}, {OWN: "n1"}, tmp_path, tmp_path / "keeper", Rules(3.0, 3))
    keep_known(settings, Known(7, 3))
    monkeypatch.setattr(announce, "leader_of", lambda _settings: ("leader", JOINED))
    now, killed = [100.0], []
    look = Announcement(settings, lambda: killed.append(now[0]), lambda: now[0]).look
    look()
    now[0] += PATIENCE_S / 2
    look()
    assert killed == []
    now[0] += PATIENCE_S / 2
    look()
    look()
    Announcement(settings, lambda: killed.append("again"), lambda: now[0]).look()
    assert killed == [100.0 + PATIENCE_S]
