# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scenario files: those of the collection are right, and every mistake in one is a clear line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    ClusterView,
    compile_plan,
    plan_text,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.promises import threshold
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import (
    SCENARIOS_DIR,
    find_scenario,
    load_scenario,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, Source
from ansible_collections.foundation.testbed.tests.support.mutations import mutated
from hypothesis import given
from hypothesis import strategies as st

FILES = sorted(SCENARIOS_DIR.glob("*.yml"))
ORIGINALS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}
SPLIT = ORIGINALS["etcd_majority_partition.yml"] | {
    "conditions": [{
        "type": "partition", "id": "split", "at": "10s", "for": "20s",
        "groups": {"a": ["n1", "n2", "n3"], "b": ["n4", "n5"]},
    }]
}  # fmt: skip
NODES = {f"n{i}": f"10.77.0.{10 + i}" for i in range(1, 6)}
LOCAL = ClusterView(
    "local", NODES, {"observer1": "10.77.0.2"}, {name: ["etcd"] for name in NODES}, {"etcd": ["register"]}
)


def problems(tmp_path: Path, data: object) -> list[str]:
    """Return the lines that a scenario file with this content gives."""
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        compile_plan("mine", load_scenario(path), LOCAL)
    return caught.value.problems


def condition(**change: object) -> dict[str, object]:
    return {"conditions": [{**SPLIT["conditions"][0], **change}]}


MISTAKES = [
    ({"system": "ectd"}, "system", "given 'ectd'; allowed: etcd (did you mean 'etcd'?)"),
    ({"duration": "15"}, "duration", "given '15'; allowed: a positive number with a unit"),
    ({"duration": 15}, "duration", "given 15; allowed: a positive number with a unit"),
    ({"duration": "9" * 400 + "s"}, "duration", "at most a year"),
    ({"seed": -1}, "seed", "given -1; allowed: greater than or equal to 0"),
    ({"name": None}, "name", "given None; allowed: a text"),
    ({"conditions": None}, "conditions", "given None; allowed: a list"),
    ({"conditions": {}}, "conditions", "given {}; allowed: a list"),
    ({"conditions": ["split"]}, "conditions[0]", "given 'split'; allowed: a mapping"),
    (condition(type="partitoin"), "conditions[0].type", "(did you mean 'partition'?)"),
    (condition(at="45s"), "conditions[0]", "given an end at 65s; allowed: at most the duration, 50s"),
    (condition(at="1500ms"), "conditions[0].at", "given 1.5s; allowed: whole seconds"),
    (condition(at="9" * 400 + "s"), "conditions[0].at", "at most a year"),
    (condition(id="Split"), "conditions[0].id", "given 'Split'"),
    (condition(groups={"all": ["n1"]}), "conditions[0].groups", "given {'all': ['n1']}"),
    (condition(groups={"a": [], "b": ["n1"]}), "conditions[0].groups.a", "given []"),
    (condition(groups={"a": ["n1"], "b": ["n1"]}), "conditions[0].groups", "given the node 'n1' 2 times"),
    (condition(groups={"a": ["n1"], "b": ["n9"]}), "conditions[0].groups.b", "given 'n9'; allowed: n1, n2"),
    (condition(groups={"a": ["n1"], "b": ["observer1"]}), "conditions[0].groups.b", "given 'observer1'"),
    (condition(clients="go"), "conditions[0].clients", "given 'go'; allowed: cut, stay"),
    (condition(form="5s"), "conditions[0].form", "unknown key; given 'form'; allowed: affected"),
    ({"conditions": SPLIT["conditions"] * 2}, "conditions[1].id", "given 'split' a second time"),
    ({"success_criteria": {}}, "success_criteria", "given {}"),
    ({"success_criteria": {"uptime": 1}}, "success_criteria.uptime", "given 'uptime'; allowed: "),
    ({"success_criteria": {"error_rate": None}}, "success_criteria.error_rate", "given None; allowed: a num"),
    ({"success_criteria": {"error_rate": True}}, "success_criteria.error_rate", "given True; allowed: a num"),
    ({"success_criteria": {"error_rate": "5s"}}, "success_criteria.error_rate", "allowed: a number (ratio)"),
    ({"success_criteria": {"error_rate": float("nan")}}, "success_criteria.error_rate", "given nan"),
    ({"success_criteria": {"recovery_time": "soon"}}, "success_criteria.recovery_time", "given 'soon'"),
    ({"workload": {"rate": True}}, "workload.rate", "given True; allowed: a number"),
    ({"workload": {"rate": float("nan")}}, "workload.rate", "given nan; allowed: a finite number"),
    ({"workload": {"rate": 1, "clients": []}}, "workload.clients", "given []"),
    ({"workload": {"rate": 1, "clients": [{"to": "n7"}]}}, "workload.clients[0].to", "given 'n7'"),
    ({"workload": {"rate": 1, "type": "queue"}}, "workload.type", "given 'queue'; allowed: "),
    ({"workload": {"rate": 1, "mix": {"read": 0, "write": 0, "cas": 0}}}, "workload.mix", "one above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "key", "words"), MISTAKES, ids=[str(m[0])[:60] for m in MISTAKES])
def test_a_mistake_is_one_clear_line(tmp_path, change, key, words):
    (line,) = problems(tmp_path, {**SPLIT, **change})
    assert re.match(rf"mine\.yml:[0-9]+: {re.escape(key)}: ", line)
    assert words in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("options", [{"day": "2020-01-01"}, {"x": float("inf")}, {"x": {1: 1, "a": 2}}])
def test_options_that_a_plan_cannot_hold_are_a_mistake(tmp_path, options):
    """A date among a client's options broke the writing of plan.json."""
    text = yaml.safe_dump({**SPLIT, "workload": {"rate": 1, "clients": [{"to": "any", "options": options}]}})
    path = tmp_path / "mine.yml"
    path.write_text(text.replace("'2020-01-01'", "2020-01-01"))
    with pytest.raises(InputError, match=r"mine\.yml:[0-9]+: workload\.clients\[0\]\.options"):
        load_scenario(path)


@given(data=st.sampled_from(sorted(ORIGINALS)).flatmap(lambda name: mutated(ORIGINALS[name])))
def test_any_mutation_is_a_plan_or_clear_errors(tmp_path, monkeypatch, data):
    """Whatever stands in the file: a plan of strict JSON, or lines that name the file; nothing else."""
    module = load_scenario.__module__
    monkeypatch.setattr(f"{module}.read_source", lambda path, name: (data, Source(name)))
    try:
        plan = compile_plan("mine", load_scenario(tmp_path / "mine.yml"), LOCAL)
    except InputError as error:
        assert error.problems
        for line in error.problems:
            assert line.startswith("mine.yml: ")
            assert len(line.splitlines()) == 1
    else:
        json.loads(plan_text(plan), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_scenario_is_found_by_name_and_by_path(tmp_path):
    path = tmp_path / "own.yml"
    path.write_text("{}")
    assert find_scenario("etcd_stale_reads").name == "etcd_stale_reads.yml"
    assert find_scenario(str(path)) == path
    with pytest.raises(InputError, match=r"did you mean 'etcd_stale_reads'"):
        find_scenario("etcd_stale_read")


def test_a_threshold_is_in_its_criterions_own_unit():
    assert threshold("recovery_time", "2 min") == 120.0
    assert threshold("p95_response_time", "2s") == 2000.0
    assert threshold("error_rate", 0.25) == 0.25
