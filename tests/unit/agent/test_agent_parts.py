# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clock, ledger, files, enrolment, preflight and when a fault is looked at."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest
from agent_support import events
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    enrolment,
    preflight,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import fault_kinds
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.lifecycle import (
    observation_times,
    observe_every_s,
)
from hypothesis import given
from hypothesis import strategies as st


def test_a_step_of_the_wall_clock_moves_no_run(monkeypatch):
    """The start instant is turned into monotonic time once."""
    clock = RunClock(time.time_ns() + 5 * 10**9)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now_s() == pytest.approx(-5, abs=0.5)
    assert clock.wall_ns(1.5) == clock.start_wall_ns + 1_500_000_000


def test_until_waits_for_the_instant_and_not_for_one_that_has_passed():
    async def go():
        clock = RunClock(time.time_ns())
        await clock.until(-10)
        assert clock.now_s() < 0.05
        await clock.until(0.1)
        assert clock.now_s() >= 0.1

    asyncio.run(go())


def test_the_ledger_has_one_whole_object_a_line_whatever_it_is_told(tmp_path):
    for node in ("n1", "n2"):  # two writers, one file
        ledger = Ledger(tmp_path / "ledger.jsonl", node, RunClock(time.time_ns()))
        ledger.write("error", message="two\nlines\u2028 and é")
        ledger.write("evidence", fault="f", kind="partition", packets={"in": 1})
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["node"] for entry in entries] == ["n1", "n1", "n2", "n2"]
    assert (entries[0]["fault"], entries[0]["type"]) == (None, None)
    assert (entries[1]["fault"], entries[1]["type"], entries[1]["packets"]) == ("f", "partition", {"in": 1})
    assert all({"wall_ns", "mono_ns", "t_s", "event"} <= set(entry) for entry in entries)


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_every_kind_of_fault_is_known_by_its_file():
    assert "partition" in fault_kinds()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"id": "x"}', "\xff"])
def test_an_enrolment_that_cannot_be_read_is_none(tmp_path, text):
    marker = tmp_path / "enrolment.json"
    marker.write_text(text, encoding="latin-1")
    with pytest.raises(enrolment.NotEnrolled, match="cannot be read"):
        enrolment.require("local", marker)


def test_a_node_with_leftovers_or_an_ill_system_is_not_fit(journal, kind, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "STATE", tmp_path)
    monkeypatch.setattr(preflight, "PATIENCE_S", 0.0)
    ill = {"healthy": False, "leader": False, "revision": None, "error": "no leader"}
    monkeypatch.setattr(preflight.system, "status", lambda name: ill)
    monkeypatch.setattr(preflight.system, "version", lambda name: "1.2")
    journal.add("r", "a", "pretended", {"trace": "a"})
    answer = preflight.preflight(["etcd"], [{"id": "p", "type": "pretended", "node": {}}])
    assert answer["blockers"] == [
        "the fault a was not taken back; heal first",
        "trace is left of an earlier fault; heal first",
    ]
    assert answer["incapable"] == ["p (pretended): no nft"]
    assert answer["unhealthy"] == ["etcd: no leader"]
    monkeypatch.setattr(preflight, "MINIMUM_FREE_BYTES", 2**62)
    assert any("MiB are free" in reason for reason in preflight.preflight([], [])["blockers"])


@given(st.integers(0, 600), st.integers(1, 600), st.floats(1, 60))
def test_observations_are_ordered_and_within_the_fault(start_s, length_s, sample_every_s):
    every_s = observe_every_s(sample_every_s)
    times = observation_times(start_s, start_s + length_s, every_s)
    assert times == sorted(set(times))
    assert all(start_s < at_s < start_s + length_s - 0.05 for at_s in times)
    assert every_s <= 1 and len(times) >= length_s / every_s - 2


def test_a_full_disk_loses_no_line_of_the_ledger(tmp_path, monkeypatch):
    """Lines wait in memory, in order, and reach the file once there is room."""
    ledger = Ledger(tmp_path / "ledger.jsonl", "n1", RunClock(time.time_ns()))
    ledger.write("armed")
    write, full = os.write, [True]

    def refuse(descriptor, data):
        if full[0]:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refuse)
    ledger.write("start")
    ledger.write("end")
    assert not ledger.whole and events(tmp_path) == ["armed"]
    with pytest.raises(OSError, match="No space"):
        ledger.flush()
    full[0] = False
    ledger.flush()
    assert ledger.whole and events(tmp_path) == ["armed", "start", "end"]


def test_a_ledger_that_a_power_cut_has_torn_is_still_read(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, "n1", RunClock(time.time_ns()))
    ledger.write("gone", "a", "pretended")
    with path.open("ab") as file:
        file.write(b'null\n{"event": "gone"}\n{"fault": "b", "event": "go}\n\0\0\xff\n{"fault": "c", "ev')
    assert ledger.faults_with(("gone",)) == {"a"}
