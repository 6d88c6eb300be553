# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keeper ends an etcd whose member was removed, or whose announcement is lost, and no other."""

from __future__ import annotations

import pytest
from etcd_keeper import etcd_process, gateway, watch
from etcd_keeper.decisions import Known, Listing, Member, Rules, was_removed
from etcd_keeper.gateway import Refused, Status
from etcd_keeper.settings import Settings, keep_known
from etcd_keeper.watch import ELECTION_LOOKS, Keeper

OWN, OTHER = "http://10.0.0.1:2380", "http://10.0.0.2:2380"
REST = Member(2, OTHER, "http://10.0.0.2:2379")
WITH, WITHOUT = Listing(7, (REST, Member(3, OWN, "http://10.0.0.1:2379"))), Listing(7, (REST,))
BY_HAND = Listing(7, (REST, Member(4, OWN)))
SILENT, LEADERLESS = None, Status(7, 3, 0, 5)
ETCD = 4242


@pytest.mark.parametrize(
    ("known", "listing", "expected"),
    [
        (Known(7, 3), WITHOUT, True),
        (Known(7, 3), WITH, False),
        (Known(7, 3), BY_HAND, False),
        (Known(8, 3), WITHOUT, False),
        (Known(7, 3), None, False),
        (None, WITHOUT, False),
    ],
)
def test_removed_is_who_was_a_member_of_the_same_cluster_and_has_no_place_there(known, listing, expected):
    """Where somebody has given the node another place by hand, what runs here may be that one."""
    assert was_removed(known, OWN, listing) is expected


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Looks of the keeper of member 3: `look(own status, what the leader lists)` gives who was killed."""
    settings = Settings(OWN, {OWN: "own", OTHER: "other"}, {}, tmp_path, tmp_path / "keeper", Rules(3.0, 3))
    keep_known(settings, Known(7, 3))
    monkeypatch.setattr(etcd_process, "running", lambda: ETCD)

    def look(own, listed, times=ELECTION_LOOKS + 1):
        def status(_url, _timeout_s):
            if own is None:
                raise Refused("no answer")
            return own

        killed = []
        monkeypatch.setattr(gateway, "status", status)
        monkeypatch.setattr(gateway, "listing", lambda *_: WITH)
        monkeypatch.setattr(gateway, "as_answered", lambda *_: [])
        monkeypatch.setattr(watch, "leader_of", lambda _settings: ("other", listed))
        monkeypatch.setattr(etcd_process, "kill", killed.append)
        keeper = Keeper(settings)
        for _ in range(times):
            keeper.look_once()
        return killed

    return look


@pytest.mark.parametrize(("own", "times"), [(SILENT, 1), (LEADERLESS, ELECTION_LOOKS + 1)])
def test_etcd_of_a_member_that_was_removed_is_ended(look, own, times):
    assert look(own, WITHOUT, times) == [ETCD]
    assert look(own, WITH, times) == look(own, None, times) == []


def test_a_member_that_knows_a_leader_or_may_be_about_to_is_left_alone(look):
    assert look(Status(7, 3, 2, 5), WITHOUT) == []
    assert look(LEADERLESS, WITHOUT, ELECTION_LOOKS) == []


def test_etcd_does_not_run_where_systemd_names_no_process(monkeypatch):
    monkeypatch.setattr(etcd_process, "MAIN_PROCESS", ("false",))
    assert etcd_process.running() is None
    monkeypatch.setattr(etcd_process, "MAIN_PROCESS", ("echo", "0"))
    assert etcd_process.running() is None


def test_nobody_is_killed_while_etcd_does_not_run(look, monkeypatch):
    monkeypatch.setattr(etcd_process, "running", lambda: None)
    assert look(SILENT, WITHOUT) == []
