# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Admission, progress, the cluster as playbooks see it, the end of a run and its exit status."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from ansible_collections.foundation.testbed.plugins.callback.verdict import CallbackModule
from ansible_collections.foundation.testbed.plugins.plugin_utils.abort import combined
from ansible_collections.foundation.testbed.plugins.plugin_utils.admission import (
    MAX_CLOCK_OFFSET_MS,
    admit,
    clock_offsets_ms,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_view import cluster_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.conclude import conclude
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.progress import (
    active_faults,
    progress_line,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import overview
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from ansible_collections.foundation.testbed.tests.support.synthetic_run import Shape, write_run
from hypothesis import given
from hypothesis import strategies as st

FIT = {"blockers": [], "incapable": [], "unhealthy": [], "wall_ns": 0}
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "unreachable": st.booleans(), "failed": st.booleans(), "msg": st.none() | st.text(max_size=9),
        "blockers": st.lists(st.text(max_size=3), max_size=2),
        "incapable": st.lists(st.text(max_size=3), max_size=2),
        "unhealthy": st.lists(st.text(max_size=3), max_size=2),
    },
).map(lambda answer: {"incapable": [], "unhealthy": [], **answer})  # fmt: skip


@given(st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), ANSWERS), st.floats(-1e6, 1e6))
def test_whoever_is_not_fit_is_named_and_only_then_a_run_is_refused(answers, offset_ms):
    admission = admit(answers, {"n9": offset_ms})
    assert bool(admission.reasons) == (admission.status != ExitStatus.PASS)
    for host, answer in answers.items():
        named = any(host in reason for reason in admission.reasons)
        gone = answer.get("unreachable") or answer.get("failed") or "blockers" not in answer
        fit = not (gone or answer["blockers"] or answer["incapable"] or answer["unhealthy"])
        assert named != fit
    assert any("n9" in r for r in admission.reasons) == (abs(offset_ms) > MAX_CLOCK_OFFSET_MS)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-(10**7), 10**7))
def test_a_clock_within_the_span_of_the_question_is_not_off(asked_ns, span_ns, off_ns):
    answers = {"n1": {**FIT, "wall_ns": asked_ns + off_ns}, "n2": {"unreachable": True}}
    offsets = clock_offsets_ms(answers, asked_ns, asked_ns + span_ns)
    beyond = off_ns if off_ns < 0 else max(0, off_ns - span_ns)
    assert offsets == {"n1": beyond / 1e6}


PLAN = {
    "scenario": {"title": "split", "name": "split"}, "seed": 1, "duration_s": 60.0, "testbed_id": "local",
    "nodes": [{"name": "n1"}], "criteria": [{"name": "error_rate", "comparison": "<=", "threshold": 0.25}],
    "faults": [{
        "id": "cut", "type": "partition", "start_s": 10, "end_s": 30,
        "params": {"groups": {"a": ["n1", "n2"], "b": ["n3"]}},
    }],
    "load": [{
        "rate_per_s": 200.0, "observer": "observer1", "workload": "register", "system": "etcd",
        "clients": [{"name": "failover"}],
    }],
}  # fmt: skip
LOAD = "100 operations/s, 50 sent"
UNANSWERED = "4 without an answer"
GENERATOR = {
    "ops_per_s": 99.6,
    "sent": 50,
    "dropped": 2,
    "in_flight": 3,
    "answered": 45,
    "phase": "main",
    "t_s": 9.0,
}


@pytest.mark.parametrize(
    ("now_s", "generators", "line"),
    [
        (-4.2, [], "starts in 4 s on all nodes at once"),
        (5.0, [], "  5 s, 55 s left | no fault | no load"),
        (10.0, [GENERATOR],
         f" 10 s, 50 s left | cut (partition n1+n2 | n3), 20 s more | {LOAD}, {UNANSWERED}"),
        (30.0, [], " 30 s, 30 s left | no fault | no load"),
        (70.0, [{**GENERATOR, "phase": "final"}],
         f" 60 s, 0 s left | no fault | {LOAD}, reading every key once more, {UNANSWERED}"),
    ],
)  # fmt: skip
def test_progress_is_one_line_that_says_what_goes_on(now_s, generators, line):
    assert progress_line(PLAN, now_s, combined(generators) if generators else None) == line


def test_two_faults_at_once_are_both_named():
    faults = [{**PLAN["faults"][0], "id": name} for name in ("one", "two")]
    assert active_faults(faults, 12).count("partition") == 2


ALONE = {
    "n1": {"blocked": {"n3": "a"}},
    "n2": {"blocked": {"n3": "a"}},
    "n3": {"blocked": {"n1": "a", "n2": "a"}},
}
RING = {"n1": {"blocked": {"n3": "a"}}, "n2": {"blocked": {"n4": "a"}}, "n3": {"blocked": {"n1": "a"}}}


@pytest.mark.parametrize(
    ("programs", "more", "words"),
    [
        (ALONE, {}, "cut (partition n1+n2 | n3), 20 s more"),
        (RING, {}, "cut (partition x on n1+n2+n3), 20 s more"),
        (ALONE, {"where": {"state": "leader", "is": True}},
         "cut (partition x on n1+n2+n3 where leader is true), 20 s more"),
    ],
)  # fmt: skip
def test_a_cut_by_shape_is_told_by_its_sides(programs, more, words):
    """It read as if every node that has rules were cut off."""
    fault = {
        **PLAN["faults"][0],
        "params": {"shape": "x"},
        "nodes": programs,
        "targets": list(programs),
        **more,
    }
    assert active_faults([fault], 10) == words


WAITING = {
    **PLAN["faults"][0], "start_s": 5, "end_s": 35,
    "when": {"state": "term", "changed": True, "system": "etcd", "within_s": 20.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("now_s", "words"),
    [
        (4, "no fault"),
        (5, "cut (partition n1+n2 | n3), waiting for a change of term, or begun by it, 20 s more at most"),
        (25, "cut (partition n1+n2 | n3), may hold where a change of term came, 10 s more at most"),
        (35, "no fault"),
    ],
)
def test_a_fault_that_waits_for_a_state_is_not_called_active(now_s, words):
    assert active_faults([WAITING], now_s) == words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"is": True}, "lag is true"),
        ({"is": 5}, "lag is 5"),
        ({"above": 5}, "lag above 5"),
        ({"below": 0.5}, "lag below 0.5"),
        ({"changed": True}, "a change of lag"),
    ],
)
def test_a_state_is_said_in_words(state, words):
    fault = {**PLAN["faults"][0], "until": {"state": "lag", "system": "etcd", **state}}
    assert active_faults([fault], 10) == f"cut (partition n1+n2 | n3), until {words}, 20 s more at most"
    assert f"cut: 10 s to 30 s until {words}, partition" in overview({**PLAN, "faults": [fault]})


def test_the_overview_names_load_fault_and_promise():
    text = overview(PLAN)
    assert "cut: 10 s to 30 s, partition n1+n2 | n3" in text
    assert "200 operations/s from observer1" in text
    assert "error_rate <= 0.25" in text


def test_the_cluster_is_read_from_the_inventorys_variables():
    hostvars = {
        name: {
            "testbed_id": "t", "testbed_address": f"10.0.0.{i}", "testbed_applications": applications,
            "testbed_provider": "container", "testbed_gateway": "10.0.0.254",
            "testbed_partition_tolerance": 1,
        }
        for i, (name, applications) in enumerate({"n1": ["etcd"], "n2": [], "o1": []}.items())
    }  # fmt: skip
    view = cluster_view({"groups": {"nodes": ["n1", "n2"], "observers": ["o1"]}, "hostvars": hostvars})
    assert view.nodes == {"n1": "10.0.0.0", "n2": "10.0.0.1"}
    assert view.systems == {"n1": ["etcd"], "n2": []}
    assert view.workloads == {"etcd": ["register"]}


@pytest.mark.parametrize("groups", [{}, {"nodes": ["n1"]}, {"nodes": [], "observers": ["o1"]}])
def test_an_inventory_without_a_cluster_is_bad_input(groups):
    with pytest.raises(InputError, match="such as -i inventories/local"):
        cluster_view({"groups": groups, "hostvars": {}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("runs") / "good", Shape(rate_per_s=50.0))
    run = json.loads((folder / "run.json").read_text())
    run = {"steps": [], **run, "began_wall_ns": time.time_ns() - 70 * 10**9}
    run.pop("wall_s", None)
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_the_end_of_a_run_is_verdict_report_and_status(finished):
    result = conclude(finished)
    record = json.loads((finished / "results.json").read_text())
    assert result["verdict"] == record["verdict"]
    assert result["failed"] == (result["verdict"] != "pass") == bool(result["testbed_exit"])
    plan = json.loads((finished / "plan.json").read_text())
    assert record["overhead_s"] == pytest.approx(70 - plan["duration_s"], abs=5)
    wall_s = json.loads((finished / "run.json").read_text())["wall_s"]
    conclude(finished)  # judged again: the run took no longer for that
    assert json.loads((finished / "run.json").read_text())["wall_s"] == wall_s


def test_a_run_that_never_started_keeps_its_own_status(finished):
    result = conclude(finished, preflight=["n3 is not healthy."], status=ExitStatus.CLUSTER_NOT_HEALTHY)
    assert (result["verdict"], result["failed"], result["testbed_exit"]) == ("unknown", True, 13)
    assert result["reasons"] == ["n3 is not healthy."]


def ended(*failures):
    """Return the exit status after these failed tasks; None when Ansible's own stands."""
    callback = CallbackModule()
    for result, ignored in failures:
        task = SimpleNamespace(vars={})
        callback.v2_runner_on_failed(SimpleNamespace(result=result, task=task), ignore_errors=ignored)
    try:
        callback.v2_playbook_on_stats(None)
    except SystemExit as end:
        return end.code
    return None


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([], None),
        ([({"msg": "of no cause"}, False)], None),
        ([({"testbed_exit": 11}, False)], 11),
        ([({"testbed_exit": 13}, False), ({"testbed_exit": 10}, False)], 13),
        ([({"testbed_exit": 11}, True)], None),
        ([({"testbed_exit": 0}, False), ({"testbed_exit": 10}, False)], 10),
    ],
)
def test_the_first_cause_is_the_exit_status(failures, status):
    assert ended(*failures) == status
