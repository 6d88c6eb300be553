# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A saved plan: taken byte for byte on the same cluster, else refused in words."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan, plan_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.saved_plan import load_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR, load_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from ansible_collections.foundation.testbed.tests.support.clusters import with_every_system
from ansible_collections.foundation.testbed.tests.support.mutations import mutated
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = with_every_system()
MANY = SCENARIOS_DIR.parent / "tests/integration/scenarios/many_faults.yml"
FILES = [*sorted(SCENARIOS_DIR.glob("*.yml")), MANY]
SCENARIOS = {path.stem: load_scenario(path) for path in FILES}
PLANS = {
    name: compile_plan(name, scenario, CLUSTER)
    for name, scenario in SCENARIOS.items()
    if scenario.node_count in (None, len(CLUSTER.nodes))
}
GOOD = PLANS["etcd_majority_partition"]


def problems(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(InputError) as caught:
        load_plan(path, CLUSTER)
    return caught.value.problems


@pytest.mark.parametrize("name", list(PLANS))
def test_a_plan_is_taken_as_it_is(tmp_path, name):
    path = tmp_path / "plan.json"
    path.write_text(plan_text(PLANS[name]))
    plan, text = load_plan(path, CLUSTER)
    assert text == plan_text(PLANS[name]) and plan == json.loads(text)


def changed(*path_and_value):
    *path, last, value = path_and_value
    plan = spot = copy.deepcopy(GOOD)
    for key in path:
        spot = spot[key]
    spot[last] = value
    return plan


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "plan.json:1: is not valid JSON: Expecting value"),
        ("[", "plan.json:1: is not valid JSON"),
        ("[" * 10**5, "plan.json: is not valid JSON"),
        ('{"format": NaN}', "plan.json: is not valid JSON: given NaN; allowed: finite numbers"),
        ('{"format": 1, "format": 1}', "given 'format' twice in one object; allowed: every key once"),
        ("[]", "plan.json: given []; allowed: a mapping with format, scenario"),
        (changed("format", 2), "plan.json: format: given 2; allowed: "),
        (
            changed("role_variables", {"etcd_snapshot_count": 5}),
            "plan.json: role_variables: given {'etcd_snapshot_count': 5}; allowed: {}, as its options say",
        ),
        (changed("sede", 2), "plan.json: sede: unknown key; given 'sede'"),
        (
            changed("testbed_id", "other"),
            "plan.json: testbed_id: given 'other'; allowed: local, as in",
        ),
        (
            changed("nodes", 0, "address", "10.0.0.1"),
            "nodes[0].address: given '10.0.0.1' of n1; allowed",
        ),
        (changed("nodes", GOOD["nodes"][1:]), "plan.json: nodes: n1 is missing; allowed: n1, n2"),
        (changed("nodes", 0, "name", "n9"), "nodes[0].name: given 'n9'; allowed: n1"),
        (
            changed("faults", 0, "type", "partitoin"),
            "faults[0].type: given 'partitoin'; allowed: clock",
        ),
        (changed("faults", 0, "end_s", 99), "faults[0].end_s: given 99; allowed: at most 50"),
        (changed("faults", 0, "end_s", 1), "faults[0].end_s: given 1; allowed: more than start_s, 10"),
        (
            changed("faults", GOOD["faults"] * 2),
            "faults[1].id: given 'split' 2 times; allowed",
        ),
        (changed("faults", 0, "targets", ["n9"]), "faults[0].targets: given 'n9'; allowed: n1, n2"),
        (
            changed("faults", 0, "nodes", "n1", "blocked", "n4", "10.77.0.15"),
            "faults[0].nodes.n1.blocked.n4: given '10.77.0.15'; allowed: 10.77.0.14, as in the inventory",
        ),
        (
            changed("faults", 0, "nodes", "n1", "blocked", "other", "10.77.0.1"),
            "faults[0].nodes.n1.blocked.other: given 10.77.0.1, whence the controller reaches the nodes",
        ),
        (
            changed("criteria", 0, "name", "eror_rate"),
            "criteria[0].name: given 'eror_rate'; allowed",
        ),
    ],
)
def test_a_plan_that_is_none_or_anothers_is_refused_in_words(tmp_path, text, words):
    told = problems(tmp_path, text)
    assert any(words in line for line in told), told
    assert all(len(line.splitlines()) == 1 for line in told)


@given(data=st.sampled_from(sorted(PLANS)).flatmap(lambda name: mutated(json.loads(plan_text(PLANS[name])))))
def test_any_edit_is_taken_or_refused_in_words(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        return
    path.write_text(text)
    try:
        load_plan(path, CLUSTER)
    except InputError as error:
        assert error.problems and all(line.startswith("plan.json") for line in error.problems)
