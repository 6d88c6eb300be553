# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An agent's run from its start to its end, whatever ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from agent_support import events
from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    enrolment,
    runner,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import Ledger


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
