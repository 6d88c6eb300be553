# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timeline of check mode: every event in order, every node's row, never too wide or too long."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import (
    MAX_EVENTS,
    MAX_NODES,
    WIDTH,
    chart,
    event_lines,
    letters_of,
    timeline,
)
from hypothesis import given
from hypothesis import strategies as st


def fault(start_s, end_s, targets, kind="partition", **more):
    return {
        "id": f"{kind}-{start_s}", "type": kind, "start_s": start_s, "end_s": end_s, "targets": targets,
        "params": {}, "nodes": {}, **more,
    }  # fmt: skip


def plan(*faults, nodes=3, duration_s=100.0):
    return {
        "scenario": {"title": "x", "name": "x", "options": {}}, "seed": 1, "duration_s": duration_s,
        "testbed_id": "t", "nodes": [{"name": f"n{i}"} for i in range(1, nodes + 1)], "faults": list(faults),
        "load": [], "criteria": [{"name": "error_rate", "comparison": "<=", "threshold": 0.25}],
    }  # fmt: skip


def test_events_stand_in_the_order_of_time_and_ends_first():
    lines = event_lines([fault(20, 30, ["n1"]), fault(0, 20, ["n2"], "link")])
    assert [line.split()[:4] for line in lines] == [
        ["0", "s", "begins", "link-0"], ["20", "s", "ends", "link-0"],
        ["20", "s", "begins", "partition-20"], ["30", "s", "ends", "partition-20"],
    ]  # fmt: skip


def test_what_waits_for_a_state_is_not_said_to_begin():
    waiting = fault(5, 30, ["n1"], when={"state": "term", "changed": True, "within_s": 20})
    lines = event_lines([waiting])
    assert "5 s  waits" in lines[0] and "on a change of term" in lines[0]
    assert "30 s  at most until  partition-5" in lines[1]
    assert "p" in chart(plan(waiting))[0] and "P" not in chart(plan(waiting))[0]


def test_the_chart_has_a_row_for_each_node_and_a_legend():
    rows = chart(plan(fault(0, 50, ["n1"]), fault(25, 75, ["n1", "n2"], "link")), width=43)
    assert rows[0] == "n1 " + "P" * 10 + "#" * 10 + "L" * 10 + "." * 10
    assert rows[1] == "n2 " + "." * 10 + "L" * 20 + "." * 10
    assert rows[2] == "n3 " + "." * 40
    assert rows[3].split() == ["0", "s", "100", "s"]
    assert rows[4] == "L link  P partition  # several kinds  on..."


KINDS = st.sampled_from(["link", "power"])
SPANS = st.tuples(st.integers(0, 90), st.integers(1, 10), st.integers(1, 60), KINDS)


@given(st.lists(SPANS, max_size=90), st.integers(1, 60))
def test_no_plan_is_too_wide_or_too_long_and_no_fault_is_invisible(spans, nodes):
    faults = [fault(at, at + span, [f"n{node}"], kind) for at, span, node, kind in spans]
    text = timeline(plan(*faults, nodes=nodes))
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert len(text.splitlines()) <= MAX_EVENTS + MAX_NODES + 10
    hidden = 2 * len(faults) - MAX_EVENTS
    assert (f"... and {hidden} more events" in text) == (hidden > 0)
    rows = chart(plan(*faults, nodes=nodes))
    for one in faults:
        number = int(one["targets"][0][1:])
        if number <= min(nodes, MAX_NODES):
            assert set(rows[number - 1].split(" ", 1)[1].strip()) - {"."}


@given(st.lists(st.text("abc_", min_size=1, max_size=3), unique=True, max_size=20))
def test_every_kind_has_a_letter_of_its_own(kinds):
    letters = letters_of(kinds)
    assert len(set(letters.values())) == len(kinds)
