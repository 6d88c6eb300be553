# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clock, ledger, undo journal, healing, enrolment, preflight and the agent's own ends."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import types

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    enrolment,
    heal,
    preflight,
    runner,
    undo,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.lifecycle import observation_times
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import ECHO, PROBE, Prober
from hypothesis import given
from hypothesis import strategies as st

FAULTS = "ansible_collections.foundation.testbed.plugins.module_utils.faults"


@pytest.fixture
def kind(monkeypatch):
    """A kind of fault that notes what is taken back and fails where it is told to."""
    module = types.ModuleType(f"{FAULTS}.pretended")
    module.taken_back, module.stubborn, module.swept = [], set(), ["trace"]

    def revert(record):
        if record["what"] in module.stubborn:
            raise RuntimeError("busy")
        module.taken_back.append(record["what"])

    module.revert, module.capable = revert, list
    module.leftovers = lambda: list(module.swept)

    def sweep():
        found, module.swept = module.swept, []
        return found

    module.sweep = sweep
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def journal(tmp_path, monkeypatch):
    journal = undo.UndoJournal(tmp_path / "undo")
    for name in (heal, runner):
        monkeypatch.setattr(name, "UndoJournal", lambda: journal)
    monkeypatch.setattr(heal, "active_units", list)
    monkeypatch.setattr(heal, "fault_kinds", lambda: ["pretended"])
    return journal


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


def test_the_journal_takes_back_one_run_or_all(journal, kind):
    for run, fault in (("r1", "a"), ("r1", "b"), ("r2", "a")):
        journal.add(run, fault, "pretended", {"what": f"{run}{fault}"})
    journal.revert_one("r1", "b")
    assert kind.taken_back == ["r1b"]
    assert journal.revert("r2") == ["a"]
    assert [entry["undo"]["what"] for entry in journal.entries()] == ["r1a"]
    assert journal.revert() == ["a"]
    assert journal.entries() == journal.revert() == []


def test_one_fault_that_stays_keeps_no_other_from_being_taken_back(journal, kind):
    """It stays in the journal for the next heal, and is named."""
    kind.stubborn = {"a"}
    for fault in ("a", "b"):
        journal.add("r", fault, "pretended", {"what": fault})
    with pytest.raises(RuntimeError, match="not taken back: a of the run r: RuntimeError: busy"):
        journal.revert()
    assert kind.taken_back == ["b"]
    assert [entry["fault"] for entry in journal.entries()] == ["a"]


def test_heal_sweeps_even_where_the_journal_fails(journal, kind):
    kind.stubborn = {"a"}
    journal.add("r", "a", "pretended", {"what": "a"})
    with pytest.raises(RuntimeError):
        heal.heal()
    assert kind.swept == []


def test_heal_says_what_it_did_and_is_idempotent(journal, kind):
    journal.add("r", "a", "pretended", {"what": "a"})
    done = {"stopped": [], "reverted": ["a"], "swept": ["trace"]}
    assert heal.to_heal() == done
    assert kind.taken_back == []  # it only looked
    assert heal.heal() == done
    assert heal.heal() == heal.to_heal() == {"stopped": [], "reverted": [], "swept": []}


def test_every_kind_of_fault_is_known_by_its_file():
    assert "partition" in heal.fault_kinds()


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
    kind.capable = lambda: ["no nft"]
    journal.add("r", "a", "pretended", {"what": "a"})
    answer = preflight.preflight(["etcd"], ["pretended"])
    assert answer["blockers"] == [
        "the fault a was not taken back; heal first",
        "trace is left of an earlier fault; heal first",
        "no nft",
    ]
    assert answer["unhealthy"] == ["etcd: no leader"]
    monkeypatch.setattr(preflight, "MINIMUM_FREE_BYTES", 2**62)
    assert any("MiB are free" in reason for reason in preflight.preflight([], [])["blockers"])


@given(st.integers(0, 600), st.integers(1, 600))
def test_observations_are_ordered_and_within_the_fault(start_s, length_s):
    times = observation_times(start_s, start_s + length_s)
    assert times == sorted(set(times))
    assert all(start_s < at_s < start_s + length_s - 0.05 for at_s in times)
    assert len(times) >= 3 * length_s - 1


class FakeSocket:
    def __init__(self, problem=None):
        self.problem, self.sent = problem, []

    def sendto(self, payload, address):
        self.sent.append((payload, address))
        if self.problem:
            raise self.problem


@pytest.mark.parametrize(
    ("problem", "passes"), [(None, True), (PermissionError(), False), (OSError(105, "no buffer"), True)]
)
def test_only_a_rule_blocks_a_probe(problem, passes):
    prober = Prober(7391)
    prober.socket.close()
    prober.socket = FakeSocket(problem)
    assert prober.passes("10.0.0.1") is passes


def test_a_probe_is_answered_and_an_answer_is_not():
    """Two nodes that answered answers would never stop."""
    prober = Prober(7391)
    prober.socket.close()
    prober.socket = FakeSocket()
    prober.datagram_received(PROBE, ("10.0.0.1", 7391))
    prober.datagram_received(ECHO, ("10.0.0.1", 7391))
    prober.datagram_received(b"anything", ("10.0.0.2", 53))
    assert prober.socket.sent == [(ECHO, ("10.0.0.1", 7391))]
    assert prober.heard == {"10.0.0.1": 2}


@pytest.fixture
def program(monkeypatch):
    class Deaf:
        def __init__(self, port):
            pass

        async def start(self):
            return self

        def close(self):
            pass

    monkeypatch.setattr(runner, "Prober", Deaf)
    monkeypatch.setattr(runner.enrolment, "require", lambda testbed_id: None)
    return {
        "run": "r", "testbed_id": "t", "node": "n1", "start_wall_ns": time.time_ns() + 2 * 10**8,
        "duration_s": 0.2, "probe_port": 7391, "systems": [], "faults": [], "load": [],
    }  # fmt: skip


def events(folder):
    return [json.loads(line)["event"] for line in (folder / "ledger.jsonl").read_text().splitlines()]


def test_an_agent_lives_from_armed_to_end(tmp_path, program):
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 0
    assert events(tmp_path) == ["armed", "start", "end"]
    assert json.loads((tmp_path / "armed.json").read_text())["armed"] is True
    assert (tmp_path / "done.json").exists()


def test_an_agent_that_comes_too_late_does_nothing(tmp_path, program):
    program["start_wall_ns"] -= 10**9
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 1
    assert events(tmp_path) == ["error"]
    assert json.loads((tmp_path / "armed.json").read_text())["armed"] is False


def test_an_agent_on_a_foreign_host_refuses(tmp_path, program, monkeypatch):
    def refuse(testbed_id):
        raise enrolment.NotEnrolled("not ours")

    monkeypatch.setattr(runner.enrolment, "require", refuse)
    with pytest.raises(enrolment.NotEnrolled):
        asyncio.run(runner.Agent(tmp_path, program).run())
    assert not (tmp_path / "ledger.jsonl").exists()
