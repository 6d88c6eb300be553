# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A suite: what `all` stands for, what a child is told, and the worst verdict of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_folder import all_runs
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import find_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.suite import (
    Choice,
    Run,
    as_record,
    child_arguments,
    choose,
    markdown,
    run_of,
    table,
    worst,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

GOOD = (
    "{{name: {0}, system: etcd, {1}duration: 20s, workload: {{rate: 1}}, "
    "success_criteria: {{error_rate: 1}}}}"
)


def cluster(count: int) -> ClusterView:
    nodes = {f"n{i}": f"10.77.0.{10 + i}" for i in range(1, count + 1)}
    return ClusterView(
        "t", nodes, {"observer1": "10.77.0.2"}, {name: ["etcd"] for name in nodes}, {"etcd": ["register"]}
    )


@pytest.fixture
def folder(tmp_path):
    for name, more in (("b", ""), ("a", "node_count: 3, "), ("four", "node_count: 4, ")):
        (tmp_path / f"{name}.yml").write_text(GOOD.format(name, more))
    return tmp_path


def test_all_is_every_scenario_of_the_folder_that_is_for_the_cluster(folder):
    chosen = choose("all", cluster(3), folder)
    assert [path.stem for path in chosen.paths] == ["a", "b"]
    assert chosen.left_out == {"four": "for 4 nodes; the cluster has 3"}


def test_a_list_keeps_its_order_and_refuses_what_does_not_fit(folder):
    assert [path.stem for path in choose("b, a", cluster(3), folder).paths] == ["b", "a"]
    with pytest.raises(InputError, match="node_count: given 4; allowed: 3"):
        choose("b,four", cluster(3), folder)


def test_every_mistake_of_every_file_is_told_at_once(folder):
    (folder / "bad.yml").write_text("{name: bad}")
    (folder / "worse.yml").write_text("[")
    with pytest.raises(InputError) as caught:
        choose("all", cluster(3), folder)
    assert {problem.split(":")[0].split("/")[-1] for problem in caught.value.problems} == {
        "bad.yml",
        "worse.yml",
    }
    with pytest.raises(InputError, match=r"(?s)'x'.*'y'"):
        choose("x,y", cluster(3), folder)


@pytest.mark.parametrize("count", [3, 5])
def test_nothing_to_run_is_an_error(tmp_path, count):
    with pytest.raises(InputError, match="scenarios_dir"):
        choose("all", cluster(count), tmp_path)
    (tmp_path / "four.yml").write_text(GOOD.format("four", "node_count: 4, "))
    with pytest.raises(InputError, match=f"is for {count} nodes"):
        choose("all", cluster(count), tmp_path)


def test_all_is_the_name_of_no_scenario(folder):
    (folder / "all.yml").write_text(GOOD.format("all", ""))
    assert "all" not in [path.stem for path in choose("all", cluster(3), folder).paths]
    with pytest.raises(InputError, match="'all'"):
        find_scenario("all", folder)


def test_a_child_has_the_options_of_its_parent_and_another_scenario():
    """The last -e wins; of the playbooks, only that of one scenario is left."""
    argv = [
        "/bin/ansible-playbook",
        "-i",
        "lab",
        "-e",
        "scenario=all",
        "-vv",
        "--check",
        "playbooks/site.yml",
    ]
    assert child_arguments(argv, ("playbooks/site.yml",), "/p/run_scenario.yml", Path("/s/a b.yml")) == [
        "/bin/ansible-playbook", "-i", "lab", "-e", "scenario=all", "-vv", "--check", "/p/run_scenario.yml",
        "-e", '{"scenario": "/s/a b.yml"}',
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["pass", "fail", "unknown"])))
def test_fail_outweighs_unknown_and_unknown_outweighs_pass(verdicts):
    found = worst([Run("x", verdict) for verdict in verdicts])
    for candidate in ("fail", "unknown"):
        if candidate in verdicts:
            assert found == candidate
            return
    assert found == ("pass" if verdicts else "unknown")


def test_what_was_not_run_any_more_is_unknown():
    """A suite that was stopped never passes."""
    chosen = Choice([Path("a.yml"), Path("b.yml")], {"four": "for 4 nodes; the cluster has 3"})
    record = as_record(
        "20261124T120000Z-all", chosen, [Run("a", "pass", "20261124T120001Z-a", 0, 61.2)], True
    )
    assert (record["verdict"], record["stopped"]) == ("unknown", True)
    assert [run["verdict"] for run in record["runs"]] == ["pass", "unknown"]
    shown = table(record)
    assert "verdict UNKNOWN" in shown and "It was not run." in shown and "left out" in shown
    assert "[a](../20261124T120001Z-a/report.html) | pass | 61 |" in markdown(record)
    assert json.dumps(record)


def test_the_newest_run_has_its_own_name_beside_latest(tmp_path):
    """A suite tells its runs by the folders that are new; `latest` must not be taken for one."""
    (tmp_path / "20261124T120000Z-a").mkdir()
    (tmp_path / "20261124T120000Z-a" / "run.json").write_text("{}")
    (tmp_path / "latest").symlink_to("20261124T120000Z-a")
    assert all_runs(tmp_path) == {tmp_path / "20261124T120000Z-a"}


def test_a_run_without_results_is_unknown(tmp_path):
    assert run_of(tmp_path, "a", 2).verdict == "unknown"
    (tmp_path / "run.json").write_text('{"wall_s": 3}')
    (tmp_path / "results.json").write_text('{"verdict": "fail", "reasons": ["a | b\\nc"]}')
    run = run_of(tmp_path, "a", 10)
    assert (run.verdict, run.wall_s, run.exit_status) == ("fail", 3, 10)
    assert "a \\| b c" in markdown(as_record("s", Choice([], {}), [run], False))


def test_all_leaves_out_what_is_for_a_system_that_the_cluster_does_not_run(folder):
    (folder / "other.yml").write_text(GOOD.format("other", "").replace("etcd", "foundation"))
    chosen = choose("all", cluster(3), folder)
    assert [path.stem for path in chosen.paths] == ["a", "b"]
    assert chosen.left_out["other"] == "for foundation; the cluster has etcd"
    (folder / "other.yml").write_text(GOOD.format("other", "").replace("etcd", "ectd"))
    with pytest.raises(InputError, match="ectd"):
        choose("all", cluster(3), folder)
