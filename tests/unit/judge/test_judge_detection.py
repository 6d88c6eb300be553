# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long members without a majority take to say so, from records whose right answer is worked out here."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import evaluate
from ansible_collections.foundation.testbed.plugins.plugin_utils.cut_members import without_majority
from ansible_collections.foundation.testbed.plugins.plugin_utils.measures import Evidence

FIVE = ["n1", "n2", "n3", "n4", "n5"]
CUT = {"id": "cut", "applied_s": 10.1, "reverted_s": 30.0}


def partition(*sides, **more):
    programs = {
        name: {
            "blocked": {other: "192.0.2.1" for side in sides if name not in side for other in side},
            **more,
        }
        for name in (name for side in sides for name in side)
    }
    return {"type": "partition", "id": "cut", "nodes": programs}


def sampled(node, unhealthy_from_s, to_s=40):
    """One sample a second, half a second after each full one."""
    return [{"node": node, "t_s": t + 0.5, "healthy": t + 0.5 < unhealthy_from_s} for t in range(to_s)]


def judged(samples, cut_members, faults=(CUT,), threshold=15.0):
    wanted = {"name": "partition_detection_time", "threshold": threshold, "comparison": "<="}
    evidence = Evidence(to_columns([], {}), 45.0, faults=faults, samples=samples, cut_members=cut_members)
    return evaluate(wanted, evidence)


def test_who_has_no_majority():
    assert without_majority(partition(["n1", "n2", "n3"], ["n4", "n5"]), FIVE) == ["n4", "n5"]
    assert without_majority(partition(["n1", "n2"], ["n3", "n4"]), FIVE[:4]) == FIVE[:4]
    one_way = {"type": "partition", "nodes": {"n1": {"blocked": dict.fromkeys(FIVE[1:], "192.0.2.1")}}}
    assert without_majority(one_way, FIVE) == ["n1"]
    assert without_majority(partition(["n1"], FIVE[1:], ports=[2380]), FIVE) == []
    assert without_majority({"type": "link", "nodes": {}}, FIVE) == []


def test_of_a_cut_of_whoever_leads_then_counts_who_took_it():
    """Each node has the program, and the one that leads when the time comes applies it."""
    everybody = {name: {"blocked": dict.fromkeys(set(FIVE) - {name}, "192.0.2.1")} for name in FIVE}
    alone = {"type": "partition", "nodes": everybody, "where": {"state": "leader", "is": True}}
    assert without_majority(alone, FIVE, {"n2"}) == ["n2"]
    assert without_majority(alone, FIVE, set()) == []


def test_the_slowest_counts():
    """The cut begins at 10.1 s: n4 says so at 12.5 s, n5 at 14.5 s, which is 4.4 s later."""
    found = judged([*sampled("n4", 12), *sampled("n5", 14.2)], {"cut": ["n4", "n5"]})
    assert (found["verdict"], found["actual"]) == ("pass", pytest.approx(4.4))


def test_too_late_fails():
    """At 26.5 s, 16.4 s after the cut."""
    found = judged(sampled("n4", 26), {"cut": ["n4"]})
    assert (found["verdict"], found["actual"]) == ("fail", pytest.approx(16.4))


def test_who_never_says_so_never_passes():
    never = sampled("n4", 99)
    assert judged(never, {"cut": ["n4"]})["verdict"] == "fail"
    found = judged(never, {"cut": ["n4"]}, threshold=60.0)
    assert (found["verdict"], found["reason"]) == (
        "unknown", "n4 called itself healthy until fault cut ended, after 19.9 s."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "cut_members", "faults", "reason"),
    [
        ([], {"cut": ["n4"]}, [CUT], "n4 said nothing of itself during fault cut."),
        ([], {"cut": []}, [CUT], "No partition left a member without a majority."),
        (
            [],
            {"cut": ["n4"]},
            [{**CUT, "applied_s": None}],
            "The beginning or the end of fault cut was not proved.",
        ),
    ],
)
def test_missing_data_never_passes(samples, cut_members, faults, reason):
    found = judged(samples, cut_members, faults)
    assert (found["verdict"], found["reason"]) == ("unknown", reason)
