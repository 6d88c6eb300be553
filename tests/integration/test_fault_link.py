# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Impaired links on real nodes: measured from the far end, composed, killed, and gone."""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
import threading
import time

import pytest
from fault_lab import differences, install_agent, link_backends, put, stage, state_of
from support import ROOT, wait_until

pytestmark = pytest.mark.lab

TRAFFIC = "/run/traffic.py"
SENT = 2200
# Between arming a node and the start: as long as a slow machine takes to begin what measures.
AHEAD_S = 5


@pytest.fixture(scope="module")
def where(lab):
    """Addresses by node, with the agent of this checkout and what makes traffic on each."""
    for node in ("n1", "n2", "n3"):
        install_agent(lab, node)
        put(lab, node, TRAFFIC, (ROOT / "tests" / "support" / "traffic.py").read_bytes())
    yield {node: lab.on(node, "hostname -I").split()[0] for node in ("n1", "n2", "n3")}
    for node in ("n1", "n2", "n3"):
        lab.on(node, f"rm -f {TRAFFIC}")


@pytest.fixture
def node_as_before(lab, where):
    before = state_of(lab, "n1")
    yield
    assert differences(before, state_of(lab, "n1")) == []


class Far:
    """Something that goes on on a node meanwhile."""

    def __init__(self, lab, node, *arguments):
        self.answer = None
        command = f"python3 {TRAFFIC} {' '.join(map(str, arguments))}"
        self.thread = threading.Thread(target=lambda: self._go(lab, node, command))
        self.thread.start()

    def _go(self, lab, node, command):
        self.answer = json.loads(lab.on(node, command))

    def result(self):
        self.thread.join()
        assert self.answer is not None
        return self.answer


def link(where, start_s, end_s, peer="n2", **program):
    return {
        "type": "link",
        "start_s": start_s,
        "end_s": end_s,
        "node": {"affected": {peer: where[peer]}, "seed": 1, **program},
    }


def record_of(entries, fault="link-1"):
    (found,) = [entry for entry in entries if entry["event"] == "record" and entry["fault"] == fault]
    return found


def within_chance(count, of, share, deviations=2.576):
    """Whether a count lies in the 99 % interval of a binomial."""
    return abs(count - of * share) <= deviations * math.sqrt(of * share * (1 - share)) + 1


def round_trip_ms(lab, node, address, count=7):
    return median_ms(json.loads(lab.on(node, f"python3 {TRAFFIC} pings {address} {count} 0.1")))


def median_ms(pings):
    heard = [ms for ms in pings["ms"] if ms is not None]
    return statistics.median(heard) if heard else None


@pytest.fixture(scope="module")
def backends(lab):
    return link_backends(lab, "n1")


@pytest.fixture(params=["netem", "nfqueue"])
def backend(request, backends):
    """Each backend in turn: both have to pass the same tests."""
    if request.param not in backends:
        pytest.skip(f"this kernel has no {request.param}")
    return request.param


def through(lab, where, **program):
    """Send datagrams along an impaired link: what arrived, and the fault's record."""
    faults = [link(where, 1, 8, protocol="udp", ports=[7001], **program)]
    staged = stage(lab, "n1", faults, AHEAD_S)
    received = Far(lab, "n2", "receive", 7001, AHEAD_S + 8)
    sent = Far(lab, "n1", "at", staged.at(1.6), "send", where["n2"], 7001, SENT, 440)
    assert sent.result()["sent"] == SENT
    assert time.time() < staged.end_s
    entries = staged.finish()
    record = record_of(entries)
    assert record["present"] and record["effective"], record
    assert record["backend"] == program["backend"]
    return received.result(), record


def test_delay_and_loss_are_as_asked(lab, where, node_as_before, backend):
    arrived, record = through(lab, where, backend=backend, delay=0.05, jitter=0.01, loss=20)
    # What the line dropped has to be right by chance; a busy machine loses some more on the way (make bench).
    counted = record["counted"]
    assert within_chance(counted["dropped"], counted["seen"], 0.2, 4), counted
    lost = SENT - len(arrived["arrivals"])
    assert 0.15 <= lost / SENT <= 0.4, lost
    delays_ms = [ms for _, ms, _ in arrived["arrivals"]]
    assert 45 <= statistics.median(delays_ms) <= 65, statistics.median(delays_ms)
    assert statistics.pstdev(delays_ms) > 4  # uniform: 10 / sqrt(3)


def test_losses_come_in_bursts(lab, where, node_as_before, backend):
    """The mean number of packets lost in a row, counted where packets arrive."""
    arrived, record = through(lab, where, backend=backend, loss=20, loss_burst=5)
    counted = record["counted"]
    # a chain widens the variance by (1 + again) / (1 - again), where again = 1 - 0.05 - 0.2
    assert within_chance(counted["dropped"], counted["seen"], 0.2, 4 * 7**0.5), counted
    heard = sorted({number for number, _, _ in arrived["arrivals"]})
    gaps = [later - before - 1 for before, later in itertools.pairwise(heard) if later - before > 1]
    assert 3.5 <= statistics.mean(gaps) <= 7, statistics.mean(gaps)


def test_packets_overtake_are_doubled_and_damaged(lab, where, node_as_before, backend):
    arrived, _ = through(lab, where, backend=backend, delay=0.02, reorder=25, duplicate=10, corrupt=10)
    numbers = [number for number, _, _ in arrived["arrivals"]]
    assert all(intact for _, _, intact in arrived["arrivals"]), "the kernel lets no damaged datagram pass"
    assert 0.04 <= arrived["damaged"] / SENT <= 0.15
    assert 0.03 <= (len(numbers) - len(set(numbers))) / SENT <= 0.15
    early = sum(ms < 10 for _, ms, _ in arrived["arrivals"])
    assert 0.1 <= early / len(numbers) <= 0.35
    assert any(later < earlier for earlier, later in itertools.pairwise(numbers))


def test_a_rate_holds_tcp_back(lab, where, node_as_before, backend):
    faults = [link(where, 1, 6, protocol="tcp", ports=[7003], rate=2e6, backend=backend)]
    staged = stage(lab, "n1", faults, AHEAD_S)
    taken = Far(lab, "n2", "sink", 7003, AHEAD_S + 6)
    Far(lab, "n1", "at", staged.at(1.6), "flood", where["n2"], 7003, 3.5, 30000).result()
    record = record_of(staged.finish())
    assert 0.3 * 2e6 <= taken.result()["bytes_per_s"][0] * 8 <= 1.2 * 2e6
    assert record["present"] and record["effective"], record


def test_each_port_has_a_link_of_its_own(lab, where, node_as_before):
    """Three faults at once towards one peer, each for one port: none is felt at another's."""
    delays = {7001: 0.05, 7002: 0.02}
    staged = stage(
        lab,
        "n1",
        [link(where, 1, 8, protocol="udp", ports=[port], delay=delay_s) for port, delay_s in delays.items()]
        + [link(where, 1, 8, protocol="tcp", ports=[7003], rate=2e6)],
        AHEAD_S,
    )
    received = [Far(lab, "n2", "receive", port, AHEAD_S + 8) for port in delays]
    senders = [Far(lab, "n1", "at", staged.at(4), "send", where["n2"], port, 200, 100) for port in delays]
    assert [one.result()["sent"] for one in senders] == [200, 200]
    entries = staged.finish()
    for one, delay_s in zip(received, delays.values(), strict=True):
        delay_ms = statistics.median(ms for _, ms, _ in one.result()["arrivals"])
        assert 0.9 * delay_s * 1000 <= delay_ms <= delay_s * 1000 + 15, delay_ms
    for fault in ("link-1", "link-2", "link-3"):
        record = record_of(entries, fault)
        assert record["present"] and record["effective"], record


@pytest.mark.parametrize("qdisc", [True, False], ids=["with a qdisc of the user", "without one"])
def test_overlapping_faults_add_up_and_leave_the_users_own(lab, where, backends, qdisc):
    """Two delays towards one peer; a third node feels nothing; a user's rules and qdisc stay as they are.

    netem, where the kernel has it, serves the first alone, and only where the user has no qdisc.
    """
    lab.on(
        "n1",
        "nft 'add table ip mine; add chain ip mine out { type filter hook postrouting priority 310; };"
        "add rule ip mine out ip daddr 192.0.2.1 counter'"
        + (" && tc qdisc add dev host0 root tbf rate 10gbit burst 1mb latency 50ms" if qdisc else ""),
    )
    try:
        before = state_of(lab, "n1")
        faults = [link(where, 1, 8, delay=0.04), link(where, 3, 6, delay=0.03)]
        alone_ms = round_trip_ms(lab, "n1", where["n2"])
        staged = stage(lab, "n1", faults, AHEAD_S + 3)
        looks = {
            peer: [Far(lab, "n1", "at", staged.at(at_s), "pings", where[peer], 7, 0.1) for at_s in instants]
            for peer, instants in {"n2": (1.6, 4, 6.8), "n3": (4.5,)}.items()
        }
        found = [median_ms(look.result()) - alone_ms for look in looks["n2"]]
        assert median_ms(looks["n3"][0].result()) < 30
        entries = staged.finish()
        for measured_ms, asked_ms in zip(found, (40, 70, 40), strict=True):
            assert asked_ms - 4 <= measured_ms <= asked_ms * 1.1 + 15, found
        records = [record_of(entries, fault) for fault in ("link-1", "link-2")]
        assert all(record["effective"] for record in records), records
        first = "nfqueue" if qdisc else backends[0]
        assert [record["backend"] for record in records] == [first, "nfqueue"]
        # who asked for nothing is told why it was not the preferred one
        assert [bool(record.get("backend_reason")) for record in records] == [
            first != backends[0],
            "netem" in backends,
        ]
        assert [entry["traces"] for entry in entries if entry["event"] == "gone"] == [[], []]
        assert differences(before, state_of(lab, "n1")) == []
    finally:
        lab.on("n1", "nft delete table ip mine" + ("; tc qdisc del dev host0 root" if qdisc else ""))


def test_it_dies_with_its_agent(lab, where, node_as_before, backend):
    staged = stage(lab, "n1", [link(where, 1, 60, delay=0.2, backend=backend)], AHEAD_S)
    wait_until(lambda: staged.ledger("apply"), 20, "it holds")
    staged.wait_for(1.3)
    assert round_trip_ms(lab, "n1", where["n2"], 3) > 180
    lab.on("n1", f"systemctl kill --signal=SIGKILL --kill-whom=main {staged.unit}")
    killed = time.monotonic()
    traces = "nft list tables; tc qdisc show dev host0"
    wait_until(lambda: not re.search("link|prio|netem", lab.on("n1", traces)), 20, "no trace")
    assert (round_trip_ms(lab, "n1", where["n2"], 3) or 0) < 100
    assert time.monotonic() - killed < 10


def test_a_dead_program_lets_packets_pass_and_shows(lab, where, node_as_before):
    """The evidence fails, and the rule says bypass."""
    staged = stage(lab, "n1", [link(where, 1, 8, delay=0.1, backend="nfqueue")], AHEAD_S)
    wait_until(lambda: staged.ledger("apply"), 20, "it holds")
    staged.wait_for(1.3)
    lab.on("n1", "kill -9 $(pgrep -f '[f]aults._nfqueue')")
    assert round_trip_ms(lab, "n1", where["n2"], 3) < 50
    record = record_of(staged.finish())
    assert (record["present"], record["effective"]) == (False, False)


def test_other_links_go_past_it(lab, where, node_as_before, backend):
    """A flood of TCP to a peer that is not affected never comes to the backend (its speed: make bench)."""
    sink = Far(lab, "n3", "sink", 7004, AHEAD_S + 12)
    lab.on("n3", "until ss -tln | grep -q :7004; do sleep 0.05; done")
    staged = stage(lab, "n1", [link(where, 1, 8, delay=0.05, loss=1, backend=backend)], AHEAD_S)
    flood = Far(lab, "n1", "at", staged.at(1.5), "floods", where["n3"], 7004, 0.5, 5).result()
    assert time.time() < staged.end_s
    record = record_of(staged.finish())
    sink.result()
    assert record["present"]
    assert min(flood["bytes_per_s"]) > 10e6, flood
    # what comes to it are its own probes
    assert record["counted"]["bytes"] < 0.01 * 0.5 * sum(flood["bytes_per_s"]), (record["counted"], flood)
