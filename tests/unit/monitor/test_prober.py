# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes through every node, and the monitor that sends them until it is told to end."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import threading
import time
from itertools import islice, pairwise, takewhile
from types import ModuleType, SimpleNamespace

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.monitor import prober
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.main import run_monitor
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.prober import (
    EVERY_S,
    Prober,
    schedule,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import probe_every_s
from hypothesis import given
from hypothesis import strategies as st

ENDPOINTS = {"n1": "10.0.0.1", "n2": "10.0.0.2"}


class Register:
    """n1 answers, n2 never does."""

    asked: list = []  # noqa: RUF012

    def __init__(self, endpoints, timeout_s, options):
        self.node = next(iter(endpoints))

    async def invoke(self, f, key, value):
        self.asked.append((f, key, value))
        if self.node == "n2":
            await asyncio.sleep(60)
        return SimpleNamespace(type="ok", value=value, error=None, node=self.node)

    async def close(self):
        pass


class Blocking(Register):
    def invoke(self, f, key, value):
        if self.node == "n2":
            raise ConnectionRefusedError("nobody")
        return SimpleNamespace(type="ok", value=value, error=None, node=self.node)

    def close(self):
        pass


def adapter(client):
    module = ModuleType("fake")
    module.Client = client
    return module


async def probe_for(seconds, client, out):
    clock = RunClock(time.time_ns() + 20_000_000)
    work = asyncio.ensure_future(Prober(adapter(client), ENDPOINTS, "r/probe/", out, clock).run())
    await asyncio.sleep(seconds)
    work.cancel()
    await asyncio.wait([work])


def test_every_node_is_asked_for_four_reads_and_four_writes_a_second():
    first = list(takewhile(lambda probe: probe.t_s < 1, schedule(["n1", "n2", "n3"])))
    assert len(first) == 24
    for node in ("n1", "n2", "n3"):
        for kind in ("read", "write"):
            times = [probe.t_s for probe in first if (probe.node, probe.kind) == (node, kind)]
            gaps = [after - before for before, after in pairwise(times)]
            assert gaps == pytest.approx([0.25] * 3, abs=1e-5)
    times = [probe.t_s for probe in first]
    assert times == sorted(times)
    assert not list(islice(schedule([]), 1))


@given(st.integers(1, 250), st.floats(0.01, 20000) | st.just(math.inf))
def test_probes_are_never_more_than_the_cluster_bears(nodes, max_rate):
    every_s = probe_every_s(nodes, max_rate)
    assert every_s >= EVERY_S
    assert every_s == EVERY_S or 2 * nodes / every_s <= max_rate * 1.01
    first = list(islice(schedule([f"n{i}" for i in range(nodes)], every_s), 2 * nodes + 1))
    assert first[-1].t_s == pytest.approx(every_s), "the second round begins a round later"


@pytest.mark.parametrize(
    ("client", "error"), [(Register, "timeout"), (Blocking, "ConnectionRefusedError: nobody")]
)
def test_a_node_that_does_not_answer_slows_no_probe_of_another(tmp_path, monkeypatch, client, error):
    monkeypatch.setattr(prober, "TIMEOUT_S", 0.6)
    asyncio.run(probe_for(1.2, client, tmp_path))
    probes = [json.loads(text) for text in (tmp_path / "probes.jsonl").read_text().splitlines()]
    of = {node: [probe for probe in probes if probe["node"] == node] for node in ENDPOINTS}
    assert min(len(of["n1"]), len(of["n2"])) >= 8
    assert {probe["kind"] for probe in probes} == {"read", "write"}
    assert all(probe["ok"] and probe["error"] is None and probe["latency_ms"] < 400 for probe in of["n1"])
    assert {(probe["ok"], probe["error"]) for probe in of["n2"]} == {(False, error)}


def test_the_monitor_ends_when_told_and_leaves_its_records(tmp_path, monkeypatch):
    """Its probes write keys of their own: the checked history knows nothing of them."""
    monkeypatch.setattr(prober, "TIMEOUT_S", 0.2)
    Register.asked.clear()
    program = {
        "run": "r", "start_wall_ns": time.time_ns(),
        "monitor": {"endpoints": ENDPOINTS, "prometheus": "http://127.0.0.1:1",
                    "series": [{"name": "cpu", "query": "up", "criterion": None}]},
    }  # fmt: skip
    (tmp_path / "program.json").write_text(json.dumps(program))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run_monitor(str(tmp_path), adapter(Register)) == 0
    assert {key for _f, key, _value in Register.asked} == {"r/probe/n1", "r/probe/n2"}
    assert (tmp_path / "probes.jsonl").stat().st_size > 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert "cpu: Prometheus on the observer does not answer" in found["problems"][0]
