# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is cut from whom: every shape, by seed, and every mistake in one line."""

from __future__ import annotations

import random

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _cut_rules,
    _peers,
    partition,
)
from hypothesis import given
from hypothesis import strategies as st

Partition = partition.Partition


def cluster(count):
    nodes = {f"n{i}": f"10.0.0.{i}" for i in range(1, count + 1)}
    return ClusterView(
        "t", nodes, {"o1": "10.0.1.1"}, {name: ["etcd"] for name in nodes}, {}, management=["10.0.0.254"]
    )


def plan(count, seed=1, chosen=None, conditional=False, **given_params):
    view = cluster(count)
    params, problems = read_parameters(Partition.parameters, given_params)
    problems += list(Partition.problems(params))
    if problems:
        raise ValueError(problems[0])
    return Partition.plan(params, Targets(chosen or list(view.nodes), view, random.Random(seed), conditional))


def seen(programs):
    """Whom each node can still reach, in either direction, itself among them."""
    return {name: set(programs) - set(program["blocked"]) for name, program in programs.items()}


COUNTS, SEEDS = st.integers(2, 12), st.integers(0, 2**32)


@given(COUNTS, SEEDS, st.sampled_from(["alone", "majority", "halves", "random", "majorities_ring", "bridge"]))
def test_every_shape_is_symmetrical_and_the_same_for_the_same_seed(count, seed, shape):
    least = {"majority": 3, "majorities_ring": 4, "bridge": 3}.get(shape, 2)
    if count < least:
        with pytest.raises(ValueError, match="allowed"):
            plan(count, seed, shape=shape)
        return
    programs = plan(count, seed, shape=shape)
    assert programs == plan(count, seed, shape=shape)
    assert any(program["blocked"] for program in programs.values())
    for name, program in programs.items():
        assert name not in program["blocked"] and program["direction"] == "both"
        assert not set(program["blocked"]) & set(program["open"])
        assert all(name in programs[peer]["blocked"] for peer in program["blocked"])


@given(st.integers(4, 15), SEEDS)
def test_in_the_ring_each_sees_a_majority_and_no_two_see_the_same(count, seed):
    views = seen(plan(count, seed, shape="majorities_ring"))
    assert all(len(view) > count / 2 for view in views.values())
    assert len({frozenset(view) for view in views.values()}) == count


@given(st.integers(3, 15), SEEDS)
def test_over_a_bridge_one_node_alone_sees_both_halves(count, seed):
    views = seen(plan(count, seed, shape="bridge"))
    bridges = [name for name, view in views.items() if len(view) == count]
    assert len(bridges) == 1
    halves = {frozenset(view - set(bridges)) for name, view in views.items() if name not in bridges}
    assert len(halves) == 2 and sum(map(len, halves)) == count - 1


@given(st.integers(3, 15), SEEDS)
def test_a_majority_stays_a_majority(count, seed):
    sizes = sorted(len(view) for view in seen(plan(count, seed, shape="majority")).values())
    assert sizes[-1] > count / 2 > sizes[0]


def test_a_node_alone_is_cut_from_all_others_and_they_from_it_alone():
    programs = plan(4, chosen=["n2"], shape="alone")
    assert sorted(programs["n2"]["blocked"]) == ["n1", "n3", "n4"]
    assert all(list(programs[name]["blocked"]) == ["n2"] for name in ("n1", "n3", "n4"))


def test_a_node_that_finds_out_by_itself_acts_by_itself():
    programs = plan(3, conditional=True, shape="alone")
    assert {name: sorted(program["blocked"]) for name, program in programs.items()} == {
        "n1": ["n2", "n3"], "n2": ["n1", "n3"], "n3": ["n1", "n2"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="each node acts by itself"):
        plan(3, conditional=True, shape="halves")
    with pytest.raises(ValueError, match="groups: given on a state of the system"):
        plan(2, conditional=True, groups={"a": ["n1"], "b": ["n2"]})


def test_a_node_that_finds_out_by_itself_cuts_off_the_clients_too():
    programs = plan(3, conditional=True, shape="alone", clients="cut")
    assert all("o1" in program["blocked"] for program in programs.values())
    assert set(programs) == {"n1", "n2", "n3"}


def test_one_way_is_cut_in_one_direction_only():
    programs = plan(3, shape="one_way", groups={"from": ["n1"], "to": ["n2", "n3"]})
    assert programs["n1"]["direction"] == "out" and sorted(programs["n1"]["blocked"]) == ["n2", "n3"]
    assert all(programs[name]["direction"] == "in" for name in ("n2", "n3"))
    text = _cut_rules.ruleset("t", ["10.0.0.2"], None, 1000, "out")
    assert "chain output" in text and "chain input" not in text and "meta time" not in text


def test_ports_and_protocols_limit_what_is_dropped():
    programs = plan(2, groups={"a": ["n1"], "b": ["n2"]}, ports=[2380])
    assert programs["n1"]["protocol"] == "tcp" and programs["n1"]["ports"] == [2380]
    assert _cut_rules.matches("tcp", [2380, 1]) == ["tcp dport { 2380, 1 } ", "tcp sport { 2380, 1 } "]
    assert _cut_rules.matches("icmp", []) == ["meta l4proto icmp "]
    assert _cut_rules.matches(None, []) == [""]


def test_clients_may_be_cut_too():
    programs = plan(5, shape="majority", clients="cut")
    minority = [name for name, program in programs.items() if "o1" in program["blocked"]]
    assert len(minority) == 2 and "o1" in programs


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "given nothing; allowed: one of groups, shape, peers"),
        ({"shape": "halves", "peers": ["n1"]}, "given shape and peers"),
        ({"shape": "half"}, "given 'half'; allowed: alone, bridge"),
        (
            {"groups": {"a": ["n1"], "b": ["n1"]}},
            "groups: given the node 'n1' 2 times",
        ),
        ({"groups": {"a": ["n1"]}}, "at least two names"),
        ({"groups": {"a": ["n1"], "b": ["n9"]}}, "groups.b: given 'n9'; allowed: n1, n2, n3"),
        ({"shape": "one_way"}, "allowed: two groups"),
        ({"peers": ["n9"]}, "peers: given 'n9'; allowed: n1, n2, n3, o1; or an IPv4 address"),
        (
            {"peers": ["10.0.0.254"]},
            "peers: given '10.0.0.254', the management address: the controller would",
        ),
        ({"peers": ["127.0.0.1"]}, "peers: given '127.0.0.1', a loopback address; allowed: any other"),
        ({"peers": ["0.0.0.0"]}, "the unspecified address"),
        ({"peers": ["224.0.0.1"]}, "a multicast address"),
        ({"peers": ["10.0.0.2"]}, "peers: given '10.0.0.2', the node's own address"),
        ({"peers": ["n2"], "clients": "cut"}, "clients: given 'cut'; allowed: stay"),
        ({"peers": ["n2"], "ports": [80], "protocol": "icmp"}, "protocol: given 'icmp' beside ports"),
        ({"peers": ["n2"], "ports": [0]}, "ports: given 0; allowed: a whole number from 1 to 65535"),
        ({"gruops": {}}, "gruops: unknown key"),
    ],
)
def test_a_mistake_is_one_line(params, words):
    with pytest.raises(ValueError) as caught:
        plan(3, **params)
    assert words in str(caught.value)


def test_the_management_address_is_refused_by_name_too():
    known = {"n1": "10.0.0.1", "o1": "10.0.0.254"}
    with pytest.raises(ValueError, match="peers: given 'o1', the management address"):
        _peers.peer_address("o1", known, ["10.0.0.254"], "10.0.0.1")
    assert _peers.peer_address("o1", known, [], "10.0.0.1") == "10.0.0.254"


@given(st.ip_addresses(v=4).map(str) | st.text(max_size=16))
def test_any_peer_is_an_address_of_another_or_an_error_of_one_line(peer):
    try:
        address = _peers.peer_address(peer, {"n2": "10.0.0.2"}, ["10.0.0.254"], "10.0.0.1")
    except ValueError as error:
        assert str(error).startswith("peers: given ") and len(str(error).splitlines()) == 1
    else:
        assert address == "10.0.0.2" or address == peer
        assert address not in ("10.0.0.254", "10.0.0.1", "0.0.0.0") and not address.startswith("127.")


@given(st.lists(st.sampled_from(["n1", "n2", "n3", "10.9.9.9"]), min_size=1, unique=True))
def test_peers_are_cut_from_each_chosen_node_and_never_from_itself(peers):
    if peers == ["n1"]:
        with pytest.raises(ValueError, match="nobody would be cut"):
            plan(3, chosen=["n1"], peers=peers)
        return
    programs = plan(3, chosen=["n1"], peers=peers)
    assert set(programs) == {"n1"} and set(programs["n1"]["blocked"]) == set(peers) - {"n1"}


def test_packets_that_link_faults_hold_are_let_go_before_the_table_goes(monkeypatch):
    """The kernel drops what is in any queue when a base chain goes, whoever's it is."""
    done = []
    monkeypatch.setattr(partition._nft, "tables", lambda family: ["foundation_testbed_r_f"])
    monkeypatch.setattr(partition._nfqueue, "release_all", lambda: done.append("release"))
    monkeypatch.setattr(partition._nft, "delete", lambda family, table: done.append("delete"))
    Partition.revert({"trace": "foundation_testbed_r_other"})
    assert done == []
    Partition.revert({"trace": "foundation_testbed_r_f"})
    assert done == ["release", "delete"]
