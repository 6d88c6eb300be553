# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One fault as a task or ad hoc: every key means something, or is refused in one line."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.modules.fault import names_problem
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import own_program, read_said
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

NODES = {f"n{i}": f"10.0.0.{i}" for i in range(1, 6)}
CLUSTER = ClusterView(
    "t", NODES, {}, {}, {}, provider=dict.fromkeys(NODES, "container"), max_down=2, management=["10.0.0.254"]
)
CUT = {"peers": "n2", "for": "30s"}
CONDITION_KEYS = sorted(
    {field.alias or name for name, field in Condition.model_fields.items()} - {"for", "id", "max_down"}
)


def program(kind, chosen=("n1",), **args):
    return own_program(kind, args, "n1", list(chosen), CLUSTER)[1]


def refusal(kind, chosen=("n1",), **args):
    with pytest.raises(InputError) as caught:
        program(kind, chosen, **args)
    (line,) = caught.value.problems
    assert line.startswith(f"foundation.testbed.{kind}: ") and len(line.splitlines()) == 1
    return line


@pytest.mark.parametrize("key", [*CONDITION_KEYS, "max_down", "taget"])
def test_a_key_that_means_nothing_here_is_refused(key):
    """They were accepted, and nothing came of them."""
    assert f": {key}: unknown key; given {key!r}; allowed: " in refusal(
        "link", **{"delay": "5ms", "for": "5s", key: "1"}
    )


def test_the_nearest_key_is_offered():
    assert "did you mean 'peers'?" in refusal("partition", **{"for": "5s", "peer": "n2"})


def test_never_more_nodes_down_at_once_than_allowed():
    down = {"action": "off", "for": "20s"}
    off = {"action": "off", "lose_unsynced": False, "switch": "container"}
    assert program("power", ["n1", "n2"], **down) == off
    assert "hosts: given 3 nodes down at once (n1, n2, n3); allowed: max_down, 2" in refusal(
        "power", ["n1", "n2", "n3"], **down
    )
    assert program("power", ["n1", "n2", "n3"], **down, max_down="3") == off
    assert "max_down: given 'x'; allowed: a whole number" in refusal("power", **down, max_down="x")


@pytest.mark.parametrize("name", ["../../x y", "", "A", "x" * 22, "a_b", 5, ["a"]])
def test_a_name_is_part_of_a_path_and_of_a_unit(name):
    assert f"id: given {name!r}; allowed: a lower-case letter, then" in refusal("partition", **CUT, id=name)
    assert names_problem({"type": "partition", "id": str(name)}).startswith("id: given ")


def test_a_kinds_own_name_is_a_name():
    assert read_said("disk_fill", {}).id == "disk_fill"
    assert names_problem({"type": "disk_fill", "id": "disk_fill"}) is None
    assert names_problem({"type": "../x", "id": "../x"}).startswith("type: given '../x'")


@pytest.mark.parametrize("seed", ["abc", -1, 2**64, 1.5, True, None])
def test_a_seed_is_a_whole_number(seed):
    assert "seed: given" in refusal("partition", **CUT, seed=seed)


@given(st.integers(0, 2**63))
def test_a_seed_is_taken_exactly(seed):
    assert (
        read_said("partition", {"seed": str(seed)}).seed
        == read_said("partition", {"seed": seed}).seed
        == seed
    )


@given(st.dictionaries(
    st.sampled_from(["state", "id", "seed", "for", "peers", "shape"]),
    st.text(max_size=8) | st.integers() | st.none() | st.lists(st.text(max_size=3), max_size=2),
))  # fmt: skip
def test_whatever_is_said_is_a_fault_or_lines_that_name_the_module(args):
    try:
        read_said("partition", args)
        own_program("partition", args, "n1", ["n1"], CLUSTER)
    except InputError as error:
        assert error.problems
        for line in error.problems:
            assert line.startswith("foundation.testbed.partition: ") and len(line.splitlines()) == 1
