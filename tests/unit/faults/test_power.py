# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of nodes: what may be asked for, and how the program lives through its faults and its own death."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import power as power_faults
from ansible_collections.foundation.testbed.plugins.module_utils.faults._switches import SWITCHES
from ansible_collections.foundation.testbed.plugins.module_utils.faults.power import FAULT
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power, provider_fault
from ansible_collections.foundation.testbed.plugins.module_utils.lab import switch_container as switch
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
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch
from hypothesis import given
from hypothesis import strategies as st

LIMITS = st.builds(
    Limits,
    st.integers(min_value=2**24, max_value=2**40).map(lambda size: size // 4096 * 4096),
    st.integers(min_value=1, max_value=12_800).map(lambda hundredths: hundredths / 100),
    st.integers(min_value=16, max_value=2**20),
)


def plan(action, conditional=False, more=None, **switches):
    nodes = dict.fromkeys(switches, "10.0.0.1")
    cluster = ClusterView("t", nodes, {}, {}, {}, switches=switches)
    params, problems = read_parameters(FAULT.parameters, {"action": action, **(more or {})})
    assert not problems
    return FAULT.plan(params, Targets(list(nodes), cluster, random.Random(0), conditional))


@pytest.mark.parametrize("action", ["crash", "reboot", "off"])
def test_containers_are_cut_by_their_provider(action):
    part = {"action": action, "lose_unsynced": False, "switch": "container"}
    assert plan(action, n1="container", n2="container") == {"n1": part, "n2": part}
    assert not FAULT.on_node and FAULT.takes_down({"action": action})


def test_yaml_may_read_off_as_false():
    assert plan(False, n1="container")["n1"]["action"] == "off"


def test_a_state_of_the_system_is_refused():
    with pytest.raises(ValueError, match="nodes: given a state of the system; allowed: names, random"):
        plan("off", conditional=True, n1="container")


def test_a_panic_of_a_container_is_refused_for_the_true_reason():
    with pytest.raises(
        ValueError, match=r"action: given 'panic' for n1; allowed: crash, off, reboot, as n1: .*share"
    ):
        plan("panic", n1="container")


def test_every_node_whose_switch_cannot_is_named_with_what_is_missing():
    with pytest.raises(ValueError, match="action: given 'off' for n2, n3; allowed: nothing, as ") as error:
        plan("off", n1="container", n2="sysrq", n3="none", n4="vm")
    assert "n2: it has no management controller" in str(error.value)
    assert "n3: the inventory names no power switch" in str(error.value)


@given(
    st.sampled_from(power_faults.ACTIONS),
    st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), st.sampled_from(sorted(SWITCHES)), min_size=1),
)
def test_a_plan_has_only_what_each_of_its_switches_can_do(action, switches):
    """And one that is refused names each node that cannot, and allows only what all can."""
    cannot = [node for node, name in switches.items() if action not in SWITCHES[name].actions]
    if not cannot:
        assert {node: part["switch"] for node, part in plan(action, **switches).items()} == switches
        return
    with pytest.raises(ValueError, match="action") as error:
        plan(action, **switches)
    said = str(error.value)
    assert f"for {', '.join(cannot)}; allowed: " in said
    allowed = said.split("allowed: ")[1].split(", as ")[0].split(", ")
    for other in set(allowed) - {"nothing"}:
        plan(other, **switches)


def test_a_node_without_a_trigger_cannot_panic(monkeypatch, tmp_path):
    program = {"action": "panic", "lose_unsynced": False, "switch": "redfish"}
    monkeypatch.setattr(power_faults, "TRIGGER", str(tmp_path / "trigger"))
    assert FAULT.capable(program) == [power_faults.NO_TRIGGER]
    (tmp_path / "trigger").touch()
    assert FAULT.capable(program) == []


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
    assert len(limit_properties(limits)) == 4
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


NOTE = {"limits": "as before"}


class PretendedSwitch(Switch):
    """Power of pretended nodes, by name; shared by all switches. `deaf` ones do not answer for a while."""

    provider = "pretended"
    power: dict[str, bool]
    boots: dict[str, int]
    rebooting: set[str]
    deaf: dict[str, int]

    def running(self):
        if self.deaf.get(self.name, 0) > 0:
            self.deaf[self.name] -= 1
            raise LabError("the controller of power does not answer")
        return self.power[self.name]

    def answers(self):
        return self.boot_id() is not None

    def boot_id(self):
        up = self.power[self.name] and self.name not in self.rebooting
        return f"boot-{self.boots[self.name]}" if up else None

    def note(self):
        return NOTE

    def processes(self):
        return set(range(7)) if self.boot_id() else set()

    def reboot(self):
        """As a node does whose services take a second to stop."""
        self.rebooting.add(self.name)
        threading.Timer(1.0, self.rebooted).start()

    panic = reboot

    def rebooted(self):
        self.boots[self.name] += 1
        self.rebooting.discard(self.name)

    def cut(self):
        was, self.power[self.name] = self.power[self.name], False
        return 7 if was else 0

    def on(self, note):
        assert note == NOTE
        if not self.running():
            self.power[self.name] = True
            self.boots[self.name] += 1


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab with pretended nodes."""

    class Pretended(PretendedSwitch):
        power, boots, rebooting, deaf = {"n1": True, "n2": True}, {"n1": 1, "n2": 1}, set(), {}

    for module in (power, provider_fault):
        monkeypatch.setattr(module, "staged_switch", lambda paths, _folder, name: Pretended(paths, name, {}))
    monkeypatch.setattr(provider_fault, "INSIST_S", 0.5)
    return LabPaths(tmp_path / "state", "t"), Pretended


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
    assert nodes.power == {"n1": False, "n2": True}
    for thread in threads:
        thread.join(5)
    assert nodes.power == {"n1": True, "n2": True} and nodes.boots == {"n1": 2, "n2": 2}
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
        assert not nodes.power["n1"] and "record" in ledger(tmp_path, "n1", "p2")
        for thread in threads:
            thread.join(5)
    assert nodes.power["n1"] and nodes.boots["n1"] == 2


def test_a_successor_goes_on_where_the_worker_died(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 0.5))
    (fault,) = made["faults"]
    first = power.PowerFault(folder, made, fault)
    entry = first._check()
    assert first._until(0.0)
    first._apply(nodes(paths, "n1", {}), entry)
    assert not nodes.power["n1"]
    power.PowerFault(folder, made, fault).live()
    found = ledger(tmp_path, "n1", "p1")
    assert nodes.power["n1"] and found["record"]["killed"] == 7 and found["gone"]["traces"] == []
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
    nodes(paths, "n1", {}).reboot()
    power.PowerFault(folder, made, made["faults"][0]).live()
    assert entry["boot_id"] == "boot-1" and nodes.boots["n1"] == 2


def test_heal_switches_on_what_two_dead_programs_left(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 60))
    (fault,) = made["faults"]
    dead = power.PowerFault(folder, made, fault)
    entry = dead._check()
    assert dead._until(0.0)
    dead._apply(nodes(paths, "n1", {}), entry)
    assert power.to_heal(paths) == {"stopped": [], "restored": ["n1"]}
    assert power.heal(paths) == {"stopped": [], "restored": ["n1"]}
    assert nodes.power["n1"] and power.heal(paths) == {"stopped": [], "restored": []}
    assert not power_dir(paths).exists()


def test_without_its_job_a_program_does_nothing_any_more(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.5, 5), ahead_s=0.5)
    threads = begin(folder, made)
    (folder / "job.json").unlink()
    for thread in threads:
        thread.join(3)
    assert nodes.power["n1"] and not any(thread.is_alive() for thread in threads)


def test_a_program_that_comes_too_late_cuts_nothing(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0, 5), ahead_s=-3)
    power.PowerFault(folder, made, made["faults"][0]).live()
    check = ledger(tmp_path, "n1", "p1")["check"]
    assert nodes.power["n1"] and not check["able"] and "too late" in check["reasons"][0]


def test_a_panic_is_proved_as_a_reboot_is(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "panic", 0.0, 2.0))
    power.PowerFault(folder, made, made["faults"][0]).live()
    found = ledger(tmp_path, "n1", "p1")
    assert (
        found["record"]["boot_id_after"] == "boot-2" and found["gone"]["probe_passed"] and nodes.power["n1"]
    )


def test_a_switch_that_does_not_answer_refuses_the_fault_for_that_reason(lab, tmp_path):
    paths, nodes = lab
    nodes.deaf["n1"] = 1000
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 0.5))
    power.PowerFault(folder, made, made["faults"][0]).live()
    found = ledger(tmp_path, "n1", "p1")
    assert set(found) == {"check"} and found["check"]["reasons"] == [
        "the controller of power does not answer"
    ]
    assert nodes.power["n1"] and cut_entries(paths) == []


def test_a_switch_that_falls_silent_while_it_holds_proves_nothing_and_the_node_is_on_again(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.1, 1.6))
    threads = begin(folder, made)
    time.sleep(0.8)
    nodes.deaf["n1"] = 3
    for thread in threads:
        thread.join(10)
    lines = Path(tmp_path, "records", "power-n1", "ledger.jsonl").read_text().splitlines()
    unseen = [entry for entry in map(json.loads, lines) if entry.get("present") is False]
    assert unseen and unseen[0]["reason"] == "the controller of power does not answer"
    assert nodes.power["n1"] and cut_entries(paths) == []


def test_a_node_that_cannot_be_switched_on_stays_in_the_journal_until_heal_can(lab, tmp_path):
    paths, nodes = lab
    folder, made = job(paths, tmp_path, ("p1", "n1", "off", 0.0, 0.5), ("p2", "n2", "off", 0.0, 0.5))
    threads = begin(folder, made)
    time.sleep(0.6)
    nodes.deaf["n1"] = 10**6
    for thread in threads:
        thread.join(20)
    assert "does not answer" in ledger(tmp_path, "n1", "p1")["error"]["message"]
    assert [entry["node"] for _path, entry in cut_entries(paths)] == ["n1"] and not nodes.power["n1"]
    with pytest.raises(LabError, match="n1: the controller of power does not answer"):
        power.heal(paths)
    assert nodes.power["n2"] and len(cut_entries(paths)) == 1
    nodes.deaf["n1"] = 0
    assert power.heal(paths)["restored"] == ["n1"] and nodes.power["n1"]
    assert not paths.home.exists() and not paths.lock.exists()
