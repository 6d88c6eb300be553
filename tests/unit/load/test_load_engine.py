# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import asyncio
import json
import resource
import time
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load import pacing
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load
from load_fake_client import Blocking, Client, Completion
from load_support import Records, make_program

HERE = Path(__file__).parent
SLOW_MACHINE_S = 5.0


@pytest.fixture(autouse=True)
def fresh_store():
    Client.store.clear()


def test_quick_system(run, tmp_path):
    records = run(Client)
    summary = records.summary
    assert summary["scheduled"] == summary["sent"] == len(records.of("invoke")) > 40
    assert summary["ok"] + summary["fail"] == summary["sent"]
    assert (summary["dropped"], summary["indeterminate"], summary["finished"]) == (0, 0, True)
    assert summary["final_read"] == {"keys": len(Client.store), "read": len(Client.store), "unread": []}
    assert records.open_ops() == set()
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["phase"], progress["sent"]) == ("done", summary["sent"])


def test_a_half_file_of_a_killed_generator_does_not_stay(run, tmp_path):
    """Every writer on a node drafts under one name, so the next to write replaces what a kill left."""
    (tmp_path / ".progress.json.new").write_text('{"t_s"')
    run(Client)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_run_never_meets_the_keys_of_another(run):
    """The same plan run twice on one cluster must not read the first run's values (that was seen once)."""
    records = run(Client, namespace="run-2/")
    assert Client.store and all(key.startswith("run-2/") for key in Client.store)
    assert not any(event["key"].startswith("run-2/") for event in records.events)


def test_lines_pair_up_and_no_process_overlaps(run):
    records = run(Client, rate_per_s=400.0)
    busy = {}
    for event in records.events:
        if event["type"] == "invoke":
            assert event["process"] not in busy
            busy[event["process"]] = event
        else:
            begun = busy.pop(event["process"])
            assert event["time_ns"] >= begun["time_ns"] >= 0
            assert all(event[k] == begun[k] for k in ("op", "client", "f", "key", "intended_ns", "phase"))
    assert len({e["op"] for e in records.of("invoke")}) == len(records.of("invoke"))


def test_some_cas_succeed(run):
    records = run(Client, rate_per_s=200.0, mix={"write": 0.5, "cas": 0.5})
    assert sum(e["f"] == "cas" for e in records.of("ok")) > sum(e["f"] == "cas" for e in records.of("fail"))


def test_blocking_client_runs_in_threads(run):
    records = run(Blocking)
    assert records.summary["ok"] > 0
    assert records.summary["final_read"]["unread"] == []


def test_pinned_and_failover_groups_ask_their_nodes(run):
    records = run(Client, rate_per_s=200.0)
    assert {e["node"] for e in records.of("invoke") if e["client"] == "n1"} == {"n1"}
    assert {e["node"] for e in records.of("invoke") if e["client"] == "failover"} == {"n1", "n2", "n3"}


class Stalling(Client):
    """Answers nothing until 0.4 s after the first invocation."""

    until_s = None

    async def invoke(self, f, key, value):
        Stalling.until_s = Stalling.until_s or time.monotonic() + 0.4
        await asyncio.sleep(max(0.0, Stalling.until_s - time.monotonic()))
        return self.apply(f, key, value)


def test_latency_counts_from_the_intended_time_when_the_system_stalls(run):
    Stalling.until_s = None
    records = run(Stalling, max_in_flight=2, operation_timeout_s=30.0)
    latencies = [e["time_ns"] - e["intended_ns"] for e in records.of("ok", "fail")]
    sends = {e["op"]: e["time_ns"] for e in records.of("invoke")}
    service = [e["time_ns"] - sends[e["op"]] for e in records.of("ok", "fail")]
    assert sum(x > 100_000_000 for x in latencies) >= 20  # about 30 waited more than 0.1 s
    assert sum(x > 100_000_000 for x in service) < sum(x > 100_000_000 for x in latencies)
    assert records.summary["lateness_ms"]["max"] > 100
    assert records.summary["dropped"] == 0


class Deaf(Client):
    """Never answers, and leaves it to the engine to notice."""

    async def invoke(self, f, key, value):
        if f == "read" and self.final():
            return self.apply(f, key, value)
        await asyncio.sleep(3600)
        raise AssertionError

    @staticmethod
    def final():
        return False


def test_what_cannot_be_sent_in_time_is_dropped(run):
    records = run(Deaf, max_in_flight=2, operation_timeout_s=0.1, duration_s=0.3, final_read_timeout_s=0.0)
    summary = records.summary
    drops = records.of("drop")
    assert summary["dropped"] == len(drops) > 0
    assert summary["sent"] + summary["dropped"] == summary["scheduled"]
    assert all(e["process"] is None and e["time_ns"] - e["intended_ns"] > 100_000_000 for e in drops)
    assert {e["op"] for e in drops}.isdisjoint(e["op"] for e in records.of("invoke"))


def test_a_client_that_hangs_is_given_up(run):
    records = run(Deaf, operation_timeout_s=0.1, duration_s=0.1, final_read_timeout_s=0.0)
    assert records.open_ops() == set()
    assert {(e["f"] == "read", e["type"], e["error"]) for e in records.of("fail", "info")} <= {
        (True, "fail", "timeout"),
        (False, "info", "timeout"),
    }
    assert records.summary["final_read"]["read"] == 0
    assert records.summary["final_read"]["unread"] != []


class Raising(Client):
    async def invoke(self, f, key, value):
        raise ZeroDivisionError


def test_an_exception_is_indeterminate_unless_nothing_can_have_changed(run):
    records = run(Raising, final_read_timeout_s=0.0)
    assert {e["type"] for e in records.of("fail", "info", "ok") if e["f"] == "read"} == {"fail"}
    assert {e["type"] for e in records.of("fail", "info", "ok") if e["f"] != "read"} == {"info"}
    assert {e["error"] for e in records.of("fail", "info")} == {"ZeroDivisionError"}


class Doubtful(Client):
    async def invoke(self, f, key, value):
        if f == "read":
            return self.apply(f, key, value)
        return Completion("info", value, "timeout", self.node)


def test_a_process_retires_after_an_indeterminate_operation(run):
    records = run(Doubtful)
    retired = set()
    assert records.of("info")
    for event in records.events:
        if event["type"] == "invoke":
            assert event["process"] not in retired
        if event["type"] == "info":
            retired.add(event["process"])


class LateReader(Client):
    """Its reads fail at first in the final phase."""

    failures = 0

    async def invoke(self, f, key, value):
        if f == "read" and LateReader.failures < 7:
            LateReader.failures += 1
            return Completion("fail", None, "refused", self.node)
        return self.apply(f, key, value)


def test_final_read_retries_until_it_is_answered(run):
    LateReader.failures = 0
    records = run(LateReader, mix={"write": 1.0})
    attempts, read = records.of("invoke", phase="final"), records.of("ok", phase="final")
    assert len(records.of("fail", phase="final")) == 7
    assert len(attempts) == len(read) + 7
    assert {e["key"]: e["value"] for e in read} == Client.store
    assert records.summary["final_read"]["unread"] == []
    assert all(e["client"] == "failover" for e in attempts)
    assert min(e["op"] for e in attempts) >= records.summary["scheduled"]
    assert records.summary["sent"] == len(records.of("invoke"))


def test_final_read_without_a_failover_group_uses_every_endpoint(run):
    pinned = [
        {"name": n, "pinned": True, "endpoints": {n: "192.0.2.9"}, "weight": 1.0, "options": {}} for n in "ab"
    ]
    records = run(Client, clients=pinned)
    assert {e["client"] for e in records.of("ok", phase="final")} == {"failover"}
    assert records.summary["final_read"]["unread"] == []


def test_rate_zero_leaves_a_header_and_zeros(tmp_path):
    assert run_load(make_program(rate_per_s=0, clients=[]), 5, str(tmp_path)) == 0
    records = Records(tmp_path)
    assert records.events == []
    assert records.header["start_wall_ns"] == 5
    assert (records.summary["sent"], records.summary["finished"]) == (0, True)


def test_a_history_is_never_overwritten(tmp_path):
    run_load(make_program(rate_per_s=0), 0, str(tmp_path))
    with pytest.raises(FileExistsError):
        run_load(make_program(rate_per_s=0), 0, str(tmp_path))


@pytest.mark.parametrize("kind", [pacing.TimerfdAlarm, pacing.LoopAlarm])
def test_alarms_ring_after_their_instant_and_when_it_has_passed(kind):
    async def ring_at(offset_ns: int) -> int:
        rung = asyncio.get_running_loop().create_future()
        alarm = kind(asyncio.get_running_loop(), lambda: rung.set_result(time.monotonic_ns()))
        due = time.monotonic_ns() + offset_ns
        alarm.set(due + 10**12)
        alarm.set(due)
        late_ns = await asyncio.wait_for(rung, SLOW_MACHINE_S) - due
        alarm.close()
        return late_ns

    for offset_ns in (20_000_000, -1_000_000):
        assert asyncio.run(ring_at(offset_ns)) >= -1_000_000  # the loop's clock resolution


def test_fallback_without_timerfd(monkeypatch, run):
    def none(*_):
        raise OSError

    monkeypatch.setattr(pacing, "TimerfdAlarm", none)
    assert run(Client).summary["finished"]


def test_connections_are_not_held_to_the_soft_limit_of_open_files(run):
    """A thousand waiting operations ran into it, and every further one looked like a node out of reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        run(Client)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_operations_run_in_the_event_loop_that_the_adapter_wants(tmp_path):
    adapter, loops = ModuleType("fake"), []

    class Own(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            loops.append(super().new_event_loop())
            return loops[-1]

    adapter.Client, adapter.event_loop_policy = Client, Own
    before = asyncio.get_event_loop_policy()
    try:
        assert run_load(make_program(), time.time_ns(), str(tmp_path), adapter) == 0
        assert len(loops) == 1 and Records(tmp_path).summary["sent"] > 0
    finally:
        asyncio.set_event_loop_policy(before)


@pytest.mark.parametrize("system", ["etcd", "foundation", "mabeam"])
def test_every_client_has_an_event_loop_with_or_without_uvloop(system):
    adapter = load_client(HERE.parents[2] / "roles" / system / "files" / "client.py")
    asyncio.Runner(loop_factory=adapter.event_loop_policy().new_event_loop).close()
