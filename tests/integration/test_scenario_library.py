# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several scenarios after each other, and an experiment of the Chaos Toolkit, on real nodes."""

from __future__ import annotations

import pytest
import yaml
from support import HERE, record

pytestmark = pytest.mark.lab
SUITE = HERE / "scenarios" / "suite"


def test_a_suite_goes_on_after_an_unknown_verdict_and_ends_with_the_worst(whole):
    outcome = whole.playbook("run", "-e", "scenario=all", "-e", f"scenarios_dir={SUITE}")
    (folder,) = whole.runs_dir.glob("*-all")
    suite = record(folder, "suite.json")
    assert (outcome.status, suite["verdict"]) == (11, "unknown"), outcome.output[-3000:]
    runs = {run["scenario"]: run for run in suite["runs"]}
    verdicts = {name: run["verdict"] for name, run in runs.items()}
    assert verdicts == {"a_no_load": "unknown", "b_killed": "pass"}
    for name, run in runs.items():
        assert record(whole.runs_dir / run["run"], "results.json")["scenario"] == name
        assert f"{run['run']}/report.html" in (folder / "suite.md").read_text()
    assert [entry["scenario"] for entry in suite["left_out"]] == ["c_for_four_nodes"]


def test_a_mistake_in_the_last_file_stops_a_suite_before_the_first(lab, tmp_path):
    before = sorted(lab.runs_dir.iterdir())
    (tmp_path / "a.yml").write_text((SUITE / "b_killed.yml").read_text())
    (tmp_path / "b.yml").write_text("{name: b}")
    outcome = lab.playbook("run", "-e", "scenario=all", "-e", f"scenarios_dir={tmp_path}")
    assert outcome.status == 12 and "b.yml" in outcome.output
    assert sorted(lab.runs_dir.iterdir()) == before


def test_an_experiment_runs_once_what_has_no_counterpart_may_be_left_out(whole):
    experiment = f"scenario={HERE / 'scenarios' / 'experiment.json'}"
    refused = whole.playbook("run", "-e", experiment)
    assert refused.status == 12 and "method[1].provider.path: " in refused.output
    outcome = whole.playbook("run", "-e", experiment, "-e", "allow_unmapped=true")
    results = record(whole.newest(), "results.json")
    assert (outcome.status, results["verdict"]) == (0, "pass"), outcome.output[-3000:]
    assert [fault["id"] for fault in results["faults"]] == ["terminate-pods"]
    scenario = yaml.safe_load((whole.newest() / "scenario.yml").read_text())
    assert scenario["name"] == "A pod is terminated"
