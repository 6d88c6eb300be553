# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Topologies as pure functions: who is linked, how packets go, how late they come, and every mistake told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.network import graph
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import expand, lab_vars
from ansible_collections.foundation.testbed.plugins.plugin_utils.link_spec import LinkSpec, NetworkLatency
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology import Topology, lay_out
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology_inventory import group_names
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

BASE = {"testbed_id": "t", "node_count": 4, "subnet": "10.9.0.0/24"}
LATENCY = {"min": 5, "max": 20, "unit": "millisecond"}


def topology(kind: str, count: int, **more: object) -> Topology:
    return lay_out(kind, [f"n{i}" for i in range(1, count + 1)], "t", **more)  # type: ignore[arg-type]


@st.composite
def connected(draw: st.DrawFn) -> Topology:
    """A custom topology: a random tree and some links more, each with a latency."""
    count = draw(st.integers(2, 12))
    names = [f"n{i}" for i in range(count)]
    pairs = {(names[draw(st.integers(0, at - 1))], names[at]) for at in range(1, count)}
    more = st.sets(st.sampled_from([(a, b) for a in names for b in names if a < b]), max_size=8)
    seen = {frozenset(pair): pair for pair in [*sorted(draw(more)), *sorted(pairs)]}
    latency = NetworkLatency(min=1.0, max=9.0, unit="millisecond", symmetrical=draw(st.booleans()), seed=1)
    return lay_out("custom", names, "t", [LinkSpec(between=pair) for pair in seen.values()], None, latency)


@given(connected())
def test_every_pair_is_joined_by_a_shortest_way_over_links_without_a_circle(laid):
    links = {frozenset(link) for link in laid.links}
    for start in laid.nodes:
        for end in set(laid.nodes) - {start}:
            passed = laid.path(start, end)
            assert len(set(passed)) == len(passed) <= len(laid.nodes)
            assert {frozenset(step) for step in pairwise(passed)} <= links
            assert laid.hops(start, end) == len(passed) - 1 == _distance(laid, start, end)


@given(connected())
def test_a_round_trip_is_the_sum_of_the_links_both_ways(laid):
    for start in laid.nodes:
        for end, expected in laid.expected(start).items():
            there, back = laid.path(start, end), laid.path(end, start)
            steps = [*pairwise(there), *pairwise(back)]
            assert expected["rtt_ms"] == pytest.approx(sum(laid.latency_ms[step] for step in steps), abs=0.01)
            assert expected["hops"] == len(back) - 1


def _distance(laid: Topology, start: str, end: str) -> int:
    seen, edge, steps = {start}, {start}, 0
    while end not in seen:
        edge = {other for name in edge for other in laid.neighbours[name]} - seen
        seen |= edge
        steps += 1
    return steps


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_mesh_is_direct_and_nothing_to_lay_out(count):
    laid = topology("mesh", count)
    assert laid.plain
    assert all(laid.path(a, b) == [a, b] for a in laid.nodes for b in laid.nodes if a != b)


def test_a_ring_goes_the_shorter_way_round_and_of_two_equal_ones_always_the_same():
    laid = topology("ring", 6)
    assert laid.path("n1", "n3") == ["n1", "n2", "n3"]
    assert laid.path("n1", "n5") == ["n1", "n6", "n5"]
    assert laid.path("n1", "n4") == ["n1", "n2", "n3", "n4"]
    assert laid.neighbours["n1"] == ["n2", "n6"]


def test_a_star_goes_through_its_hub():
    assert topology("star", 4).path("n2", "n3") == ["n2", "n1", "n3"]
    laid = topology("star", 4, hub="n3")
    assert laid.path("n1", "n4") == ["n1", "n3", "n4"]
    assert laid.hops("n3", "n4") == 1


def test_only_a_graph_with_a_circle_has_another_way():
    assert graph.has_another_way(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")])
    assert not graph.has_another_way(["a", "b", "c"], [("a", "b"), ("b", "c")])


def test_latencies_are_drawn_from_the_id_within_bounds_and_stay_when_a_link_is_added():
    drawn = topology("ring", 5, latency=NetworkLatency(**{**LATENCY, "min": 5.0, "max": 20.0})).latency_ms
    more = topology("mesh", 5, latency=NetworkLatency(**{**LATENCY, "min": 5.0, "max": 20.0})).latency_ms
    assert all(5 <= held <= 20 for held in drawn.values())
    assert len(set(drawn.values())) == 5
    assert all(drawn[one, other] == drawn[other, one] for one, other in drawn)
    assert drawn["n1", "n2"] == more["n1", "n2"]


def test_latencies_may_differ_in_both_directions_and_by_seed():
    one, other = (
        topology(
            "ring",
            3,
            latency=NetworkLatency(min=5.0, max=20.0, unit="millisecond", symmetrical=False, seed=seed),
        )
        for seed in (1, 2)
    )
    assert one.latency_ms["n1", "n2"] != one.latency_ms["n2", "n1"]
    assert one.latency_ms != other.latency_ms


def test_a_link_of_a_custom_topology_may_have_a_latency_of_its_own():
    data = {
        **BASE, "topology": "custom", "network_latency": LATENCY,
        "links": [["n1", "n2"], {"between": ["n2", "n3"], "latency": "50ms", "back": "30ms"}, ["n3", "n4"]],
    }  # fmt: skip
    laid = parse_cluster(data, "cluster.yml", set()).laid_out
    assert (laid.latency_ms["n2", "n3"], laid.latency_ms["n3", "n2"]) == (50.0, 30.0)
    assert 5 <= laid.latency_ms["n1", "n2"] <= 20


def test_a_matrix_says_links_and_latencies_at_once():
    matrix = [[0, 1, None, None], [2, 0, 3, None], [None, 4, 0, 500], [None, None, 6, 0]]
    data = {**BASE, "topology": "custom", "network_latency": {"matrix": matrix, "unit": "microsecond"}}
    laid = parse_cluster(data, "cluster.yml", set()).laid_out
    assert laid.links == (("n1", "n2"), ("n2", "n3"), ("n3", "n4"))
    assert laid.latency_ms["n3", "n4"] == 0.5
    assert laid.latency_ms["n2", "n1"] == 0.002


def test_the_inventory_shows_links_as_groups_with_their_latency():
    data = {**BASE, "topology": "custom", "links": [
        {"between": ["n1", "n2"], "latency": "5ms"},
        {"between": ["n3", "n2"], "latency": "7.25ms", "back": "8ms"},
        ["n3", "n4"],
    ]}  # fmt: skip
    cluster = parse_cluster(data, "cluster.yml", set())
    assert group_names(cluster.laid_out) == {
        "link__n1__n2__5ms": ["n1", "n2"],
        "link__n2__n3__8ms__7250us": ["n2", "n3"],
        "link__n3__n4": ["n3", "n4"],
    }
    hosts = {host["name"]: host for host in expand(cluster, {})}
    assert "link__n1__n2__5ms" in hosts["n2"]["groups"]
    assert hosts["n2"]["vars"]["testbed_link_latency_ms"] == {"n1": 5.0, "n3": 8.0}
    assert hosts["n1"]["vars"]["testbed_expected"]["n3"] == {"hops": 2, "rtt_ms": 25.25}
    assert lab_vars(cluster)["testbed_links"][0] == {
        "between": ["n1", "n2"],
        "latency_ms": 5.0,
        "back_ms": 5.0,
    }


def test_a_full_mesh_without_latency_costs_the_inventory_nothing():
    cluster = parse_cluster({**BASE, "node_count": 250, "subnet": "10.9.0.0/16"}, "cluster.yml", set())
    assert lab_vars(cluster)["testbed_links"] == []
    assert not any("testbed_expected" in host["vars"] for host in expand(cluster, {}))


CUSTOM = {"topology": "custom"}
LINE = [["n1", "n2"], ["n2", "n3"], ["n3", "n4"]]
MISTAKES = [
    ({"topology": "ring", "node_count": 2}, "topology: given 'ring' of 2 nodes; allowed: at least 3"),
    ({"hub": "n1"}, "hub: given beside topology mesh; allowed: beside topology star"),
    ({"topology": "star", "hub": "n44"}, "hub: given 'n44'; allowed: n1, n2, n3, n4 (did you mean 'n4'?)"),
    (
        {"topology": "ring", "links": LINE},
        "links: given beside topology ring; allowed: beside topology custom",
    ),
    (CUSTOM, "links: given none; allowed: the links of a custom topology, such as [[n1, n2], [n2, n3]]"),
    ({**CUSTOM, "links": LINE[:2]}, "links: given no way from n1 to n4; allowed: links that join all nodes"),
    ({**CUSTOM, "links": [*LINE, ["n4", "n9"]]}, "links[3]: given 'n9'; allowed: n1, n2, n3, n4"),
    ({**CUSTOM, "links": [*LINE, ["n4", "n4"]]}, "links[3]: given a link from 'n4' to itself"),
    ({**CUSTOM, "links": [*LINE, ["n2", "n1"]]}, "links[3]: given [n2, n1], which is links[0] already"),
    ({**CUSTOM, "links": [*LINE, ["n1"]]}, "links[3].between: given ['n1']; allowed: the names of two nodes"),
    ({**CUSTOM, "links": [*LINE, "n1-n4"]}, "links[3]: given 'n1-n4'; allowed: two nodes such as [n1, n2]"),
    (
        {**CUSTOM, "links": [*LINE, {"between": ["n1", "n4"], "latency": "-5ms"}]},
        "links[3].latency: given '-5ms'; allowed: a positive number with a unit",
    ),
    (
        {**CUSTOM, "links": [*LINE, {"between": ["n1", "n4"], "latency": "11s"}]},
        "links[3].latency: given '11s'; allowed: at most 10s",
    ),
    (
        {**CUSTOM, "links": [*LINE, {"between": ["n1", "n4"], "back": "1s"}]},
        "links[3].back: given without latency; allowed: beside latency",
    ),
    (
        {**CUSTOM, "links": [*LINE, {"betwen": ["n1", "n4"], "between": ["n1", "n4"]}]},
        "links[3].betwen: unknown key",
    ),
    ({"network_latency": {**LATENCY, "min": -1}}, "network_latency.min: given -1; allowed: greater than or"),
    ({"network_latency": {**LATENCY, "min": 30}}, "network_latency: given min 30.0 and max 20.0"),
    ({"network_latency": {"min": 1, "unit": "second"}}, "network_latency.max: is required but missing"),
    (
        {"network_latency": {**LATENCY, "max": 10001}},
        "network_latency.max: given 10001 milliseconds; allowed",
    ),
    ({"network_latency": {**LATENCY, "seed": -1}}, "network_latency.seed: given -1; allowed: greater than"),
    ({"network_latency": {"matrix": [[0]], **LATENCY}}, "network_latency.min: given beside matrix"),
    (
        {"network_latency": {"matrix": [[0]], "unit": "second"}},
        "network_latency.matrix: given beside topology mesh; allowed: beside topology custom",
    ),
    (
        {**CUSTOM, "network_latency": {"matrix": [[0]], "unit": "second"}},
        "network_latency.matrix: given 1 rows; allowed: 4, one for each node (n1, n2, n3, n4)",
    ),
    (
        {**CUSTOM, "network_latency": {"matrix": [[0, 1, 1]] + [[0, 1, 1, 1]] * 3, "unit": "second"}},
        "network_latency.matrix[0]: given 3 numbers; allowed: 4, one for each node",
    ),
]


@pytest.mark.parametrize(("change", "told"), MISTAKES, ids=[told[:50] for _, told in MISTAKES])
def test_a_mistake_is_a_line_that_names_key_value_and_what_is_allowed(change, told):
    with pytest.raises(InputError) as caught:
        parse_cluster({**BASE, **change}, "cluster.yml", set())
    assert caught.value.problems[0].startswith(f"cluster.yml: {told}")


MATRIX_MISTAKES = [
    ([(0, 0, 1)], "[0][0]: given 1.0 for n1 to itself; allowed: 0 or null"),
    ([(0, 1, -1)], "[0][1]: given -1.0; allowed: 0 to 10000, or null where there is no link"),
    (
        [(0, 1, None)],
        "[0][1]: given None and 5.0 the other way; allowed: two numbers for a link of n1 and n2",
    ),
    (
        [(0, 1, None), (1, 0, None)],
        ": given no way from n1 to n2, n3, n4; allowed: links that join all nodes",
    ),
]


@pytest.mark.parametrize(("changes", "told"), MATRIX_MISTAKES, ids=[told[:40] for _, told in MATRIX_MISTAKES])
def test_a_mistake_in_a_matrix_names_its_row_and_column(changes, told):
    matrix: list[list[float | None]] = [
        [5.0 if abs(a - b) == 1 else None for b in range(4)] for a in range(4)
    ]
    for row, column, value in changes:
        matrix[row][column] = value
    data = {**BASE, "topology": "custom", "network_latency": {"matrix": matrix, "unit": "millisecond"}}
    with pytest.raises(InputError) as caught:
        parse_cluster(data, "cluster.yml", set())
    assert caught.value.problems[0].startswith(f"cluster.yml: network_latency.matrix{told}")


def test_a_matrix_has_numbers_for_links_only():
    matrix = [[None, 5.0, 5.0], [5.0, None, 5.0], [5.0, 5.0, None]]
    data = {**BASE, "node_count": 3, "topology": "custom", "links": LINE[:2]}
    with pytest.raises(InputError) as caught:
        parse_cluster({**data, "network_latency": {"matrix": matrix, "unit": "second"}}, "c", set())
    assert caught.value.problems == [
        "c: network_latency.matrix[0][2]: given 5.0, and no link of n1 and n3; "
        "allowed: a number for every link, null elsewhere"
    ]
