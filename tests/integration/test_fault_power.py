# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power of real nodes is cut by a program that outlives its own death; their agents live through it."""

from __future__ import annotations

import json
import os
import signal

import power_lab
import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import cut_entries
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from fault_lab import differences, install_agent, put, stage, state_of
from power_lab import begin_faults
from support import wait_until

pytestmark = pytest.mark.lab

UNIT = "etcd.service"


@pytest.fixture(scope="module")
def paths(lab):
    """The container provider's files of this lab."""
    found = power_lab.paths_of(lab, "n1")
    yield found
    power.heal(found)


def begin(paths, folder, *faults, start_wall_ns=None, more=None):
    """Start a power program for faults (id, node, action, start, end), all with `more`; returns its job."""
    named = [dict(zip(("id", "node", "action", "start_s", "end_s"), each, strict=True)) for each in faults]
    found = [{"type": "power", **each, **(more or {})} for each in named]
    return begin_faults(paths, folder, found, start_wall_ns)


def programs(paths, job):
    """Processes of a power program, the worker first."""
    return power_lab.programs(paths, job["run"])


def entries(folder, node, fault):
    return [entry for entry in power_lab.entries(folder, node) if entry["fault"] == fault]


def proof(folder, node, fault):
    """The record of a fault that was in place all the time and left nothing."""
    own = entries(folder, node, fault)
    held = [entry for entry in own if entry["event"] == "evidence"]
    assert held and all(entry["present"] for entry in held), own
    (gone,) = [entry for entry in own if entry["event"] == "gone"]
    assert gone["traces"] == [] and gone["probe_passed"], own
    (record,) = [entry for entry in own if entry["event"] == "record"]
    assert record["limits_kept"] and record["effective"], record
    assert record["boot_id_after"] not in (None, record["boot_id_before"])
    return record


def test_whichever_of_the_two_dies_every_node_is_on_again(lab, paths, tmp_path):
    """One node off, one crashed, one rebooted, while the worker is killed and then the spare of its heir."""
    before = {node: ContainerSwitch(paths, node).limits() for node in ("n1", "n2", "n3")}
    job = begin(
        paths,
        tmp_path,
        ("dark", "n1", "off", 1, 8),
        ("crash", "n2", "crash", 1, 8),
        ("reboot", "n3", "reboot", 1, 8),
    )
    wait_until(lambda: not ContainerSwitch(paths, "n1").running(), 20, "n1 is off")
    assert not ContainerSwitch(paths, "n1").answers()
    worker, spare = programs(paths, job)
    os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: len(programs(paths, job)) == 2 and worker not in programs(paths, job), 20, "a new spare"
    )
    (fresh,) = set(programs(paths, job)) - {spare}
    os.kill(fresh, signal.SIGKILL)
    assert power.await_end(paths, job["run"], 60)

    dark = proof(tmp_path, "n1", "dark")
    assert dark["asked"]["sent"] > 4 and dark["asked"]["answered"] == 0 and dark["killed"] > 3
    assert proof(tmp_path, "n2", "crash")["killed"] > 3
    assert proof(tmp_path, "n3", "reboot")["answered_s"] is not None
    assert {node: ContainerSwitch(paths, node).limits() for node in before} == before
    wait_until(lambda: programs(paths, job) == [], 20, "no process of the program is left")
    for node in before:
        wait_until(lambda n=node: "active" in lab.on(n, f"systemctl is-active {UNIT}", check=False), 20, UNIT)


def test_heal_switches_on_what_two_dead_programs_left(lab, paths, tmp_path):
    job = begin(paths, tmp_path, ("dark", "n2", "off", 0, 300))
    wait_until(lambda: not ContainerSwitch(paths, "n2").running(), 20, "n2 is off")
    for pid in reversed(programs(paths, job)):
        os.kill(pid, signal.SIGKILL)
    outcome = lab.playbook("heal")
    assert outcome.status == 0, outcome.output[-2000:]
    assert ContainerSwitch(paths, "n2").answers() and cut_entries(paths) == []


@pytest.mark.parametrize("action", ["crash", "reboot"])
def test_the_nodes_own_agent_lives_through_it(lab, paths, tmp_path, action):
    """What survives the boot is taken back at it, what it cut short is told, the rest of the plan goes on."""
    node = "n1"
    install_agent(lab, node)
    wait_until(lambda: "active" in lab.on(node, f"systemctl is-active {UNIT}", check=False), 20, UNIT)
    before = state_of(lab, node)
    pause = {"action": "pause", "units": [UNIT]}
    program = {"action": "kill", "units": [UNIT]}
    staged = stage(
        lab,
        node,
        [
            # a slow machine boots long before the first one's end
            {"type": "process", "start_s": 1, "end_s": 36, "node": pause},
            {"type": "process", "start_s": 31, "end_s": 35, "node": program},
        ],
        ahead_s=5,
    )
    # as a fault does that survives a reboot
    undo = {"trace": "x", "name": "x", "action": "kill", "hold": False, "pattern": None, "units": {}}
    entry = {"run": staged.run, "fault": "durable", "type": "process", "undo": {**undo, "stopped_before": []}}
    path = f"/var/lib/foundation-testbed/undo/{staged.run}.durable.json"
    put(lab, node, path, json.dumps(entry).encode())
    start_wall_ns = staged.program["start_wall_ns"]
    job = begin(paths, tmp_path, ("cut", node, action, 3, 8), start_wall_ns=start_wall_ns)
    assert power.await_end(paths, job["run"], 60)
    assert lab.on(node, f"test -e {path} && echo there || echo gone").strip() == "gone"
    assert "process-1" not in lab.on(node, "find /run/foundation-testbed -type f", check=False)
    wait_until(lambda: "active" in lab.on(node, f"systemctl is-active {UNIT}", check=False), 20, UNIT)
    ledger = staged.finish(60)
    events = [(entry["fault"], entry["event"]) for entry in ledger]
    assert ("durable", "reverted") in events and (None, "resumed") in events, ledger
    assert ("process-1", "interrupted") in events and ("process-2", "record") in events, ledger
    assert events[-1] == (None, "end"), ledger
    wait_until(lambda: differences(before, state_of(lab, node)) == [], 20, "the node as it was")


def test_a_scenario_cuts_a_node_and_proves_it(lab):
    outcome = lab.run("power")
    results = json.loads((lab.newest() / "results.json").read_text(encoding="utf-8"))
    assert [fault["proved"] for fault in results["faults"]] == [True], outcome.output[-3000:]
    assert (outcome.status, results["verdict"]) == (0, "pass"), outcome.output[-3000:]
