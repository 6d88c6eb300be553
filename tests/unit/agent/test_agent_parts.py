# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clock, ledger, undo journal, healing, enrolment, preflight and the agent's own ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import types
from typing import ClassVar

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    enrolment,
    heal,
    preflight,
    recover,
    runner,
    undo,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Fault, fault_kinds
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.lifecycle import (
    observation_times,
    observe_every_s,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import Probe, checksum, segment
from hypothesis import given
from hypothesis import strategies as st

FAULTS = "ansible_collections.foundation.testbed.plugins.module_utils.faults"


@pytest.fixture
def kind(monkeypatch):
    """A kind of fault that notes what is taken back and fails where it is told to."""

    class Pretended(Fault):
        taken_back: ClassVar[list[str]] = []
        stubborn: ClassVar[set[str]] = set()
        left: ClassVar[list[str]] = ["trace"]
        survives_reboot = False

        @staticmethod
        def revert(undo):
            if undo["trace"] in Pretended.stubborn:
                raise RuntimeError("busy")
            Pretended.taken_back.append(undo["trace"])
            if undo["trace"] in Pretended.left:
                Pretended.left.remove(undo["trace"])

        @staticmethod
        def leftovers():
            return [{"trace": trace} for trace in Pretended.left]

        @staticmethod
        def capable(program):
            return ["no nft"]

    module = types.ModuleType(f"{FAULTS}.pretended")
    module.FAULT = Pretended
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Pretended


@pytest.fixture
def journal(tmp_path, monkeypatch):
    journal = undo.UndoJournal(tmp_path / "undo", tmp_path / "volatile")
    for name in (heal, runner, recover):
        monkeypatch.setattr(name, "UndoJournal", lambda: journal)
    monkeypatch.setattr(heal, "active_units", list)
    monkeypatch.setattr(heal, "RUNS", tmp_path / "runs")
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
        journal.add(run, fault, "pretended", {"trace": f"{run}{fault}"})
    journal.revert_one("r1", "b")
    assert kind.taken_back == ["r1b"]
    assert journal.revert("r2") == ["a"]
    assert [entry["undo"]["trace"] for entry in journal.entries()] == ["r1a"]
    assert journal.revert() == ["a"]
    assert journal.entries() == journal.revert() == []


def test_what_lies_on_the_disk_is_taken_back_last(journal, kind, monkeypatch):
    """A large file takes its time, and kernel rules must not wait for it."""
    for fault, survives in (("a", True), ("b", False), ("c", True), ("d", False)):
        monkeypatch.setattr(kind, "survives_reboot", survives)
        journal.add("r", fault, "pretended", {"trace": fault})
    assert journal.revert() == ["b", "d", "a", "c"]


def test_one_fault_that_stays_keeps_no_other_from_being_taken_back(journal, kind):
    """It stays in the journal for the next heal, and is named."""
    kind.stubborn.add("a")
    for fault in ("a", "b"):
        journal.add("r", fault, "pretended", {"trace": fault})
    with pytest.raises(RuntimeError, match="not taken back: a of the run r: RuntimeError: busy"):
        journal.revert()
    assert kind.taken_back == ["b"]
    assert [entry["fault"] for entry in journal.entries()] == ["a"]


def test_heal_sweeps_even_where_the_journal_fails(journal, kind):
    kind.stubborn.add("a")
    journal.add("r", "a", "pretended", {"trace": "a"})
    with pytest.raises(RuntimeError):
        heal.heal()
    assert kind.left == []


def test_heal_says_what_it_did_and_is_idempotent(journal, kind):
    journal.add("r", "a", "pretended", {"trace": "a"})
    done = {"stopped": [], "reverted": ["a"], "swept": ["trace"]}
    assert heal.to_heal() == done
    assert kind.taken_back == []  # it only looked
    assert [entry["fault"] for entry in heal.active()] == ["a", None]
    assert heal.heal() == done
    assert heal.heal() == heal.to_heal() == {"stopped": [], "reverted": [], "swept": []}


def test_no_plan_goes_on_after_a_boot_once_the_node_is_healed(journal, kind, tmp_path):
    (tmp_path / "runs").mkdir()
    staged(tmp_path / "runs" / "goes-on", -5, 10, "armed.json")
    staged(tmp_path / "runs" / "ended", -5, 10, "armed.json", "done.json")
    heal.heal()
    assert not any(recover.goes_on(folder) for folder in (tmp_path / "runs").iterdir())
    assert json.loads((tmp_path / "runs" / "ended" / "done.json").read_text()) == {"armed": True}


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
    probe = Probe.__new__(Probe)
    probe.socket, probe.packet = FakeSocket(problem), segment("udp", 9)
    assert probe.passes("10.0.0.1") is passes


@given(st.binary(max_size=60).filter(lambda data: len(data) % 2 == 0))
def test_a_packet_with_its_checksum_sums_up_to_nothing(data):
    """RFC 1071: that is how a peer tells that it is whole."""
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


@pytest.mark.parametrize(("protocol", "length"), [("tcp", 20), ("udp", 8), ("icmp", 8)])
def test_a_probe_names_its_port_where_rules_look_for_it(protocol, length):
    packet = segment(protocol, 2380)
    assert len(packet) == length
    assert protocol == "icmp" or int.from_bytes(packet[2:4], "big") == 2380


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setattr(runner.enrolment, "require", lambda testbed_id: None)
    return {
        "run": "r", "testbed_id": "t", "node": "n1", "start_wall_ns": time.time_ns() + 2 * 10**8,
        "duration_s": 0.2, "systems": [], "faults": [], "load": [],
    }  # fmt: skip


def events(folder):
    return [json.loads(line)["event"] for line in (folder / "ledger.jsonl").read_text().splitlines()]


def test_an_agent_lives_from_armed_to_end(tmp_path, program):
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 0
    assert events(tmp_path) == ["armed", "start", "end"]
    assert json.loads((tmp_path / "armed.json").read_text())["armed"] is True
    assert (tmp_path / "done.json").exists()


@pytest.mark.parametrize("shuts_down", [True, False])
def test_an_agent_that_is_stopped_leaves_its_plan_to_the_next_boot_or_ends_it(
    tmp_path, program, monkeypatch, shuts_down
):
    ends = []
    monkeypatch.setattr(runner, "end_within", ends.append)
    monkeypatch.setattr(runner.service_units, "stopping", lambda: shuts_down)
    program["duration_s"] = 60

    async def run():
        agent = asyncio.ensure_future(runner.Agent(tmp_path, program).run())
        while "start" not in events(tmp_path):
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        return await agent

    (tmp_path / "ledger.jsonl").touch()
    assert asyncio.run(run()) == 0
    last = ["stopped"] if shuts_down else ["error", "end"]
    assert events(tmp_path) == ["armed", "start", *last]
    assert (tmp_path / "done.json").exists() is not shuts_down
    assert ends == [runner.STOP_S]


def test_an_agent_that_is_told_to_end_ends_whatever_its_threads_do():
    """Python itself would wait for them."""
    script = (
        "import concurrent.futures, sys, time\n"
        f"from {runner.__name__} import end_within\n"
        "concurrent.futures.ThreadPoolExecutor().submit(time.sleep, 60)\n"
        "end_within(0.2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    began_s = time.monotonic()
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 1
    assert time.monotonic() - began_s < 20


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


def test_a_full_disk_ends_no_fault_and_loses_no_sample(tmp_path, program, monkeypatch):
    """The disk is full for the whole plan, and has room again as it ends."""
    files = [tmp_path / name for name in ("ledger.jsonl", "samples.jsonl")]
    for path in files:
        path.symlink_to("/dev/full")

    def make_room(seconds):
        for path in files:
            path.unlink(missing_ok=True)

    monkeypatch.setattr(runner, "SAMPLE_OFFSET_S", 0.05)
    monkeypatch.setattr(runner.system, "status", lambda name: {"healthy": True})
    monkeypatch.setattr(runner.time, "sleep", make_room)
    program |= {"systems": ["etcd"], "duration_s": 1}
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 0
    assert events(tmp_path) == ["armed", "start", "end"]
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert samples == [{"node": "n1", "t_s": 0.05, "healthy": True}]


def test_a_system_is_asked_in_the_plans_interval(tmp_path, program, monkeypatch):
    monkeypatch.setattr(runner, "SAMPLE_OFFSET_S", 0.05)
    monkeypatch.setattr(runner.system, "status", lambda name: {"healthy": True})
    program |= {"systems": ["etcd"], "duration_s": 0.7, "sample_every_s": 0.3}
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 0
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [sample["t_s"] for sample in samples] == pytest.approx([0.05, 0.35, 0.65])


def test_records_reach_the_disk_during_the_plan(tmp_path, program, monkeypatch):
    synced = set()

    def sync(path):
        synced.add(path.name)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(runner, "sync", sync)
    monkeypatch.setattr(runner, "SYNC_EVERY_S", 0.05)
    assert asyncio.run(runner.Agent(tmp_path, program).run()) == 0
    assert synced == {tmp_path.name, "ledger.jsonl", "samples.jsonl"}


def test_a_ledger_that_a_power_cut_has_torn_is_still_read(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, "n1", RunClock(time.time_ns()))
    ledger.write("gone", "a", "pretended")
    with path.open("ab") as file:
        file.write(b'null\n{"event": "gone"}\n{"fault": "b", "event": "go}\n\0\0\xff\n{"fault": "c", "ev')
    assert ledger.faults_with(("gone",)) == {"a"}


def test_a_dead_agents_faults_are_taken_back_and_that_is_written_down(journal, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(recover, "run_dir", lambda run: tmp_path)
    write_json(tmp_path / "program.json", {"node": "n1", "start_wall_ns": time.time_ns()})
    for fault in ("a", "b"):
        journal.add("r", fault, "pretended", {"trace": fault})
    kind.stubborn.add("a")
    with pytest.raises(RuntimeError, match="not taken back"):
        recover.revert_run("r")
    entries = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [(entry["event"], entry["fault"]) for entry in entries] == [("error", "a"), ("reverted", "b")]


def staged(folder, start_s, duration_s, *files):
    folder.mkdir()
    write_json(
        folder / "program.json",
        {
            "node": "n1",
            "start_wall_ns": int((time.time() + start_s) * 1e9),
            "duration_s": duration_s,
            "faults": [],
            "load": [],
        },
    )
    for name in files:
        write_json(folder / name, {"armed": True})


def test_after_a_boot_only_plans_that_go_on_are_gone_on_with(tmp_path):
    staged(tmp_path / "over", -20, 10, "armed.json")
    staged(tmp_path / "done", -5, 10, "armed.json", "done.json")
    staged(tmp_path / "never-armed", -5, 10)
    staged(tmp_path / "too-late", -5, 10)
    write_json(tmp_path / "too-late" / "armed.json", {"armed": False, "late_s": 1.0})
    staged(tmp_path / "goes-on", -5, 10, "armed.json")
    assert [folder.name for folder in tmp_path.iterdir() if recover.goes_on(folder)] == ["goes-on"]


def test_after_a_boot_no_run_stops_another(journal, kind, tmp_path, monkeypatch):
    """One cannot be taken back, one has lost its folder, one its program, one has a torn ledger."""
    begun = []
    monkeypatch.setattr(recover, "run_dir", lambda run: tmp_path / "runs" / run)
    monkeypatch.setattr(recover, "unit_command", lambda program, resumed: begun.append(program) or ["true"])
    (tmp_path / "runs").mkdir()
    for run in ("r1", "r2", "r4"):
        staged(tmp_path / "runs" / run, -5, 10, "armed.json")
    (tmp_path / "runs" / "r2" / "program.json").write_text("")
    (tmp_path / "runs" / "r4" / "ledger.jsonl").write_text('{"event": "armed"}\n{"event": "st')
    for run in ("r1", "r2", "r3", "r4"):
        journal.add(run, run, "pretended", {"trace": run})
    kind.stubborn.add("r1")
    with pytest.raises(RuntimeError, match=r"^r1: RuntimeError: not taken back.*; r2: JSONDecodeError"):
        recover.recover(tmp_path / "runs")
    assert kind.taken_back == ["r2", "r3", "r4"]
    assert len(begun) == 2
    assert events(tmp_path / "runs" / "r4") == ["armed", "reverted"]


def test_healing_goes_on_after_whatever_goes_wrong(journal, kind, monkeypatch, tmp_path):
    """A unit does not end in time, one kind cannot be swept, one trace stays: the rest is healed."""

    def run(command, **options):
        raise subprocess.TimeoutExpired(command, 1)

    def leftovers():
        raise OSError("no such table")

    ill = types.ModuleType(f"{FAULTS}.ill")
    ill.FAULT = type("Ill", (kind,), {"leftovers": staticmethod(leftovers)})
    monkeypatch.setitem(sys.modules, ill.__name__, ill)
    monkeypatch.setattr(heal, "fault_kinds", lambda: ["ill", "pretended"])
    monkeypatch.setattr(heal, "active_units", lambda: ["foundation-testbed-run-r.service"])
    monkeypatch.setattr(heal.subprocess, "run", run)
    monkeypatch.setattr(kind, "left", ["stays", "goes"])
    kind.stubborn.add("stays")
    journal.add("r", "a", "pretended", {"trace": "a"})
    with pytest.raises(RuntimeError, match=r"TimeoutExpired.*; ill: OSError.*; stays: RuntimeError: busy"):
        heal.heal()
    assert kind.taken_back == ["a", "goes"]


def test_an_agent_resumed_says_what_the_boot_cut_short_and_goes_on(tmp_path, program, kind, monkeypatch):
    """Faults that had ended stay as they were; those to come still come; no load starts a second time."""
    lived = []

    async def live(self):
        lived.append(self.fault_id)

    monkeypatch.setattr(runner.FaultRun, "live", live)
    monkeypatch.setattr(kind, "traces", lambda self: [])
    program["start_wall_ns"] = time.time_ns() - 5 * 10**9
    program["load"] = [{"generator": "g"}]
    program["faults"] = [
        {"id": name, "type": "pretended", "start_s": start_s, "end_s": start_s + 1, "node": {}}
        for name, start_s in (("ended", 1), ("cut", 4), ("to-come", 9))
    ]
    Ledger(tmp_path / "ledger.jsonl", "n1", RunClock(0)).write("gone", "ended", "pretended")
    assert asyncio.run(runner.Agent(tmp_path, program, resumed=True).run()) == 0
    assert events(tmp_path) == ["gone", "resumed", "interrupted", "end"]
    assert lived == ["to-come"]
