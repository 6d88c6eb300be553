# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No plan takes more nodes down at once than it may."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import fault_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from condition_support import NODES, faults, wrong
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("kinds")


def test_faults_of_several_conditions_count_together_as_down():
    first = {"type": "power", "id": "a", "at": "1s", "for": "20s", "nodes": ["n1", "n2", "n3"]}
    second = {"type": "power", "id": "b", "at": "10s", "for": "5s", "nodes": ["n4"]}
    assert "conditions[1].nodes: given 4 nodes down at once (n1, n2, n3, n4)" in wrong(first, second)
    assert len(faults(first, {**second, "at": "26s"})) == 2


def off(node, start_s, end_s, **more):
    times = {"at": f"{start_s}s", "for": f"{end_s - start_s}s"}
    return {"type": "power", "id": f"{node}-{start_s}", "nodes": [node], **times, **more}


def test_nodes_that_are_down_one_after_the_other_are_not_down_at_once():
    """n1 and n2 never meet, though both meet n3."""
    outages = [off("n1", 1, 10), off("n2", 15, 20), off("n3", 5, 16, max_down=2)]
    assert len(faults(*outages)) == 3
    line = wrong(*outages, off("n4", 8, 9, max_down=2))
    assert "conditions[3].nodes: given 3 nodes down at once (n1, n3, n4); allowed: max_down, 2" in line


def test_a_node_that_boots_is_still_down():
    assert "given 2 nodes down at once" in wrong(off("n1", 1, 10), off("n2", 14, 20, max_down=1))
    assert "given 2 nodes down at once" in wrong(off("n2", 14, 20), off("n1", 1, 10, max_down=1))
    assert len(faults(off("n1", 1, 10), off("n2", 15, 20, max_down=1))) == 2


OUTAGES = st.lists(
    st.tuples(st.sampled_from(list(NODES)), st.integers(1, 40), st.integers(1, 10)), max_size=6, unique=True
)


@given(OUTAGES, st.integers(0, 4))
def test_no_instant_of_a_plan_has_more_nodes_down_than_allowed(outages, most):
    said = [
        off(f"{node}", at, at + span, max_down=most, id=f"x{i}") for i, (node, at, span) in enumerate(outages)
    ]
    down = [
        {node for node, at, span in outages if at <= now_s < at + span + fault_plan.BOOT_S}
        for now_s in range(60)
    ]
    try:
        faults(*said)
    except InputError:
        assert any(len(names) > most for names in down)
    else:
        assert all(len(names) <= most for names in down)


@given(st.integers(0, 2**40))
def test_repeated_faults_take_other_nodes_down_one_after_the_other(seed):
    entry = {"type": "power", "at": "5s", "every": "5s", "count": 3, "for": "40s", "nodes": {"random": 1}}
    found = faults(entry, seed=seed)
    assert [fault["id"] for fault in found] == ["power-1-1", "power-1-2", "power-1-3"]
    assert [fault["start_s"] for fault in found] == [5, 10, 15]
    assert len({fault["targets"][0] for fault in found}) == 3
    assert all(fault["nodes"] == {} and list(fault["power"]) == fault["targets"] for fault in found)
