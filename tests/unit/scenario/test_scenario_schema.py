# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The published schema: up to date, and of one mind with what the testbed itself takes and refuses."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario_schema import DOCUMENT, schema_text

ROOT = SCENARIOS_DIR.parent
FILES = [*sorted(SCENARIOS_DIR.glob("*.yml")), ROOT / "tests/integration/scenarios/many_faults.yml"]
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))
GOOD = yaml.safe_load((SCENARIOS_DIR / "etcd_majority_partition.yml").read_text(encoding="utf-8"))
SLOW = {"type": "link", "at": "0s", "for": "5s", "delay": "50ms"}


def test_the_published_schema_is_up_to_date():
    """`make docs` writes it anew."""
    assert DOCUMENT.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_scenario_is_taken(path):
    VALIDATOR.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def changed(**more):
    return {**copy.deepcopy(GOOD), **more}


@pytest.mark.parametrize(
    "data",
    [
        changed(conditions=[{**SLOW, "every": {"interval": "9s", "jitter": "1s"}, "count": 2, "end": "20s"}]),
        changed(conditions=[{**SLOW, "id": "a"}, {"type": "link", "after": "a", "for": "1s", "loss": 5}]),
        changed(
            conditions=[{**SLOW, "nodes": nodes} for nodes in ("all", ["n1"], {"group": "x", "random": 1})]
        ),
        changed(conditions=[{**SLOW, "until": {"state": "lag", "above": 5}, "max_down": 1}]),
        changed(conditions=[{"node_failure": {"type": "random", "interval": 10000, "count": 2}}]),
        changed(conditions=[{"network_latency": {"min": 0, "max": "1s", "affected_percentage": 30}}]),
        changed(success_criteria={"cpu": {"promql": "x", "below": 0.9, "unit": "ratio"}}),
        changed(steady_state=[{"state": "healthy", "is": True}, {"promql": "x", "at_least": 1}]),
        changed(abort_conditions=[{"error_rate": {"above": 0.9, "for": "5s"}}], recovery_wait="0s"),
    ],
)
def test_what_may_be_said_is_taken(data):
    VALIDATOR.validate(data)


@pytest.mark.parametrize(
    "data",
    [
        changed(sytem="etcd"), changed(duration=50), changed(duration="50 sec"), changed(seed=-1),
        changed(workload={"rat": 5}), changed(workload={"rate": 99999}), changed(success_criteria={}),
        changed(success_criteria={"eror_rate": 1}), changed(success_criteria={"cpu": {"promql": "x"}}),
        changed(conditions=[{**SLOW, "dely": "5ms"}]), changed(conditions=[{**SLOW, "delay": 5}]),
        changed(conditions=[{**SLOW, "type": "lnik"}]), changed(conditions=[{"type": "link", "for": "5s"}]),
        changed(conditions=[{**SLOW, "nodes": {"share": 1}}]), changed(conditions=[{**SLOW, "loss": 101}]),
        changed(conditions=[{**SLOW, "every": {"jitter": "5s"}}]), changed(conditions={}),
        changed(conditions=[{"node_failure": {"interval": 10000}}]), changed(recovery_wait=30),
        changed(abort_conditions=[{"errors": {"above": 1, "for": "5s"}}]),
    ],
)  # fmt: skip
def test_a_mistake_is_refused(data):
    assert not VALIDATOR.is_valid(data)
