# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of nodes: what may be asked for, and how the program lives through its faults and its own death."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults.power import FAULT
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power, provider_fault, switch
from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import (
    Hierarchy,
    Limits,
    limit_files,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import (
    limit_properties,
    systemd_view,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    cut_entries,
    lock_of,
    power_dir,
)
from hypothesis import given
from hypothesis import strategies as st

LIMITS = st.builds(
    Limits,
    st.integers(min_value=2**24, max_value=2**40).map(lambda size: size // 4096 * 4096),
    st.integers(min_value=1, max_value=12_800).map(lambda hundredths: hundredths / 100),
    st.integers(min_value=16, max_value=2**20),
)


def plan(action, conditional=False, more=None, **provider):
    nodes = dict.fromkeys(provider, "10.0.0.1")
    cluster = ClusterView("t", nodes, {}, {}, {}, provider=provider)
    params, problems = read_parameters(FAULT.parameters, {"action": action, **(more or {})})
    assert not problems
    return FAULT.plan(params, Targets(list(nodes), cluster, random.Random(0), conditional))


@pytest.mark.parametrize("action", ["crash", "reboot", "off"])
def test_containers_are_cut_by_their_provider(action):
    part = {"action": action, "lose_unsynced": False}
    assert plan(action, n1="container", n2="container") == {"n1": part, "n2": part}
    assert not FAULT.on_node and FAULT.takes_down({"action": action})


def test_yaml_may_read_off_as_false():
    assert plan(False, n1="container")["n1"]["action"] == "off"


def test_a_state_of_the_system_is_refused():
    with pytest.raises(ValueError, match="nodes: given a state of the system; allowed: names, random"):
        plan("off", conditional=True, n1="container")


def test_a_panic_of_a_container_is_refused_for_the_true_reason():
    with pytest.raises(
        ValueError, match=r"action: given 'panic' for n1; allowed: crash, off, reboot; .*share"
    ):
        plan("panic", n1="container")


def test_a_provider_without_a_switch_is_refused():
    with pytest.raises(
        ValueError, match="action: given 'off' for n2 of the provider baremetal; allowed: noth"
    ):
        plan("off", n1="container", n2="baremetal")


@given(LIMITS, st.sampled_from([1, 2]))
def test_limits_are_read_as_they_are_written(tmp_path_factory, limits, version):
    folder = tmp_path_factory.mktemp("group")
    for files in limit_files(version, limits).values():
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
    every = Hierarchy(folder, version, frozenset({"memory", "cpu", "pids"}))
    assert switch.limits_in([(every, folder)]) == limits


@given(LIMITS)
def test_limits_are_read_as_systemd_shows_them(limits):
    assert len(limit_properties(limits)) == 3
    assert switch.limits_shown("\n".join(systemd_view(limits))) == limits


def test_a_node_without_a_limit_is_not_cut():
    with pytest.raises(LabError, match="no limit of cpus, pids"):
        switch.limits_shown("MemoryMax=1048576\nCPUQuotaPerSecUSec=infinity\nTasksMax=infinity")


@pytest.mark.parametrize(
    ("status", "numbers"),
    [("Name:\tsystemd\nNSpid:\t4711\t1\n", [4711, 1]), ("NSpid:\t12\n", [12]), ("Name:\tx\n", [])],
)
def test_pid_one_inside_is_found(status, numbers):
    assert switch.inner_pids(status) == numbers


class PretendedNode:
    """Power of pretended nodes, by name; shared by all switches."""

    on: dict[str, bool]
    boots: dict[str, int]
    rebooting: set[str]

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.node = self

    def running(self):
        return self.on[self.name]

    def answers(self):
        return self.boot_id() is not None

    def boot_id(self):
        up = self.running() and self.name not in self.rebooting
        return f"boot-{self.boots[self.name]}" if up else None

    def limits(self):
        return Limits(1, 1.0, 1)

    def pids(self):
        return set(range(7)) if self.boot_id() else set()

    def reboot(self):
        """As a node does whose services take a second to stop."""
        self.rebooting.add(self.name)
        threading.Timer(1.0, self.rebooted).start()

    def rebooted(self):
        self.boots[self.name] += 1
        self.rebooting.discard(self.name)

    def cut(self):
        was = self.running()
        self.on[self.name] = False
        return 7 if was else 0

    def switch_on(self, limits):
        assert asdict(limits) == asdict(self.limits())
        self.on[self.name] = True
        self.boots[self.name] += 1


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab with pretended nodes."""

    class Pretended(PretendedNode):
        on, boots, rebooting = {"n1": True, "n2": True}, {"n1": 1, "n2": 1}, set()

    class Switch:
        """What the program sees: `on` is an act here, a state there."""

        def __init__(self, paths, name):
            self.inner = Pretended(paths, name)

        def __getattr__(self, key):
            return getattr(self.inner, "switch_on" if key == "on" else key)

    for module in (power, provider_fault):
        monkeypatch.setattr(module, "Switch", Switch)
    paths = LabPaths(tmp_path / "state", "t")
    for name in Pretended.on:
        paths.node(name).home.mkdir(parents=True)
    return paths, Pretended


def job(paths, tmp_path, *faults, run="r1", ahead_s=0.2):
    folder = power_dir(paths) / run
    folder.mkdir(parents=True)
    start_wall_ns = time.time_ns() + int(ahead_s * 1e9)
    made = {
        "run": run,
        "testbed_id": "t",
        "state_dir": str(paths.state_dir),
        "start_wall_ns": start_wall_ns,
        "records": str(tmp_path / "records"),
        "faults": [
            dict(zip(("id", "node", "action", "start_s", "end_s"), each, strict=True), type="power")
            for each in faults
        ],
    }
    write_json(folder / "job.json", made)
    return folder, made


def begin(folder, made):
    threads = [
        threading.Thread(target=power.PowerFault(folder, made, fault).live, daemon=True)
        for fault in made["faults"]
    ]
    for thread in threads:
        thread.start()
    return threads


def ledger(tmp_path, node, fault):
    lines = Path(tmp_path, "records", f"power-{node}", "ledger.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["event"]: entry for entry in entries if entry["fault"] == fault}


def test_a_node_is_off_until_the_end(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.1, 0.9), ("p2", "n2", "crash", 0.1, 0.9))
    threads = begin(folder, made)
    time.sleep(0.7)
    assert nodes.on == {"n1": False, "n2": True}
    for thread in threads:
        thread.join(5)
    assert nodes.on == {"n1": True, "n2": True} and nodes.boots == {"n1": 2, "n2": 2}
    for node, fault in (("n1", "p1"), ("n2", "p2")):
        found = ledger(tmp_path, node, fault)
        assert set(found) == {"check", "apply", "evidence", "revert", "gone", "record"}
        assert found["evidence"]["present"] and found["evidence"]["effective"]
        assert found["record"]["limits_kept"] and found["record"]["killed"] == 7
        assert found["gone"]["traces"] == [] and found["gone"]["probe_passed"]
    assert cut_entries(paths) == []


def test_nobody_switches_on_what_another_fault_keeps_off(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.1, 1.2), ("p2", "n1", "off", 0.2, 0.6))
    with lock_of(folder):
        threads = begin(folder, made)
        time.sleep(1.1)
        assert not nodes.on["n1"] and "record" in ledger(tmp_path, "n1", "p2")
        for thread in threads:
            thread.join(5)
    assert nodes.on["n1"] and nodes.boots["n1"] == 2


def test_a_successor_goes_on_where_the_worker_died(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 0.5))
    (fault,) = made["faults"]
    first = power.PowerFault(folder, made, fault)
    entry = first._check()
    assert first._until(0.0)
    first._apply(power.Switch(paths, "n1"), entry)
    assert not nodes.on["n1"]
    power.PowerFault(folder, made, fault).live()
    found = ledger(tmp_path, "n1", "p1")
    assert nodes.on["n1"] and found["record"]["killed"] == 7 and found["gone"]["traces"] == []
    power.PowerFault(folder, made, fault).live()
    assert nodes.boots["n1"] == 2


def test_a_reboot_that_outlasts_its_plan_is_proved_by_what_came_after(lab, tmp_path):
    paths, _nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "reboot", 0.0, 0.7))
    power.PowerFault(folder, made, made["faults"][0]).live()
    found = ledger(tmp_path, "n1", "p1")
    assert found["evidence"]["effective"] and found["record"]["boot_id_after"] == "boot-2"
    assert found["record"]["answered_s"] >= 0.9 and found["gone"]["probe_passed"]


def test_a_successor_does_not_reboot_again(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "reboot", 0.0, 0.7))
    first = power.PowerFault(folder, made, made["faults"][0])
    entry = first._check()
    assert first._until(0.0)
    power.Switch(paths, "n1").reboot()
    power.PowerFault(folder, made, made["faults"][0]).live()
    assert entry["boot_id"] == "boot-1" and nodes.boots["n1"] == 2


def test_heal_switches_on_what_two_dead_programs_left(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 60))
    (fault,) = made["faults"]
    dead = power.PowerFault(folder, made, fault)
    entry = dead._check()
    assert dead._until(0.0)
    dead._apply(power.Switch(paths, "n1"), entry)
    assert power.to_heal(paths) == {"stopped": [], "restored": ["n1"]}
    assert power.heal(paths) == {"stopped": [], "restored": ["n1"]}
    assert nodes.on["n1"] and power.heal(paths) == {"stopped": [], "restored": []}
    assert not power_dir(paths).exists()


def test_without_its_job_a_program_does_nothing_any_more(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.5, 5), ahead_s=0.5)
    threads = begin(folder, made)
    (folder / "job.json").unlink()
    for thread in threads:
        thread.join(3)
    assert nodes.on["n1"] and not any(thread.is_alive() for thread in threads)


def test_a_program_that_comes_too_late_cuts_nothing(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0, 5), ahead_s=-3)
    power.PowerFault(folder, made, made["faults"][0]).live()
    check = ledger(tmp_path, "n1", "p1")["check"]
    assert nodes.on["n1"] and not check["able"] and "too late" in check["reasons"][0]
