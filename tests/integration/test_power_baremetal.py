# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that exist lose their power by Redfish over TLS, or IPMI, whatever dies or falls silent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import (
    cut_entries,
    power_dir,
)
from power_lab import programs
from support import ROOT, STATE_DIR, Lab, wait_until
from test_ad_hoc import ad_hoc
from test_baremetal import ENROL, HOSTS, INVENTORY, assert_untouched, state, support_playbook

sys.path.insert(0, str(ROOT / "tests" / "support"))
import ipmi_simulator
from redfish_emulator import Emulator, Machines, make_certificate

NODES = ["n1", "n2", "n3"]
GATEWAY = "10.94.0.1"
PASSWORD = "correct-horse"  # IPMI has 20 letters at most
IPMI_PORT = 9623
PATHS = LabPaths(STATE_DIR, "metal")


@pytest.fixture(scope="module")
def before():
    """The hosts as their owner has them."""
    support_playbook("strangers")
    yield
    support_playbook("strangers_absent")


@pytest.fixture(scope="module")
def machines(before):
    """Their power buttons."""
    return Machines(LabPaths(STATE_DIR, "strangers"), NODES)


@pytest.fixture(scope="module")
def metal(machines, tmp_path_factory):
    """The hosts enrolled, each with a power switch, and etcd on them; released at the end, as they were."""
    folder = tmp_path_factory.mktemp("inventory")
    make_certificate(folder, GATEWAY)
    with Emulator(machines, GATEWAY, folder, "operator", PASSWORD) as emulator:
        described = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
        power = {"switch": "redfish", "address": GATEWAY, "port": emulator.port, "user": "operator"}
        for node in described["nodes"]:
            own = {"password": "{{ vault_bmc_password }}", "ca": "cert.pem", "system": node["name"]}
            node["power"] = {**power, **own}
        ipmi = {"switch": "ipmi", "port": IPMI_PORT, "cipher_suite": 3, "password": own["password"]}
        described["nodes"][2]["power"] = {**power, **ipmi}
        (folder / "cluster.yml").write_text(yaml.safe_dump(described))
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "all.yml").write_text(f"vault_bmc_password: {PASSWORD}\n")
        metal = Lab(folder / "cluster.yml", tmp_path_factory.mktemp("runs"))
        untouched = {host: state(metal, host) for host in HOSTS}
        for playbook in ("provision", "deploy"):
            outcome = metal.playbook(playbook, *ENROL)
            assert outcome.status == 0, outcome.output[-4000:]
        yield metal
        released = metal.playbook("destroy")
        assert released.status == 0, released.output[-3000:]
        assert not PATHS.home.exists() and not PATHS.lock.exists()
        assert_untouched(metal, untouched)


def where_the_password_stands(folder: Path) -> list[str]:
    """Files below a folder that hold it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if PASSWORD.encode() in path.read_bytes()]


def command_lines() -> bytes:
    """Every process's arguments on this machine."""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True)
    return done.stdout


def test_a_plan_has_a_host_off_and_proves_it(metal, machines):
    outcome = metal.run("power")
    results = json.loads((metal.newest() / "results.json").read_text(encoding="utf-8"))
    (fault,) = results["faults"]
    assert fault["proved"], (fault["reason"], outcome.output[-3000:])
    assert (outcome.status, results["verdict"]) == (0, "pass"), outcome.output[-3000:]
    figures = fault["evidence"]["nodes"]["n2"]["figures"]
    assert figures["asked"]["sent"] > figures["asked"]["answered"] == 0
    assert figures["boot_id_after"] not in (None, figures["boot_id_before"])
    assert machines.done == [("n2", "ForceOff"), ("n2", "On")]
    assert where_the_password_stands(metal.runs_dir) == [] and PASSWORD not in outcome.output
    assert where_the_password_stands(PATHS.home) == [] and not list(power_dir(PATHS).glob("*"))


def test_heal_switches_on_what_two_dead_programs_left(metal, machines):
    begun = ad_hoc(metal, "n1", "power", "action=off for=300s", "-vvv")
    assert begun["evidence"]["present"] and begun["evidence"]["effective"], begun
    assert PASSWORD not in json.dumps(begun) and PASSWORD.encode() not in command_lines()
    (kept,) = where_the_password_stands(PATHS.home)
    assert Path(kept).stat().st_mode & 0o777 == 0o600 and Path(kept).stat().st_uid == 0
    for pid in reversed(programs(PATHS, begun["run"])):
        os.kill(pid, signal.SIGKILL)
    assert not machines.running("n1")
    machines.silent = True
    refused = metal.playbook("heal")
    machines.silent = False
    assert refused.status != 0 and "Not switched on: n1: https://" in refused.output, refused.output[-3000:]
    assert cut_entries(PATHS) != [] and not machines.running("n1")
    outcome = metal.playbook("heal")
    assert outcome.status == 0, outcome.output[-3000:]
    assert machines.running("n1") and cut_entries(PATHS) == []
    assert not PATHS.home.exists()


def records_of(begun, node):
    """What an ad hoc fault's program has written, by event, once it has ended."""
    wait_until(lambda: (power_dir(PATHS) / begun["run"] / "done.json").exists(), 90, "the program's end")
    ledger = PATHS.home / "power-records" / begun["run"] / f"power-{node}" / "ledger.jsonl"
    return {entry["event"]: entry for entry in map(json.loads, ledger.read_text().splitlines())}


def assert_back(found):
    """It is gone without a trace, and the host is in another boot."""
    assert found["gone"]["traces"] == [] and found["gone"]["probe_passed"], found
    assert found["record"]["boot_id_after"] not in (None, found["record"]["boot_id_before"]), found


def test_whichever_of_the_two_dies_the_host_is_on_again(metal, machines):
    begun = ad_hoc(metal, "n1", "power", "action=crash for=12s")
    assert begun["evidence"]["present"], begun
    os.kill(programs(PATHS, begun["run"])[0], signal.SIGKILL)
    assert_back(records_of(begun, "n1"))
    assert machines.running("n1")


def test_ipmi_has_a_host_off_and_on_again(metal, machines, tmp_path):
    with ipmi_simulator.simulator(machines.paths, "n3", tmp_path, GATEWAY, IPMI_PORT, "operator", PASSWORD):
        begun = ad_hoc(metal, "n3", "power", "action=off for=12s")
        assert begun["evidence"]["present"] and not machines.running("n3"), begun
        assert PASSWORD.encode() not in command_lines()
        found = records_of(begun, "n3")
    assert_back(found)
    assert machines.running("n3")


def test_a_controller_that_does_not_answer_refuses_the_fault(metal, machines):
    done = list(machines.done)
    machines.silent = True
    refused = ad_hoc(metal, "n2", "power", "action=off for=20s")
    machines.silent = False
    assert "the fault is not in place: https://" in refused["msg"], refused
    assert machines.done == done and machines.running("n2")


def test_a_kernel_that_takes_no_orders_does_not_panic(metal, machines):
    """These hosts are containers: the panic would be this machine's."""
    refused = ad_hoc(metal, "n2", "power", "action=panic for=20s")
    assert "lets nobody write to /proc/sysrq-trigger" in refused["msg"], refused


def test_a_cut_that_keeps_what_was_not_fsynced_is_not_called_a_loss(metal):
    """The page cache of these hosts is this machine's, and survives their power."""
    begun = ad_hoc(metal, "n2", "power", "action=crash lose_unsynced=true for=8s")
    found = records_of(begun, "n2")
    assert found["gone"]["traces"] == ["what was not fsynced is kept"], found
    assert metal.on("n2", "ls /var/lib/foundation-testbed | grep witness || true").strip() == ""


def test_a_host_without_a_switch_is_refused_with_what_is_missing(metal, machines, tmp_path):
    described = yaml.safe_load(metal.inventory.read_text(encoding="utf-8"))
    described["nodes"][0]["power"] = {"switch": "sysrq"}
    del described["nodes"][1]["power"]
    (tmp_path / "cluster.yml").write_text(yaml.safe_dump(described))
    scenario = yaml.safe_load((ROOT / "tests/integration/scenarios/power.yml").read_text(encoding="utf-8"))
    scenario["conditions"][0].update(nodes=["n1", "n2"], max_down=2)
    (tmp_path / "dark.yml").write_text(yaml.safe_dump(scenario))
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(f"vault_bmc_password: {PASSWORD}\n")
    other = Lab(tmp_path / "cluster.yml", tmp_path)
    outcome = other.playbook("run", "-e", f"scenario={tmp_path}/dark.yml")
    assert outcome.status == 12, outcome.output[-3000:]
    assert "given 'off' for n1, n2; allowed: nothing, as n1: it has no management" in outcome.output
    assert "n2: the inventory names no power switch for it" in outcome.output


def test_a_password_that_nobody_has_defined_is_asked_for_before_anything_is_done(metal, tmp_path):
    (tmp_path / "cluster.yml").write_text(metal.inventory.read_text(encoding="utf-8"))
    outcome = Lab(tmp_path / "cluster.yml", tmp_path).run("power")
    assert outcome.status == 12, outcome.output[-3000:]
    assert "power: n2: given what cannot be read:" in outcome.output
    assert "'vault_bmc_password' is undefined" in outcome.output
