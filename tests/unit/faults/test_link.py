# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Impaired links without a node: what may be asked for, what becomes of packets, what the kernel is told."""

from __future__ import annotations

import itertools
import math
import os
import random
import socket
import statistics
import struct
from pathlib import Path
from unittest.mock import Mock

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Context,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import read_parameters
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _departures,
    _measure,
    _netem,
    _netlink,
    _nfqueue,
    _nft,
    _queue_rules,
    link,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import (
    Impairment,
    Line,
    flipped,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._table_name import (
    TABLE_PREFIX,
    table_name,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults.link import Link
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = ClusterView(
    testbed_id="t",
    nodes={"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"},
    observers={"o1": "10.0.0.9"},
    systems={},
    workloads={},
    management=["10.0.0.254"],
)


def asked(**given_params):
    params, problems = read_parameters(Link.parameters, given_params)
    return params, [*problems, *Link.problems(params)]


def planned(chosen=("n1",), seed=1, **given_params):
    params, problems = asked(**given_params)
    assert problems == []
    return Link.plan(params, Targets(list(chosen), CLUSTER, random.Random(seed)))


@pytest.mark.parametrize(
    ("given_params", "problem"),
    [
        ({}, "given no impairment; allowed: at least one of delay, loss, duplicate, corrupt, reorder, rate"),
        ({"peers": ["n2"]}, "given no impairment"),
        ({"loss": 0}, "loss: given 0; allowed: a percentage above 0, up to 100"),
        ({"loss": 101}, "loss: given 101; allowed: a percentage"),
        ({"jitter": "5ms", "loss": 1}, "jitter: given 0.005 without delay; allowed: beside delay"),
        ({"delay": "10ms", "jitter": "11ms"}, "jitter: given 0.011 s; allowed: at most the delay, 0.01 s"),
        ({"delay": "10ms", "distribution": "normal"}, "distribution: given 'normal' without jitter"),
        ({"delay": "10ms", "distribution": "poisson"}, "distribution: given 'poisson'; allowed: normal"),
        ({"reorder": 5}, "reorder: given 5.0 without delay; allowed: beside delay"),
        ({"loss_burst": 5, "delay": "1s"}, "loss_burst: given 5.0 without loss; allowed: beside loss"),
        ({"loss": 90, "loss_burst": 2}, "loss_burst: given 2 beside a loss of 90 %; allowed: 9.00 or more"),
        ({"delay": "61s"}, "delay: given 61 s with its jitter; allowed: at most 60 s"),
        ({"loss": 1, "ports": [53], "protocol": "icmp"}, "protocol: given 'icmp' beside ports"),
        ({"rate": "1bit"}, "rate: given '1bit'; allowed: a positive number with a unit"),
        ({"latency": "1s"}, "latency: unknown key"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given_params, problem):
    assert [line for line in asked(**given_params)[1] if line.startswith(problem)]


def test_the_plan_is_all_other_nodes_or_the_peers_that_are_named():
    plan = planned(["n1", "n2"], delay="50ms", loss="20")
    assert plan["n1"]["affected"] == {"n2": "10.0.0.2", "n3": "10.0.0.3"}
    assert plan["n2"]["affected"] == {"n1": "10.0.0.1", "n3": "10.0.0.3"}
    assert (plan["n1"]["delay"], plan["n1"]["loss"]) == (0.05, 20.0)
    assert plan["n1"]["seed"] != plan["n2"]["seed"]
    assert plan == planned(["n1", "n2"], delay="50ms", loss="20")
    assert planned(["n1", "n2"], loss=1, peers="n2,o1")["n2"]["affected"] == {"o1": "10.0.0.9"}
    assert planned(loss=1, ports=[2380])["n1"]["protocol"] == "tcp"


@pytest.mark.parametrize(
    ("peers", "problem"),
    [
        (["n9"], "peers: given 'n9'; allowed: n1, n2, n3, o1"),
        (["10.0.0.254"], "peers: given '10.0.0.254', the management address"),
        (["n1"], "peers: no link would be impaired"),
    ],
)
def test_peers_that_cannot_be_are_refused(peers, problem):
    with pytest.raises(ValueError, match=problem):
        planned(loss=1, peers=peers)


def fates(impairment, count, seed="1", gap_s=0.001, length=100):
    line = Line(impairment, seed)
    return [line.fate(number * gap_s, length) for number in range(count)]


@given(st.floats(0.01, 0.9), st.floats(1, 50))
def test_the_chain_of_bursts_has_the_loss_and_the_length_that_were_asked(loss, burst):
    impairment = Impairment(loss=loss, loss_burst=burst)
    if impairment.burst_begin > 1:
        return
    begin, end = impairment.burst_begin, impairment.burst_end
    assert math.isclose(begin / (begin + end), loss)
    assert math.isclose(1 / end, burst)


@pytest.mark.parametrize("burst", [0.0, 1.5, 10.0])
def test_losses_are_as_many_and_as_long_as_asked(burst):
    impairment = Impairment(loss=0.1, loss_burst=burst)
    lost = [fate is None for fate in fates(impairment, 100_000)]
    assert abs(sum(lost) / len(lost) - 0.1) < 0.01
    begins = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert math.isclose(sum(lost) / begins, burst or 1 / 0.9, rel_tol=0.1)


@pytest.mark.parametrize(
    ("distribution", "middle", "deviation"),
    [("uniform", 0.05, 0.01 / math.sqrt(3)), ("normal", 0.05, 0.01), ("pareto", 0.0476, 0.0078)],
)
def test_delays_are_distributed_as_asked(distribution, middle, deviation):
    drawn = [
        fate.due_s - number * 0.001
        for number, fate in enumerate(fates(Impairment(0.05, 0.01, distribution), 20_000))
    ]
    assert math.isclose(statistics.median(drawn), middle, rel_tol=0.02)
    assert math.isclose(statistics.pstdev(drawn), deviation, rel_tol=0.1)
    assert min(drawn) >= 0


def test_a_rate_spaces_packets_and_keeps_their_order():
    due = [fate.due_s for fate in fates(Impairment(rate_bps=1e6, delay_s=0.01), 50, gap_s=0)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert all(math.isclose(gap, 114 * 8 / 1e6) for gap in gaps)


def test_packets_that_overtake_go_at_once_and_copies_wait_as_well():
    drawn = fates(Impairment(delay_s=1.0, reorder=0.25, duplicate=0.5), 10_000, gap_s=0)
    early = [fate for fate in drawn if fate.overtakes]
    assert all(fate.due_s == 0 for fate in early)
    assert abs(len(early) / len(drawn) - 0.25) < 0.02
    copies = [fate.copy_due_s for fate in drawn if fate.copy_due_s is not None]
    assert set(copies) == {1.0}
    assert abs(len(copies) / len(drawn) - 0.5) < 0.02


def test_one_seed_draws_one_line():
    impairment = Impairment(0.05, 0.01, loss=0.3, duplicate=0.1, corrupt=0.1)
    assert fates(impairment, 500) == fates(impairment, 500)
    assert fates(impairment, 500) != fates(impairment, 500, seed="2")


@given(st.binary(min_size=1, max_size=200), st.floats(0, 1))
def test_one_bit_behind_the_header_is_flipped(content, where):
    packet = b"\x45" + b"\0" * 19 + content
    changed = flipped(packet, where)
    assert changed[:20] == packet[:20]
    difference = int.from_bytes(changed, "big") ^ int.from_bytes(packet, "big")
    assert difference.bit_count() == 1 if hasattr(int, "bit_count") else bin(difference).count("1") == 1


def test_netem_is_told_all_of_it():
    program = {
        "affected": {"n2": "10.0.0.2"}, "delay": 0.05, "jitter": 0.01, "distribution": "normal", "loss": 5.0,
        "loss_burst": 10.0, "duplicate": 1.0, "corrupt": 2.0, "reorder": 3.0, "rate": 1e6,
        "protocol": "tcp", "ports": [2380],
    }  # fmt: skip
    lines = [" ".join(line) for line in _netem.commands("eth0", "7abc:", program)]
    assert lines == [
        "qdisc add dev eth0 root handle 7abc: prio bands 2 priomap " + " ".join("0" * 16),
        "qdisc add dev eth0 parent 7abc:2 netem limit 1000 delay 50000us 10000us distribution normal "
        "loss gemodel 0.526316% 10.000000% duplicate 1.000000% corrupt 2.000000% reorder 3.000000% "
        "rate 1000000bit",
        *(
            f"filter add dev eth0 parent 7abc: protocol ip prio 1 u32 match ip dst 10.0.0.2/32 "
            f"match ip protocol 6 0xff match ip {side} 2380 0xffff flowid 7abc:2"
            for side in ("dport", "sport")
        ),
    ]


def test_handles_lie_in_our_range_and_foreign_ones_do_not():
    assert all(_netem.is_ours(_netem.handle_of(f"foundation_testbed_{i}")) for i in range(100))
    assert not any(map(_netem.is_ours, ("0:", "1:", "8001:", "7e:", "ffff:", "ingress")))


def test_the_rules_name_peers_window_and_queue():
    rules = _queue_rules.ruleset("t", ["10.0.0.3", "10.0.0.2"], ["udp dport { 53 } "], 5000, 0x8001, (10, 20))
    assert "elements = { 10.0.0.2 timeout 5000ms, 10.0.0.3 timeout 5000ms }" in rules
    assert (
        "meta time >= 10 meta time < 20 udp dport { 53 } ip daddr @peers counter name seen jump hold" in rules
    )
    assert "hook postrouting priority 301;" in rules
    assert "meta mark 0x7e578001-0x7e57ffff return" in rules
    assert "hold" not in _queue_rules.ruleset("t", ["10.0.0.2"], [""], 5000)


@given(st.dictionaries(st.integers(1, 60), st.binary(max_size=40), max_size=8))
def test_attributes_are_read_as_they_were_written(wanted):
    body = b"".join(_netlink.attribute(kind, value) for kind, value in wanted.items())
    assert _netlink.attributes(body) == wanted


@given(st.binary(max_size=100))
def test_no_bytes_make_the_reader_fail(body):
    _netlink.attributes(body)


def test_the_queue_rule_is_what_iptables_would_send():
    batch = _netlink.queue_rule("t", "hold", 0x8001)
    assert b"NFQUEUE\0" in batch
    assert struct.pack("=HHHH", 0x8001, 1, 1, 0) in batch
    lengths, at = [], 0
    while at < len(batch):
        lengths.append(struct.unpack_from("=I", batch, at)[0])
        at += (lengths[-1] + 3) & ~3
    assert len(lengths) == 3 and at == len(batch)


@given(st.integers(1, 10_000), st.floats(0.001, 0.999))
def test_a_count_as_expected_is_plausible_and_none_never_is(of, share):
    count = round(of * share)
    assert count == 0 or _measure.plausible(share, count, of, alone=True)
    assert not _measure.plausible(share, 0, of, alone=True)


def test_a_measure_can_fail():
    assert not _measure.plausible(0.2, 50, 2000, alone=True)
    assert not _measure.plausible(0.2, 600, 2000, alone=True)
    assert _measure.plausible(0.2, 600, 2000, alone=False)  # other faults may add to it
    delayed = Impairment(delay_s=0.05)
    assert _measure.delay_right(delayed, 0.0505, 0.0002, 10, alone=True)
    assert not _measure.delay_right(delayed, 0.040, 0.0002, 10, alone=True)
    assert not _measure.delay_right(delayed, 0.090, 0.0002, 10, alone=True)
    assert _measure.delay_right(delayed, 0.090, 0.0002, 10, alone=False)


@pytest.mark.parametrize("headers_too", [True, False], ids=["netem", "nfqueue"])
@pytest.mark.parametrize("copies", [_departures.COPIES, 125], ids=["probe", "train"])
def test_corruption_is_held_against_what_a_probe_can_show_of_it(headers_too, copies):
    """netem flips a bit anywhere in the frame; what is hit in front of the segment shows in no probe."""
    draw, share = random.Random(1), 0.1
    segment = len(_departures.probe_segment("udp", 9, b"")) + 8 * copies
    shown = _departures.share_shown(segment, headers_too)
    bits = range(-34 if headers_too else 0, segment)
    left = {number: [(0, draw.random() < share and draw.choice(bits) >= 2)] for number in range(20_000)}
    tally = _departures.Tally()
    _departures.count(_departures.Burst(dict.fromkeys(left, 0), left, shown=shown), tally, 0.0)
    assert _measure.plausible(share, tally.altered, round(tally.shown), alone=True)
    assert not _measure.plausible(share, round(tally.altered * 0.85), round(tally.shown), alone=True)


def test_departures_tell_lost_doubled_altered_and_early():
    tally = _departures.Tally()
    burst = _departures.Burst(sent_ns={1: 0, 2: 0, 3: 0, 4: 0})
    burst.left = {1: [(50_000_000, False)], 2: [(1000, True)], 4: [(50_000_000, False), (51_000_000, False)]}
    _departures.count(burst, tally, early_s=0.02)
    assert _departures.figures(tally) == {"sent": 4, "left": 3, "altered": 1, "doubled": 1, "overtook": 1}
    assert list(tally.delays_s) == [0.05]


@given(st.floats(1e3, 1e10))
def test_trains_are_short_and_probes_a_small_share_of_a_rate(rate_bps):
    count, size = _measure.train_of(rate_bps)
    assert 3 <= count <= 40 and size <= 1400
    at_once = _measure.probes_at_once(Impairment(loss=0.001, rate_bps=rate_bps), 10, 0.25)
    assert at_once == 4 or at_once * 4 * 90 * 8 <= 0.1 * rate_bps


@pytest.mark.parametrize(
    ("devices", "problem"),
    [
        (["eth0", "eth0"], []),
        (["eth0", "eth1"], ["peers: given n2 behind eth0, n3 behind eth1; allowed: peers behind one device"]),
        (["eth0", None], ["peers: given n2 behind eth0, n3 behind no device; allowed"]),
    ],
)
def test_peers_behind_several_devices_are_refused_by_name(monkeypatch, devices, problem):
    """What impairs and what measures sits on one device: the others would be left as they are."""
    program = planned(loss=1)["n1"]
    of = dict(zip(program["affected"].values(), devices, strict=True))
    monkeypatch.setattr(link, "choose", lambda program: ("netem", []))
    monkeypatch.setattr(link, "device_to", of.get)
    reasons = Link.capable(program)
    assert len(reasons) == len(problem) and all(map(str.startswith, reasons, problem))


SOCKETS = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00000000 0002 01 4711 @foundation-testbed-link-foundation_testbed_r_a
0000000000000000: 00000002 00000000 00000000 0002 01 4712 @00001
0000000000000000: 00000002 00000000 00000000 0002 01 4713
0000000000000000: 00000003 00000000 00000000 0001 03 4714 /run/foundation-testbed-link-x
0000000000000000: 00000002 00000000 00000000 0002 01 4715 @foundation-testbed-link-foundation_testbed_r_b
"""


def test_programs_that_hold_packets_are_found_by_their_sockets():
    assert _nfqueue.parse_holders(SOCKETS) == ["foundation_testbed_r_a", "foundation_testbed_r_b"]
    table = f"foundation_testbed_test_{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
        control.bind(_nfqueue.control_name(table))
        listed = Path("/proc/net/unix").read_text(encoding="utf-8")
        assert table in _nfqueue.parse_holders(listed)


@given(run=st.text(min_size=1, max_size=200), fault=st.text(min_size=1, max_size=40))
def test_a_socket_takes_the_name_of_every_table(run, fault):
    """Linux takes 108 bytes, the first of them null; the table's own prefix stays, by which it is found."""
    table = table_name(run, fault)
    assert len(_nfqueue.control_name(table)) <= 108 and table.startswith(TABLE_PREFIX)


def test_tables_of_long_names_differ_where_their_ends_do():
    run = "20261128T211138Z-foundation_memory_pressure_with_partitions"
    assert table_name(run, "link-2") != table_name(run, "link-3")


def test_all_but_one_let_go_what_they_hold(monkeypatch):
    asked = []
    monkeypatch.setattr(_nfqueue, "parse_holders", lambda sockets: ["a", "b", "c"])
    monkeypatch.setattr(_nfqueue, "ask", lambda *words: asked.append(words))
    _nfqueue.release_all(but="b")
    assert asked == [("a", "release"), ("c", "release")]


def test_packets_of_others_are_let_go_also_where_netem_fails(monkeypatch):
    done = []
    fault = Link(Context("r", "f", {"affected": {"n2": "10.0.0.2"}, "loss": 1.0}, 0, 10**9, True))
    monkeypatch.setattr(_netem, "occupied", lambda device: "a qdisc" if done else "")
    monkeypatch.setattr(_netem, "install", Mock(side_effect=RuntimeError("exists")))
    monkeypatch.setattr(_queue_rules, "load", lambda *_: done.append("load"))
    monkeypatch.setattr(_nft, "delete", lambda family, table: done.append("delete"))
    monkeypatch.setattr(_nfqueue, "release_all", lambda **_: done.append("release"))
    assert fault._applied_by_netem() is False
    assert done == ["load", "release", "delete"]
