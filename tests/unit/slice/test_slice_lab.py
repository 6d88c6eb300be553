# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pure parts of the container provider, the run folder, the archive, the promises of the repository."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge, cgroup, image, lab, node
from ansible_collections.foundation.testbed.plugins.plugin_utils import run_folder
from ansible_collections.foundation.testbed.plugins.plugin_utils.agent_archive import agent_archive
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError

ROOT = Path(__file__).resolve().parents[3]
LIMITS = cgroup.Limits(512 * 2**20, 1.5, 512)


def test_limits_are_written_for_both_versions_of_control_groups():
    assert cgroup.limit_files(1, LIMITS) == {
        "memory": {"memory.limit_in_bytes": "536870912"},
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000", "cpu.shares": "1024"},
        "pids": {"pids.max": "512"},
    }
    assert cgroup.limit_files(2, LIMITS) == {
        "memory": {"memory.max": "536870912"},
        "cpu": {"cpu.max": "150000 100000", "cpu.weight": "100"},
        "pids": {"pids.max": "512"},
    }


def test_hierarchies_are_read_from_the_mount_table():
    mounts = (
        "c /sys/fs/cgroup/memory cgroup rw,memory 0 0\nc /sys/fs/cgroup/u cgroup2 rw 0 0\n/d / ext4 rw 0 0\n"
    )
    found = cgroup.parse_hierarchies(mounts)
    assert [(str(h.mount_point), h.version) for h in found] == [
        ("/sys/fs/cgroup/memory", 1),
        ("/sys/fs/cgroup/u", 2),
    ]


def test_a_plan_creates_what_is_missing_and_remakes_what_differs():
    change = lab.plan(
        {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}}, {"a": {"x": 1}, "b": {"x": 2}, "old": {}}, {"a", "b"}
    )
    assert (change.remove, change.create, change.start, change.keep) == (
        ["b", "old"],
        ["b", "c"],
        ["b", "c"],
        ["a"],
    )
    assert change.needed
    assert not lab.plan({"a": {"x": 1}}, {"a": {"x": 1}}, {"a"}).needed


def test_a_node_that_stands_but_does_not_run_is_started():
    change = lab.plan({"a": {"x": 1}}, {"a": {"x": 1}}, set())
    assert (change.create, change.start) == ([], ["a"])


def test_a_subnet_in_use_is_named():
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.1.0.0/16", "dev": "eth1"}]
    assert bridge.conflicting_route(routes, "10.1.2.0/24", "tb-x") == "10.1.0.0/16 on eth1"
    assert bridge.conflicting_route(routes, "10.2.0.0/24", "tb-x") is None
    assert bridge.conflicting_route([{"dst": "10.1.2.0/24", "dev": "tb-x"}], "10.1.2.0/24", "tb-x") is None


def test_an_image_is_named_by_its_recipe_alone():
    one, other = image.recipe(["b", "a", "a"]), image.recipe(["a", "b"])
    assert image.recipe_hash(one) == image.recipe_hash(other)
    assert image.recipe_hash(one) != image.recipe_hash(image.recipe(["a", "b"], below="x"))


def test_a_nodes_identity_holds_its_own_address_and_everyones_names():
    spec = node.NodeSpec("n1", "10.0.0.11", 24, "10.0.0.1", LIMITS, ("/i",))
    files = node.identity_files(spec, "ssh-ed25519 KEY", {"n1": "10.0.0.11", "n2": "10.0.0.12"})
    assert files["etc/hostname"] == ("n1\n", 0o644)
    assert "10.0.0.12 n2\n" in files["etc/hosts"][0]
    assert "Address=10.0.0.11/24" in files["etc/systemd/network/10-testbed.network"][0]
    assert files["root/.ssh/authorized_keys"] == ("ssh-ed25519 KEY\n", 0o600)
    assert "limits" not in spec.identity()


def test_failures_and_time_outs_are_told_apart():
    error = lab.NodesNotStarted({"n1": "died"}, {"n2": "late"}, {"n1": "/c"})
    assert str(error).splitlines() == [
        "node_start_failures: n1: died (console: /c)", "timeout_starting_nodes: n2: late (console: none)",
    ]  # fmt: skip


def test_merging_loses_no_whole_line(tmp_path):
    for name, times in (("n1", (3.0, 1.0)), ("n2", (2.0,))):
        part = tmp_path / "nodes" / name
        (part / "logs").mkdir(parents=True)
        (part / "logs" / "etcd.service.log").write_text(name)
        lines = "".join(json.dumps({"node": name, "t_s": t}) + "\n" for t in times)
        (part / "ledger.jsonl").write_text(lines + '{"node": "cut off by a ki')
        (part / "history.g.jsonl").write_text(f"{name}\n")
    run_folder.merge(tmp_path)
    merged = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [entry["t_s"] for entry in merged] == [1.0, 2.0, 3.0]
    assert gzip.decompress((tmp_path / "history.jsonl.gz").read_bytes()) == b"n1\nn2\n"
    assert (tmp_path / "logs" / "n2" / "etcd.service.log").read_text() == "n2"
    assert not (tmp_path / "nodes").exists()


def test_a_run_that_does_not_exist_is_one_error_with_those_that_do(tmp_path):
    (tmp_path / "20260101T000000Z-a").mkdir()
    (tmp_path / "20260101T000000Z-a" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="allowed: 20260101T000000Z-a, latest"):
        run_folder.find_run(tmp_path, "nonsense")


def test_the_agent_is_the_same_file_each_time_and_runs_alone(tmp_path):
    """Python runs it with nothing of ours on its path, as a node does."""
    assert agent_archive() == agent_archive()
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent_archive())
    done = subprocess.run(
        [sys.executable, "-I", str(path), "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "allowed: run, resume, load, monitor, revert" in done.stderr
    names = zipfile.ZipFile(io.BytesIO(agent_archive())).namelist()
    assert "ansible_collections/foundation/testbed/roles/etcd/files/client.py" in names
    assert not any("/lab/" in name or "plugin_utils" in name for name in names)


def test_every_molecule_scenario_has_a_side_effect_that_exists():
    """Molecule skips a missing side effect with status 0: a scenario would pass with nothing broken."""
    config = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8"))
    assert "side_effect" in config["scenario"]["test_sequence"]
    name = config["ansible"]["playbooks"]["side_effect"]
    scenarios = sorted((ROOT / "molecule").glob("*/molecule.yml"))
    assert scenarios and all((path.parent / name).is_file() for path in scenarios)
