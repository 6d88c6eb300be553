# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which links work, as nodes tell each other: simulated on a clock of its own, with greetings lost."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.network import graph
from ansible_collections.foundation.testbed.plugins.module_utils.network.links import (
    GONE_S,
    GREET_S,
    Links,
)
from hypothesis import given, settings
from hypothesis import strategies as st

RING = [["n1", "n2"], ["n2", "n3"], ["n3", "n4"], ["n4", "n5"], ["n5", "n1"]]
NAMES = ["n1", "n2", "n3", "n4", "n5"]


class Net:
    """Nodes that greet each other over links, some of which are cut, in rounds of GREET_S."""

    def __init__(self, names: Iterable[str], links: list[list[str]]):
        self.names, self.links, self.now_s = list(names), links, 0.0
        self.dead: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.nodes = {name: Links(name, links, 0.0, 1, {}) for name in self.names}

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / GREET_S)):
            self.now_s += GREET_S
            for name in self.alive:
                self.nodes[name].look(self.now_s)
                said = self.nodes[name].greeting()
                for other in self.nodes[name].beside:
                    if other not in self.dead and (name, other) not in self.cut:
                        self.nodes[other].hear(said, self.now_s)

    @property
    def alive(self) -> list[str]:
        return [name for name in self.names if name not in self.dead]

    def ways(self) -> dict[str, dict[str, str]]:
        return {
            name: graph.next_hops(graph.neighbours(self.names, self.nodes[name].working()), name)
            for name in self.alive
        }


def test_a_dead_node_in_a_ring_lengthens_the_way_and_its_return_shortens_it():
    net = Net(NAMES, RING)
    net.run(1)
    assert graph.path(net.ways(), "n1", "n3") == ["n1", "n2", "n3"]
    net.dead = {"n2"}
    net.run(GONE_S + 1)
    assert graph.path(net.ways(), "n1", "n3") == ["n1", "n5", "n4", "n3"]
    assert "n2" not in net.ways()["n4"]
    net.dead = set()
    net.nodes["n2"] = Links("n2", RING, net.now_s, 1, {})  # its number begins anew
    net.run(1)
    assert graph.path(net.ways(), "n1", "n3") == ["n1", "n2", "n3"]


def test_a_link_that_is_cut_one_way_is_no_link():
    net = Net(NAMES, RING)
    net.cut = {("n1", "n2")}
    net.run(GONE_S + 1)
    assert graph.path(net.ways(), "n1", "n2") == ["n1", "n5", "n4", "n3", "n2"]
    assert graph.path(net.ways(), "n2", "n1") == ["n2", "n3", "n4", "n5", "n1"]


def test_a_node_that_was_frozen_blames_nobody():
    """Else every pause of a node, or of its processor, would send all traffic another way."""
    net = Net(NAMES, RING)
    net.run(1)
    node = net.nodes["n1"]
    assert not node.look(net.now_s + 60)
    assert node.working() == RING


def test_a_greeting_that_takes_as_long_as_the_link_holds_it_is_not_late():
    node = Links("n1", RING, 0.0, 1, {"n2": 5.0})
    now_s = 0.0
    while now_s < 4.9:
        now_s += GREET_S
        node.look(now_s)
        node.hear({"from": "n5", "records": {}}, now_s)
    assert node.working() == RING


@pytest.mark.parametrize("said", [{}, {"from": "n3", "records": {}}, {"from": "n2", "records": []}])
def test_nonsense_is_refused(said):
    with pytest.raises(ValueError, match="greeting"):
        Links("n1", RING, 0.0, 1, {}).hear(said, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_after_any_deaths_and_cuts_all_that_can_reach_each_other_agree_on_ways_without_circles(data):
    count = data.draw(st.integers(3, 8))
    names = [f"n{i}" for i in range(count)]
    links = [[names[at], names[(at + 1) % count]] for at in range(count)]
    spare = [[a, b] for a in names for b in names if a < b and [a, b] not in links and [b, a] not in links]
    links += data.draw(st.lists(st.sampled_from(spare), unique_by=tuple, max_size=4)) if spare else []
    net = Net(names, links)
    net.run(1)
    for _ in range(data.draw(st.integers(1, 3))):
        net.dead = set(data.draw(st.sets(st.sampled_from(names), max_size=2)))
        net.cut = {tuple(link) for link in data.draw(st.lists(st.sampled_from(links), max_size=3))}
        for name in names:
            if name in net.dead:  # a node that comes back has forgotten everything
                net.nodes[name] = Links(name, links, net.now_s, 1, {})
        net.run(GONE_S + 3)
    up = [
        [a, b] for a, b in links if not {a, b} & net.dead and (a, b) not in net.cut and (b, a) not in net.cut
    ]
    beside, ways = graph.neighbours(names, up), net.ways()
    for start in net.alive:
        for end in graph.next_hops(beside, start):
            assert len(graph.path(ways, start, end)) <= count
