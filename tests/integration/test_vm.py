# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual machines: made, left alone, resized, broken as only a kernel of one's own can be, removed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_vm import VmSwitch
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_said
from fault_lab import differences, install_agent, put, stage, state_of
from support import HERE, STATE_DIR, Lab, nothing_new, traces_on_machine, wait_until

pytestmark = pytest.mark.lab

NAMES = ("n1", "n2", "observer1")
# What roles do in guests takes minutes without KVM, and is tried by molecule/vm.
MACHINES = "../tests/support/machines"
BOOT_S = 120.0
# Between arming an emulated machine and the start: its agent takes that long to begin.
AHEAD_S = 15.0


def traces() -> dict[str, list[str]]:
    """Everything that a lab of machines could leave here; /run/libvirt is whose daemon libvirt is."""
    found = traces_on_machine()
    processes = subprocess.run(["ps", "-eo", "args"], text=True, capture_output=True, check=True).stdout
    programs = ("qemu-system", "libvirtd", "virtlogd")
    found["machines"] = sorted(line for line in processes.splitlines() if line.startswith(programs))
    found["ours"] = sorted(str(path) for path in Path("/run").glob("foundation-testbed-libvirt*"))
    return found


def nothing_left(before: dict[str, list[str]]) -> bool:
    now = traces()
    return nothing_new(before) and all(not set(now[key]) - set(before[key]) for key in ("machines", "ours"))


@pytest.fixture(scope="module")
def untouched():
    """How this machine was without the lab."""
    Lab(HERE / "inventory_vm", STATE_DIR).playbook("destroy")
    return traces()


@dataclass
class Made:
    """A lab of machines, and how long it took to have them."""

    lab: Lab
    seconds: float


@pytest.fixture(scope="module")
def made(untouched, tmp_path_factory):
    """Two machines and an observer, made once and removed at the end."""
    lab = Lab(HERE / "inventory_vm", tmp_path_factory.mktemp("runs"))
    begun = time.monotonic()
    outcome = lab.playbook(MACHINES)
    seconds = time.monotonic() - begun
    assert outcome.status == 0, outcome.output[-4000:]
    yield Made(lab, seconds)
    outcome = lab.playbook("destroy")
    assert outcome.status == 0, outcome.output[-4000:]
    wait_until(lambda: nothing_left(untouched), 15, "the machine as it was before")


@pytest.fixture(scope="module")
def lab(made):
    """The machines, two of them with an agent and enrolled, as the role `node` does it."""
    for node in ("n1", "n2"):
        install_agent(made.lab, node)
        marker = json.dumps({"testbed_id": "ivm"}).encode()
        put(made.lab, node, "/etc/foundation-testbed/enrolment.json", marker)
    return made.lab


def boot_ids(lab: Lab) -> dict[str, str]:
    return {name: lab.on(name, "cat /proc/sys/kernel/random/boot_id").strip() for name in NAMES}


def switch_of(lab: Lab, node: str) -> VmSwitch:
    variables = lab.variables(node)
    return VmSwitch(LabPaths(STATE_DIR, variables["testbed_id"]), node, switch_said(variables))


def addresses(lab: Lab) -> dict[str, str]:
    return {name: lab.variables(name)["ansible_host"] for name in NAMES}


@pytest.mark.short
def test_machines_answer_with_kernels_of_their_own(made):
    """From nothing to ssh; each answers with the key that was made for it, as ssh takes no other."""
    print(f"three machines from nothing to ssh: {made.seconds:.1f} s")
    own = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    found = boot_ids(made.lab)
    assert len({own, *found.values()}) == 4
    assert {name: made.lab.on(name, "hostname").strip() for name in NAMES} == {name: name for name in NAMES}
    for name in NAMES:
        failed = made.lab.on(name, "systemctl list-units --state=failed --no-legend --plain")
        assert failed.strip() == "", f"{name}: {failed}"


@pytest.mark.short
def test_a_second_call_changes_nothing(made):
    before = boot_ids(made.lab)
    outcome = made.lab.playbook(MACHINES)
    assert (outcome.status, outcome.changed()) == (0, 0), outcome.output[-3000:]
    assert boot_ids(made.lab) == before


def changed_inventory(folder: Path, old: str, new: str) -> Path:
    """The inventory with something else in it."""
    text = (HERE / "inventory_vm" / "cluster.yml").read_text(encoding="utf-8")
    assert old in text
    (folder / "cluster.yml").write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_a_changed_limit_costs_that_machine_alone_a_power_cycle(made, tmp_path):
    """Its files stay; check mode only says so."""
    nodes = "\nnodes:\n  - name: n1\n  - {name: n2, resource_limits: {memory: 384M, cpus: 1.5}}\n"
    other = Lab(
        changed_inventory(tmp_path, "\nresource_limits", nodes + "resource_limits"), made.lab.runs_dir
    )
    before = boot_ids(made.lab)
    made.lab.on("n2", "echo kept > /root/kept && sync /root/kept /root")
    would = other.playbook(MACHINES, "--check")
    assert would.status == 0 and would.changed() > 0, would.output[-3000:]
    assert boot_ids(made.lab) == before
    outcome = other.playbook(MACHINES)
    assert outcome.status == 0, outcome.output[-4000:]
    after = boot_ids(made.lab)
    assert [name for name in NAMES if after[name] != before[name]] == ["n2"]
    assert made.lab.on("n2", "cat /root/kept").strip() == "kept"
    total_kib = int(made.lab.on("n2", "grep MemTotal /proc/meminfo").split()[1])
    assert 320 * 1024 < total_kib <= 384 * 1024
    assert made.lab.on("n2", "nproc").strip() == "2", "a part of a processor counts as a whole one"


def record_of(staged: Any) -> dict[str, Any]:
    (found,) = [entry for entry in staged.finish() if entry["event"] == "record"]
    return found


def test_a_link_is_delayed_by_the_guests_own_netem(lab):
    before = state_of(lab, "n1")
    program = {"affected": {"n2": addresses(lab)["n2"]}, "seed": 1, "delay_ms": 80.0, "backend": "netem"}
    staged = stage(lab, "n1", [{"type": "link", "start_s": 1, "end_s": 13, "node": program}], AHEAD_S)
    staged.wait_for(1)
    wait_until(lambda: "netem" in lab.on("n1", "tc qdisc show"), 10, "a netem on n1")
    record = record_of(staged)
    assert record["backend"] == "netem" and record["effective"], record
    assert differences(before, state_of(lab, "n1")) == []


def ahead_s(lab: Lab, node: str) -> float:
    """How far a machine's clock is ahead of this one's, as well as a slow ssh can tell."""
    return float(lab.on(node, "date +%s.%N")) - time.time()


def test_a_clock_is_put_forward_and_back_and_the_hosts_left_alone(lab):
    host_s = time.time() - time.monotonic()
    program = {"action": "step", "offset_s": 300.0}
    staged = stage(lab, "n1", [{"type": "clock", "start_s": 1, "end_s": 13, "node": program}], AHEAD_S)
    staged.wait_for(1)
    wait_until(lambda: 297 < ahead_s(lab, "n1") < 303, 10, "the clock of n1 ahead")
    record = record_of(staged)
    assert record["effective"], record
    assert abs(ahead_s(lab, "n1")) < 3
    assert abs(time.time() - time.monotonic() - host_s) < 0.5


@pytest.mark.short
def test_a_power_cut_loses_what_was_not_fsynced(lab):
    switch = switch_of(lab, "n1")
    before, witness = switch.boot_id(), switch.witness("cut")
    witness.write()
    switch.cut()
    assert not switch.running()
    switch.on({})
    wait_until(lambda: switch.boot_id() not in (None, before), BOOT_S, "another boot of n1")
    assert witness.read() == {"synced_kept": True, "unsynced_lost": True}
    witness.remove()


def test_a_kernel_that_panics_boots_again(lab):
    switch = switch_of(lab, "n1")
    before = switch.boot_id()
    switch.panic()
    wait_until(lambda: switch.boot_id() not in (None, before), BOOT_S, "another boot of n1")
    console = STATE_DIR / "labs" / "ivm" / "nodes" / "n1" / "console.log"
    assert "sysrq triggered crash" in console.read_text(errors="replace")


def test_a_reboot_is_orderly_and_keeps_what_was_not_fsynced(lab):
    switch = switch_of(lab, "n2")
    before = switch.boot_id()
    lab.on("n2", "echo kept > /root/written-just-before")
    switch.reboot()
    wait_until(lambda: switch.boot_id() not in (None, before), BOOT_S, "another boot of n2")
    assert lab.on("n2", "cat /root/written-just-before").strip() == "kept"


@pytest.mark.short
def test_what_cannot_start_is_named_and_nothing_is_left(untouched, made, tmp_path):
    """More processors than a machine may have: libvirt says so, of n2; the machines of another lab stand."""
    changed_inventory(tmp_path, "testbed_id: ivm", "testbed_id: ivmfail")
    text = (tmp_path / "cluster.yml").read_text(encoding="utf-8").replace("10.77.28", "10.77.29")
    nodes = "nodes:\n  - name: n1\n  - {name: n2, resource_limits: {cpus: 1000}}\n"
    (tmp_path / "cluster.yml").write_text(text + nodes, encoding="utf-8")
    before = traces()
    outcome = Lab(tmp_path, made.lab.runs_dir).playbook(MACHINES)
    assert outcome.status == 2
    words = " ".join(outcome.output.split())
    assert "n2: " in words and "CPU" in words, outcome.output[-3000:]
    wait_until(lambda: nothing_left(before), 15, "the machine as it was before")


def test_a_machine_that_does_not_answer_is_named_with_its_console(made, tmp_path):
    changed_inventory(tmp_path, "testbed_id: ivm", "testbed_id: ivmlate")
    text = (tmp_path / "cluster.yml").read_text(encoding="utf-8").replace("10.77.28", "10.77.29")
    (tmp_path / "cluster.yml").write_text(text, encoding="utf-8")
    before, kept = traces(), STATE_DIR / "failures" / "ivmlate"
    shutil.rmtree(kept, ignore_errors=True)
    outcome = Lab(tmp_path, made.lab.runs_dir).playbook(MACHINES, "-e", "lab_vm_timeout_s=1")
    words = " ".join(outcome.output.split())
    assert outcome.status == 2
    assert "n1: no answer over ssh within 1 s" in words
    assert sorted(path.name for path in kept.iterdir()) == [f"{name}.console.log" for name in NAMES]
    wait_until(lambda: nothing_left(before), 15, "the machine as it was before")
