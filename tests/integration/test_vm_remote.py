# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual machines of a hypervisor that is not this machine: all goes over ssh, and nothing stays on either.

The hypervisor is a node of another lab, with systemd, libvirt and a network of its own
(`tests/support/hypervisor.yml`).
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
from support import HERE, ROOT, STATE_DIR, Lab, traces_on_machine, wait_until
from test_ad_hoc import ad_hoc

pytestmark = pytest.mark.lab

INVENTORY = HERE / "inventory_vm_remote"
NAMES = ("observer1", "n1", "n2")
# Three machines are emulated by two processors, inside a container.
SLOW = ("-e", "lab_vm_timeout_s=400")
BOOT_S = 300.0
# What a lab can leave on the hypervisor, image cache and libvirt's own apart.
LEFT = """
virsh -q list --all --name
ls /sys/class/net
find /var/lib/foundation-testbed -mindepth 1 -not -path '*/images*'
ls /run | grep foundation
ps -eo args | grep -E 'qemu-system|[p]ower\\.pyz' | grep -v grep
ls -d /tmp/tmp.* ~/.ansible/tmp/* 2> /dev/null
true
"""


def support_playbook(name):
    command = ["ansible-playbook", "-i", str(INVENTORY), f"tests/support/{name}.yml"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]


def left_on_hypervisor(lab):
    return sorted(filter(None, lab.on("hypervisor", LEFT).splitlines()))


@pytest.fixture(scope="module")
def hypervisor(tmp_path_factory):
    """A machine with libvirt, for whoever has a key to it."""
    support_playbook("hypervisor")
    lab = Lab(INVENTORY, tmp_path_factory.mktemp("runs"))
    yield lab
    support_playbook("hypervisor_absent")


@pytest.fixture(scope="module")
def lab(hypervisor):
    """Two machines and an observer there, provisioned once; nothing is left of them on either machine."""
    hypervisor.playbook("destroy")
    there, here = left_on_hypervisor(hypervisor), traces_on_machine()
    begun = time.monotonic()
    outcome = hypervisor.playbook("provision", *SLOW)
    assert outcome.status == 0, outcome.output[-4000:]
    print(f"three machines elsewhere, provisioned from nothing: {time.monotonic() - begun:.0f} s")
    yield hypervisor
    outcome = hypervisor.playbook("destroy")
    assert outcome.status == 0, outcome.output[-4000:]
    wait_until(lambda: left_on_hypervisor(hypervisor) == there, 15, "the hypervisor as it was before")
    found = traces_on_machine()
    new = {what: set(found[what]) - set(here[what]) for what in ("links", "files", "locks", "mounts")}
    assert not any(new.values()), new


def boot_ids(lab):
    return {name: lab.on(name, "cat /proc/sys/kernel/random/boot_id").strip() for name in NAMES}


def test_machines_are_the_hypervisors_and_answer_through_it(lab):
    """With kernels of their own, by keys that were made there and are known here; none of them run here."""
    own = lab.on("hypervisor", "cat /proc/sys/kernel/random/boot_id").strip()
    assert len({own, *boot_ids(lab).values()}) == 4
    domains = lab.on("hypervisor", "virsh -q list --name").split()
    assert sorted(domains) == sorted(f"tb-rem-vm.{name}" for name in NAMES)
    kept = sorted(path.name for path in (STATE_DIR / "labs/rem-vm").rglob("*"))
    assert kept == ["id_ed25519", "id_ed25519.pub", "known_hosts", "provider", "ssh"]
    theirs = lab.on("hypervisor", "cat /var/lib/foundation-testbed/labs/rem-vm/ssh/id_ed25519")
    assert theirs != (STATE_DIR / "labs/rem-vm/ssh/id_ed25519").read_text(), "no private key travels"


def test_a_second_call_changes_nothing(lab):
    before = boot_ids(lab)
    begun = time.monotonic()
    outcome = lab.playbook("provision", *SLOW)
    assert (outcome.status, outcome.changed()) == (0, 0), outcome.output[-3000:]
    print(f"provisioned again: {time.monotonic() - begun:.0f} s")
    assert boot_ids(lab) == before


def test_another_hypervisor_than_the_one_that_is_meant_is_left_alone(hypervisor, tmp_path):
    text = (INVENTORY / "cluster.yml").read_text(encoding="utf-8").replace("rem-vm", "rem-other")
    old = text[text.index("    known_hosts") :]
    text = text.replace(old, f"    known_hosts: known_hosts\n    host_key: SHA256:{'A' * 43}\n")
    (tmp_path / "cluster.yml").write_text(text, encoding="utf-8")
    before = left_on_hypervisor(hypervisor)
    outcome = Lab(tmp_path, tmp_path).playbook("provision")
    assert outcome.status != 0
    words = " ".join(outcome.output.split())
    assert f"hypervisor: given host_key SHA256:{'A' * 43}; the host at 10.97.1.11 has SHA256:" in words
    assert left_on_hypervisor(hypervisor) == before
    assert not (STATE_DIR / "labs/rem-other").exists()


def processes(what):
    """Namespaces of the processes, in any container, whose command names this."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if what in (process / "cmdline").read_text(encoding="utf-8", errors="replace"):
                found[process.name] = (process / "ns/pid").readlink()
    return found


def test_a_power_cut_is_the_hypervisors_own_and_ends_by_itself(lab):
    """The controller is through with it, and nothing of it runs here, while the machine is still off."""
    before = boot_ids(lab)
    begun = ad_hoc(lab, "n1", "power", "action=off for=30s max_down=1")
    assert begun["changed"] and begun["evidence"]["present"] and begun["evidence"]["effective"], begun
    assert "tb-rem-vm.n1" not in lab.on("hypervisor", "virsh -q list --name").split()
    programs = processes("rem-vm/power/")
    assert len(programs) == 2, "itself and its spare"
    assert Path("/proc/self/ns/pid").readlink() not in programs.values(), "they are the hypervisor's"
    (fault,) = ad_hoc(lab, "n1", "fault_info", "testbed_id=rem-vm")["faults"]
    assert (fault["action"], fault["run"]) == ("off", begun["run"])

    def back():
        return lab.on("n1", "cat /proc/sys/kernel/random/boot_id", check=False).strip()

    wait_until(lambda: back() not in ("", before["n1"]), BOOT_S, "another boot of n1")
    assert {name: boot_id for name, boot_id in boot_ids(lab).items() if name != "n1"} == {
        name: boot_id for name, boot_id in before.items() if name != "n1"
    }
    wait_until(lambda: not processes("rem-vm/power/"), BOOT_S, "the end of the power program")
