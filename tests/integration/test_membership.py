# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dead members of etcd leave the cluster and come back to it; no partition makes two majorities (S2.5)."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from support import HERE, ROOT, Lab, nothing_left_of, wait_until

pytestmark = pytest.mark.lab

NODES = [f"n{number}" for number in range(1, 7)]
JOINED_S = 60
"""Seconds for two members to be back on a machine that other work keeps busy."""
SILENT_S = 8
"""Seconds of a cut after which whoever could be removed would have been: dead after 3."""


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Six nodes with etcd."""
    lab = Lab(HERE / "inventory_membership", tmp_path_factory.mktemp("runs"))
    with nothing_left_of(lab):
        for playbook in ("provision", "deploy"):
            outcome = lab.playbook(playbook)
            assert outcome.status == 0, outcome.output[-4000:]
        yield lab


def members(lab, node):
    """Ids by name as a node's own member lists them; a learner's name is followed by an L."""
    said = lab.on(node, "etcdctl member list --write-out=json", check=False)
    found = json.loads(said)["members"] if said else []
    return {each.get("name", "?") + "L" * each.get("isLearner", False): each["ID"] for each in found}


def put(lab, node, key, value="x"):
    """Whether a node's member takes a write."""
    return "OK" in lab.on(node, f"etcdctl --command-timeout=1500ms put {key} {value}", check=False)


def get(lab, node, key):
    return lab.on(node, f"etcdctl --command-timeout=5s get --print-value-only {key}", check=False).strip()


def partition(lab, **arguments):
    """Begin a partition on all nodes, or end it."""
    words = ["-m", "foundation.testbed.partition", "-a", json.dumps(arguments)]
    command = ["ansible", "nodes", "-i", str(lab.inventory), "--forks", "6", *words]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]


def all_are_back(lab):
    """Whether every node lists all six as voting members, and serves."""
    return all(set(members(lab, node)) == {*NODES} and put(lab, node, "back") for node in NODES)


def test_of_two_halves_neither_removes_anybody_nor_serves(six):
    before = members(six, "n1")
    assert set(before) == {*NODES}
    partition(six, groups={"one": NODES[:3], "other": NODES[3:]}, **{"for": "60s"})
    time.sleep(SILENT_S)
    assert not any(put(six, node, "half") for node in ("n1", "n6"))
    assert [members(six, node) for node in ("n1", "n6")] == [before, before]
    partition(six, state="absent")
    wait_until(lambda: all_are_back(six), JOINED_S, "all six to serve")
    assert members(six, "n1") == before


def test_a_majority_removes_who_is_cut_off_and_they_join_again(six):
    before = members(six, "n1")
    assert put(six, "n1", "kept", "before")
    partition(six, groups={"majority": NODES[:4], "minority": NODES[4:]}, **{"for": "120s"})
    wait_until(lambda: set(members(six, "n1")) == {*NODES[:4]}, 30, "the two to be removed")
    assert put(six, "n1", "later", "during") and not put(six, "n6", "later", "minority")
    assert members(six, "n6") == before  # it knows nothing of it, and can change nothing
    partition(six, state="absent")
    wait_until(lambda: all_are_back(six), JOINED_S, "all six to serve")
    after = members(six, "n1")
    assert {name for name in NODES if after[name] != before[name]} == {"n5", "n6"}
    assert (get(six, "n6", "kept"), get(six, "n6", "later")) == ("before", "during")


def test_a_deploy_after_a_member_left_brings_it_back_and_changes_nothing_else(six):
    before = members(six, "n1")
    six.on("n6", "systemctl stop etcd.service")
    wait_until(lambda: set(members(six, "n1")) == {*NODES[:5]}, 30, "the stopped one to be removed")
    outcome = six.playbook("deploy")
    assert (outcome.status, outcome.changed()) == (0, 1), outcome.output[-3000:]
    wait_until(lambda: all_are_back(six), JOINED_S, "all six to serve")
    assert members(six, "n1")["n6"] != before["n6"]
