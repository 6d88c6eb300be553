# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pressure on descriptors: which limit leaves none, what shows it, and what is given back."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _press_descriptors, _press_unit
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.sets(st.integers(0, 500), max_size=200)


@given(NUMBERS, st.integers(1, 1024))
def test_at_a_hundred_percent_nothing_more_can_be_opened(numbers, soft):
    limit = _press_descriptors.lowered(numbers, 100, soft)
    assert 1 <= limit <= max(soft, 1)
    if 0 in numbers and limit < soft:
        assert _press_descriptors.share_in_use(numbers, limit) == 100
        assert limit not in numbers


@given(st.integers(1, 500), st.integers(1, 99))
def test_below_a_hundred_percent_so_many_are_in_use(count, target):
    limit = _press_descriptors.lowered(range(count), target, 10**6)
    assert _press_descriptors.share_in_use(range(count), limit) == pytest.approx(
        target, abs=100 / limit + 1e-6
    )


def test_limits_and_listeners_are_read_as_the_kernel_writes_them():
    limits = "Max stack size  8388608  unlimited  bytes\nMax open files      1024      20000    files\n"
    assert _press_descriptors.parse_limit(limits) == (1024, 20000)
    with pytest.raises(ValueError, match="no limit"):
        _press_descriptors.parse_limit("")
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0B174D0A:094B 00000000:0000 0A 00000000:00000003 00:00000000 00000000   101        0 4711 1\n"
        "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1\n"
        "   2: 0B174D0A:094B 0C174D0A:1000 01 00000000:00000000 00:00000000 00000000   101        0 4712 1\n"
    )
    assert _press_descriptors.parse_listeners(table, {4711, 4712}) == {("10.77.23.11", 2379): 3}
    assert _press_descriptors.parse_listeners(table, {12}) == {("127.0.0.1", 22): 0}


def test_a_limit_of_a_running_process_is_lowered_and_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(_press_unit, "MARKERS", tmp_path)
    ready = [sys.executable, "-c", "print('up', flush=True); input()"]
    child = subprocess.Popen(ready, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"up\n"
        process = processes.read_process(child.pid)
        monkeypatch.setattr(processes, "of_units", lambda units: [process])
        soft, _ = _press_descriptors._limit(child.pid)
        press = _press_descriptors.DescriptorPress("r.f", {"unit": "u.service", "target": 100}, 5.0)
        undo = {"name": "r.f", **press.before()}
        press.apply()
        assert _press_descriptors._limit(child.pid)[0] == undo["limits"][0]["lowered"] < soft
        assert press.evidence()["present"] and press.evidence()["effective"]
        press.revert(undo)
        assert _press_descriptors._limit(child.pid)[0] == soft
        assert not press.evidence()["present"]
        press.revert(undo)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    ("target", "listens", "not_accepted", "effective"),
    [(100, True, 0, False), (100, True, 1, True), (100, False, 0, True), (60, True, 0, True)],
)
def test_a_unit_that_listens_has_to_leave_somebody_unheard(
    monkeypatch, target, listens, not_accepted, effective
):
    press = _press_descriptors.DescriptorPress("r.f", {"unit": "u.service", "target": target}, 5.0)
    monkeypatch.setattr(press, "_own", lambda: [{"pid": 1, "soft": 9, "lowered": 5}])
    monkeypatch.setattr(press, "_percent", lambda: float(target))
    monkeypatch.setattr(_press_descriptors, "_sockets", lambda pid: {1})
    waiting = {("127.0.0.1", 1): not_accepted} if listens else {}
    monkeypatch.setattr(_press_descriptors, "_listeners", lambda inodes: waiting)
    monkeypatch.setattr(
        _press_descriptors.socket, "create_connection", lambda *_, **__: contextlib.nullcontext()
    )
    press.observe()
    shown = press.evidence()
    assert (shown["present"], shown["effective"]) == (True, effective)
    felt = target == 100 and listens
    assert shown["measured"] == ("connections not accepted" if felt else "share of the lowered limit in use")
