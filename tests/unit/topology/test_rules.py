# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nodes are told about a topology, and what their measurements say: pure texts and tables."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _cut_rules
from ansible_collections.foundation.testbed.plugins.module_utils.network import rules
from ansible_collections.foundation.testbed.plugins.module_utils.network.measure import (
    Answers,
    close,
    compare,
    deviation,
    read_answer,
)
from ansible_collections.foundation.testbed.plugins.module_utils.network.part import NETEM, NFQUEUE, Part
from ansible_collections.foundation.testbed.plugins.module_utils.network.units import (
    LATENCY,
    LAYOUT,
    ROUTER,
    units,
)

NAMES = ["n1", "n2", "n3", "n4"]
RING = [["n1", "n2"], ["n2", "n3"], ["n3", "n4"], ["n4", "n1"]]
STAR = [["n1", "n2"], ["n1", "n3"], ["n1", "n4"]]
MESH = [["n1", "n2"], ["n1", "n3"], ["n1", "n4"], ["n2", "n3"], ["n2", "n4"], ["n3", "n4"]]


def part_of(links: list[list[str]], node: str = "n2", **more: object) -> Part:
    return Part(
        testbed_id="t",
        node=node,
        addresses={name: f"10.0.0.{at}" for at, name in enumerate(NAMES, 1)},
        macs={name: f"02:00:00:00:00:0{at}" for at, name in enumerate(NAMES, 1)},
        links=links,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("links", "more", "wanted"),
    [
        (MESH, {}, []),
        (MESH, {"latency_ms": {"n1": 5.0}, "backend": NETEM}, [LAYOUT]),
        (MESH, {"latency_ms": {"n1": 5.0}, "backend": NFQUEUE}, [LAYOUT, LATENCY]),
        (STAR, {}, [LAYOUT]),
        (RING, {}, [LAYOUT, ROUTER]),
        (RING, {"latency_ms": {"n1": 5.0}, "backend": NFQUEUE}, [LAYOUT, ROUTER, LATENCY]),
    ],
)
def test_a_node_runs_no_unit_that_it_does_not_need(links, more, wanted):
    """A full mesh costs nothing, a tree has no other way to look for, netem needs no program."""
    assert list(units(part_of(links, **more))) == wanted


def test_next_hops_are_those_of_the_links_that_work():
    part = part_of(RING)
    assert part.ways() == {"10.0.0.1": "10.0.0.1", "10.0.0.3": "10.0.0.3", "10.0.0.4": "10.0.0.1"}
    assert part.ways(RING[1:])["10.0.0.1"] == "10.0.0.3"


def test_routes_change_by_what_differs_alone():
    before = {"10.0.0.3": "10.0.0.1", "10.0.0.4": "10.0.0.1"}
    lines = rules.routes("host0", "10.0.0.2", {"10.0.0.1": "10.0.0.1", "10.0.0.4": "10.0.0.3"}, before)
    assert lines == [
        "route del 10.0.0.3/32 dev host0 proto 197",
        "route replace 10.0.0.4/32 via 10.0.0.3 dev host0 src 10.0.0.2 proto 197",
    ]
    assert rules.routes("host0", "10.0.0.2", before, before) == []


def test_a_host_that_forwarded_before_goes_on_doing_so():
    assert 'iifname "host0" drop' in rules.frames("host0", ["10.0.0.1"], [], [], alone=True)
    assert 'iifname "host0" drop' not in rules.frames("host0", ["10.0.0.1"], [], [], alone=False)


@pytest.mark.parametrize(
    ("direction", "links", "input_", "output", "forward"),
    [
        ("both", None, 1, 1, 0),
        ("both", ["02:00:00:00:00:01"], 2, 2, 2),
        ("out", ["02:00:00:00:00:01"], 0, 2, 1),
        ("in", ["02:00:00:00:00:01"], 2, 0, 1),
        ("both", [], 1, 2, 1),
    ],
)
def test_a_partition_cuts_the_links_to_the_other_side_in_its_own_directions(
    direction, links, input_, output, forward
):
    """In a full mesh (None) it is what it always was; where no link leads there, only next hops may."""
    found = _cut_rules.drops(direction, links)
    assert [len(found.get(hook, [])) for hook in ("input", "output", "forward")] == [input_, output, forward]
    text = _cut_rules.ruleset("t", ["10.0.0.1"], (1, 2), 1000, direction, ["tcp dport { 1 } "], links)
    assert text.count(" drop\n") == input_ + output + forward
    assert text.count("meta time >= 1 meta time < 2 tcp dport { 1 } ") == input_ + output + forward


def test_a_partition_knows_the_links_of_this_node_to_the_peers():
    assert _cut_rules.links_to(None, ["10.0.0.1"]) is None
    assert _cut_rules.links_to(part_of(MESH), ["10.0.0.1"]) is None
    assert _cut_rules.links_to(part_of(RING), ["10.0.0.1", "10.0.0.4"]) == ["02:00:00:00:00:01"]


def reply(number: int, ttl: int, ident: int = 7, kind: int = 0) -> bytes:
    header = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, ttl, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    return header + struct.pack("!BBHHH", kind, 0, 0, ident, number)


def test_an_answer_is_read_from_our_own_replies_only():
    assert read_answer(reply(3, 62), 7) == (3, 62)
    assert read_answer(reply(3, 62, ident=8), 7) is None
    assert read_answer(reply(3, 62, kind=8), 7) is None
    assert read_answer(reply(3, 62)[:24], 7) is None


@pytest.mark.parametrize(
    ("asked", "measured", "right"),
    [
        (0, 1.9, True),
        (0, 2.1, False),
        (10, 11.9, True),
        (10, 12.1, False),
        (100, 91, True),
        (100, 111, False),
    ],
)
def test_a_round_trip_is_right_within_a_tenth_or_two_milliseconds(asked, measured, right):
    assert close(asked, measured) == right


def test_what_deviates_is_named():
    asked = {name: {"rtt_ms": 10.0, "hops": 2} for name in ("n1", "n3", "n4", "n5")}
    found = {
        "n1": Answers([10.5, 30.0, 10.4], [2, 2, 2]),
        "n3": Answers([10.5], [1]),
        "n4": Answers([20.0, 20.1, 5.0], [2, 2, 2]),
    }
    compared = compare(asked, found)
    assert [name for name, one in compared.items() if one["right"]] == ["n1"]
    assert [deviation(name, compared[name]) for name in ("n3", "n4", "n5")] == [
        "n3 answers over 1 links, asked 2",
        "n4 answers after 20 ms, asked 10 ms",
        "n5 answers no ping",
    ]
