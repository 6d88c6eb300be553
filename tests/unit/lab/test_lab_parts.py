# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The container provider's pure parts: limits, keys, plans, recipes, identities."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge, cgroup, image, lab, node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import (
    ensure_key,
    known_hosts_line,
    write_known_hosts,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["n1", "n2", "n3", "n4"])
IDENTITIES = st.fixed_dictionaries({"address": st.sampled_from("ab")})


@given(st.dictionaries(NAMES, IDENTITIES), st.dictionaries(NAMES, st.none() | IDENTITIES), st.sets(NAMES))
def test_a_plan_brings_what_is_there_to_what_is_wanted(wanted, present, running):
    """Done once, there is nothing left to do; what fits and runs is not touched."""
    change = lab.plan(wanted, present, running & set(present))
    after = {name: identity for name, identity in present.items() if name not in change.remove}
    after.update({name: wanted[name] for name in change.create})
    assert after == wanted
    assert set(change.create) <= set(change.start)
    assert set(change.keep) | set(change.start) == set(wanted)
    assert not set(change.keep) & {*change.start, *change.remove}
    again = lab.plan(wanted, after, set(wanted))
    assert not again.needed
    assert set(again.keep) == set(wanted)


@given(st.integers(1, 2**60))
def test_a_limit_that_the_kernel_rounds_down_to_a_page_is_the_one_wanted(wanted):
    page = os.sysconf("SC_PAGE_SIZE")
    assert cgroup._canonical(str(wanted // page * page), str(wanted)) == str(wanted)
    assert cgroup._canonical("max", str(wanted)) == "max"
    assert cgroup._canonical(str(wanted + page), str(wanted)) != str(wanted)


@given(st.floats(0.01, 1024), st.integers(2**20, 2**60), st.integers(64, 2**22))
def test_limits_are_whole_numbers_in_both_versions(cpus, memory, pids):
    limits = cgroup.Limits(memory, cpus, pids)
    for version in (1, 2):
        files = cgroup.limit_files(version, limits)
        assert set(files) == set(cgroup.CONTROLLERS)
        assert all(
            word.isdigit() for part in files.values() for text in part.values() for word in text.split()
        )
    quota, period = cgroup.limit_files(2, limits)["cpu"]["cpu.max"].split()
    assert int(quota) / int(period) == pytest.approx(cpus, abs=1e-5)


def test_a_share_of_a_processor_is_not_rounded_down():
    assert cgroup.limit_files(1, cgroup.Limits(1, 0.29, 1))["cpu"]["cpu.cfs_quota_us"] == "29000"


def test_a_weight_is_the_same_share_in_both_versions():
    heavy, plain = cgroup.Limits(1, 1, 1, 800), cgroup.Limits(1, 1, 1)
    for version, name, shares in ((1, "cpu.shares", ["8192", "1024"]), (2, "cpu.weight", ["800", "100"])):
        assert [cgroup.limit_files(version, each)["cpu"][name] for each in (heavy, plain)] == shares


def test_a_limit_is_written_only_where_it_differs(tmp_path):
    path = tmp_path / "memory.max"
    path.write_text("max\n")
    assert cgroup._write_if_other(path, "1048576") is True
    assert path.read_text() == "1048576"
    assert cgroup._write_if_other(path, "1048576") is False


SPANS = {
    0.01: "10ms", 0.25: "250ms", 0.3333: "333.300ms", 1: "1s", 1.5: "1.500000s", 12.25: "12.250000s",
    60: "1min", 61: "1min 1s", 61.5: "1min 1.500000s", 120: "2min",
}  # fmt: skip


@pytest.mark.parametrize(("cpus", "shown"), SPANS.items())
def test_a_processor_limit_is_compared_as_systemd_prints_it(cpus, shown):
    """1.5 was compared with '1.5s', so every provisioning changed the limits again."""
    assert f"CPUQuotaPerSecUSec={shown}" in node.systemd_view(cgroup.Limits(1, cpus, 1))
    if shutil.which("systemd-analyze"):
        argv = ["systemd-analyze", "timespan", f"{round(cpus * 1e6)}us"]
        assert f"Human: {shown}\n" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_limits_may_change_while_a_node_lives_and_nothing_else():
    one = node.NodeSpec("n1", "10.0.0.11", 24, "10.0.0.1", cgroup.Limits(1, 1, 1), ("/a", "/b"))
    other = node.NodeSpec("n1", "10.0.0.11", 24, "10.0.0.1", cgroup.Limits(2, 2, 2), ("/a", "/b"))
    moved = node.NodeSpec("n1", "10.0.0.12", 24, "10.0.0.1", cgroup.Limits(1, 1, 1), ("/a", "/b"))
    assert one.identity() == other.identity() != moved.identity()


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_node_whose_record_is_broken_is_no_whole_node(tmp_path, text):
    made = node.Node.__new__(node.Node)
    made.paths = LabPaths(tmp_path, "t").node("n1")
    made.paths.home.mkdir(parents=True)
    made.paths.spec.write_text(text)
    assert made.made_from() is None


@given(st.permutations(["b", "a", "c"]), st.sampled_from(["", "0123"]))
def test_the_order_of_packages_makes_no_other_image(packages, below):
    wanted = image.recipe_hash(image.recipe(["a", "b", "c"], below))
    assert image.recipe_hash(image.recipe([*packages, "a"], below)) == wanted
    assert re.fullmatch("[0-9a-f]{16}", wanted)
    assert image.recipe_hash(image.recipe([*packages, "d"], below)) != wanted
    assert image.recipe_hash(image.recipe(packages, below + "x")) != wanted


def test_a_lab_does_not_conflict_with_its_own_bridge_or_a_default_route():
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.77.0.0/24", "dev": "tb-local"}, {"dev": "x"}]
    assert bridge.conflicting_route(routes, "10.77.0.0/24", "tb-local") is None
    assert bridge.conflicting_route(routes, "10.77.0.0/25", "tb-other") == "10.77.0.0/24 on tb-local"
    host = [{"dst": "10.77.0.9", "dev": "wg0"}]
    assert bridge.conflicting_route(host, "10.77.0.0/24", "tb-local") == "10.77.0.9 on wg0"


def test_a_bridges_name_fits_a_link():
    assert len(bridge.bridge_name("a" * 11)) <= 15


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "ssh" / "id_ed25519"
    public = ensure_key(path, "a comment")
    assert ensure_key(path, "another") == public
    assert public.startswith("ssh-ed25519 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert known_hosts_line(["n1", "10.0.0.11"], public) == "n1,10.0.0.11 " + " ".join(public.split()[:2])


def test_known_hosts_change_only_with_their_content(tmp_path):
    path = tmp_path / "known_hosts"
    assert write_known_hosts(path, ["b x", "a y"]) is True
    assert write_known_hosts(path, ["a y", "b x"]) is False
    assert path.read_text() == "a y\nb x\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["known_hosts"]


def test_a_failed_command_says_its_last_words():
    with pytest.raises(LabError, match=r"exit status 3: no luck"):
        run(["sh", "-c", "echo no luck >&2; exit 3"])
    with pytest.raises(LabError, match="'no-such-command' is not installed"):
        run(["no-such-command"])
    with pytest.raises(LabError, match=r"no end after 0\.1 s"):
        run(["sleep", "5"], timeout_s=0.1)


def test_waiting_ends_with_the_condition_or_the_time():
    answers = iter([None, None, "there"])
    assert wait_until(lambda: next(answers), 5.0, 0.001) == "there"
    assert wait_until(lambda: None, 0.02, 0.005) is None


def test_a_labs_files_are_below_its_own_folder():
    paths = LabPaths(Path("/state"), "t")
    everything = [paths.ssh, paths.node("n1").root, paths.node("n1").spec, paths.node("n1").console]
    assert all(paths.home in path.parents for path in everything)
    assert paths.home not in [*paths.failures.parents, *paths.lock.parents]
