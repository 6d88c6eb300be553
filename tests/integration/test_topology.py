# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Topologies on real nodes of a lab of its own: ways, deaths, cuts, boots, and nothing left of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import Node
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.network.measure import close
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from support import HERE, ROOT, STATE_DIR, Lab, nothing_left_of, wait_until

pytestmark = pytest.mark.lab

RING = yaml.safe_load((HERE / "inventory_ring/cluster.yml").read_text(encoding="utf-8"))
NAMES = ("n1", "n2", "n3", "n4", "n5")
# What else `provision` does takes longer than this, and is the same for every topology.
LAY_OUT = "../tests/support/topology"
# Seconds within which another way is found, or the old one again.
CONVERGE_S = 5


class Topology:
    """A lab whose description a test may change."""

    def __init__(self, folder, runs):
        self.file = folder / "cluster.yml"
        self.lab = Lab(folder, runs)

    def describe(self, **changes):
        """Have the inventory describe the ring, or another lab."""
        described = {key: value for key, value in {**RING, **changes}.items() if value is not None}
        self.file.write_text(yaml.safe_dump(described), encoding="utf-8")
        self.asked = parse_cluster(described, "cluster.yml", set()).laid_out

    def provision(self):
        """Make what is described, as a user does; returns how many things changed."""
        return self.playbook("provision", "-e", "lab_container_timeout_s=60")

    def lay_out(self, **changes):
        """Lay another topology out on the nodes that stand; returns how many things changed."""
        self.describe(**changes)
        return self.playbook(LAY_OUT)

    def playbook(self, name, *arguments):
        """Run a playbook that has to succeed; returns how many things changed."""
        outcome = self.lab.playbook(name, *arguments)
        assert outcome.status == 0, outcome.output[-4000:]
        self.output = outcome.output
        return outcome.changed()

    def on(self, node, command):
        return self.lab.on(node, command, check=False)

    def ping(self, node, peer, count=1):
        """Links and milliseconds of the fastest of some pings, None where no answer comes."""
        said = self.on(node, f"ping -n -i 0.1 -c {count} -W 0.5 {self.address(peer)}")
        answers = re.findall(r"ttl=(\d+) time=([\d.]+) ms", said)
        return min(((65 - int(ttl), float(ms)) for ttl, ms in answers), key=lambda way: way[1], default=None)

    def address(self, node):
        return f"10.77.24.{10 + int(node[1:])}"

    def links(self, node, peer):
        """Over how many links an answer comes, None where none comes."""
        way = self.ping(node, peer)
        return way and way[0]

    def takes(self, node, peer, asked_ms):
        """Assert how long an answer takes; on a busy machine not every measurement is right."""

        def right():
            way = self.ping(node, peer, count=5)
            return way and close(asked_ms, way[1])

        wait_until(right, CONVERGE_S, f"{node} to {peer} in {asked_ms:g} ms")

    def state(self):
        """Rules, routes and settings of every node, without what was counted."""
        told = (
            "nft -s list ruleset 2>/dev/null; ip route; tc qdisc show dev host0; "
            "sysctl -a 2>/dev/null | grep -E 'ipv4.conf.*(forwarding|redirects) '; "
            "systemctl list-units --plain --no-legend 'foundation*'"
        )
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: self.on(name, told), NAMES)
        return {
            name: re.sub(r"packets \d+ bytes \d+", "", text) for name, text in zip(NAMES, found, strict=True)
        }

    def silence(self, node, seconds):
        """Have a node neither hear nor say anything for so long, beginning in a moment."""
        table = "table inet silence { "
        for hook, priority in (("prerouting", -400), ("postrouting", 9000)):
            table += f"chain {hook} {{ type filter hook {hook} priority {priority}; drop; }}; "
        script = f'sleep 0.5; nft "{table}}}"; sleep {seconds}; nft delete table inet silence'
        self.on(node, f"systemd-run --quiet --collect sh -c '{script}'")

    def heard(self, sender, receiver):
        """From whom a receiver gets a datagram that the sender sends, empty from nobody."""
        self.on(
            receiver,
            'rm -f /run/heard; systemd-run --quiet --collect timeout 4 python3 -c "import socket; '
            "s=socket.socket(2,2); s.bind(('',9999)); open('/run/heard','w').write(s.recvfrom(9)[1][0])\"",
        )
        send = f"import socket,time; s=socket.socket(2,2); d=('{self.address(receiver)}',9999)\n"
        send += "for i in range(8):\n try: s.sendto(b'x',d)\n except OSError: pass\n time.sleep(0.25)"
        self.lab.on(sender, "python3 -", stdin=send)
        return self.on(receiver, "cat /run/heard 2>/dev/null")

    def fault(self, hosts, module, **arguments):
        """Begin a fault, or take it back."""
        done = subprocess.run(
            ["ansible", hosts, "-i", str(self.lab.inventory), "-m", f"foundation.testbed.{module}",
             "-a", json.dumps({"testbed_id": RING["testbed_id"], **arguments})],
            cwd=ROOT, text=True, capture_output=True, check=False, timeout=120,
            env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return {
            name: json.loads(text)
            for name, text in re.findall(r"^(\w+) \| \w+ => (\{.*?^\})", done.stdout, re.S | re.M)
        }


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """A ring, made once, beside whichever labs stand, and removed at the end."""
    topology = Topology(tmp_path_factory.mktemp("ring"), tmp_path_factory.mktemp("runs"))
    topology.describe()
    with nothing_left_of(topology.lab):
        topology.provision()
        yield topology


def test_packets_go_round_the_ring_link_by_link_and_as_late_as_asked(ring):
    for peer, asked in ring.asked.expected("n1").items():
        assert ring.links("n1", peer) == asked["hops"]
        ring.takes("n1", peer, asked["rtt_ms"])
    ring.takes("observer1", "n3", 0.0)


def test_laying_it_out_again_changes_nothing_and_repairs_what_is_broken(ring):
    before = ring.state()
    assert ring.provision() == 0
    ring.on("n4", "nft delete table inet foundation_topology; sysctl -q net.ipv4.conf.host0.forwarding=0")
    assert ring.lay_out() == 1
    assert ring.state() == before


def test_frames_from_a_node_without_a_link_are_refused(ring):
    ring.on(
        "n1",
        "ip route add {0}/32 dev host0 metric 1; ip route del {0} proto 197".format(ring.address("n4")),
    )
    assert ring.ping("n1", "n4") is None
    assert "packets 0 " not in ring.on("n4", "nft list counter inet foundation_topology refused")
    ring.on(
        "n1",
        "ip route del {}/32 metric 1; systemctl restart foundation-testbed-router".format(ring.address("n4")),
    )
    wait_until(lambda: ring.links("n1", "n4") == 2, CONVERGE_S, "the way through n5")


def test_a_dead_node_lengthens_the_way_and_its_return_shortens_it(ring):
    """The dead one lives on in silence for 12 seconds, as nobody could tell from a crash."""
    assert ring.links("n1", "n3") == 2
    ring.silence("n2", 12)
    wait_until(lambda: ring.links("n1", "n3") == 3, CONVERGE_S, "the way round the other side")
    longer_ms = sum(ring.asked.latency_ms[link] for link in (("n1", "n5"), ("n5", "n4"), ("n4", "n3"))) * 2
    ring.takes("n1", "n3", longer_ms)
    wait_until(lambda: ring.links("n1", "n3") == 2, 12 + CONVERGE_S, "the way through n2")


def test_a_partition_holds_on_the_ring_and_leaves_nothing(ring):
    before = ring.state()
    told = ring.fault(
        "nodes", "partition", **{"for": "60s"}, groups={"a": ["n1", "n2", "n3"], "b": ["n4", "n5"]}
    )
    assert all(one["evidence"]["present"] and one["evidence"]["effective"] for one in told.values())
    assert [ring.ping(a, b) for a, b in (("n1", "n5"), ("n5", "n1"), ("n2", "n4"), ("n3", "n4"))] == [
        None
    ] * 4
    assert [ring.links(*pair) for pair in (("n1", "n3"), ("n3", "n1"), ("n4", "n5"))] == [2, 2, 1]
    ring.fault("nodes", "partition", state="absent")
    wait_until(lambda: ring.links("n1", "n4") == 2, CONVERGE_S, "the way through n5")
    wait_until(lambda: ring.state() == before, CONVERGE_S, "everything as it was before")


def test_a_partition_cuts_ways_through_the_other_side_as_well(ring):
    """n1 and n3 are of one side, and all their links lead to the other one."""
    before = ring.state()
    ring.fault("nodes", "partition", **{"for": "60s"}, groups={"a": ["n1", "n3"], "b": ["n2", "n4", "n5"]})
    assert ring.ping("n1", "n3") is None and ring.ping("n3", "n1") is None
    assert ring.links("n4", "n5") == 1
    ring.fault("nodes", "partition", state="absent")
    wait_until(lambda: ring.links("n1", "n3") == 2, CONVERGE_S, "the way through n2")
    wait_until(lambda: ring.state() == before, CONVERGE_S, "everything as it was before")


def test_one_way_is_one_way(ring):
    """n1 sends n2 nothing, whichever way round; what n2 sends comes to n1."""
    before = ring.state()
    ring.fault("n1:n2", "partition", **{"for": "60s"}, shape="one_way", groups={"from": ["n1"], "to": ["n2"]})
    assert (ring.heard("n1", "n2"), ring.heard("n2", "n1")) == ("", ring.address("n2"))
    ring.fault("n1:n2", "partition", state="absent")
    wait_until(lambda: ring.links("n1", "n2") == 1, CONVERGE_S, "the link")
    wait_until(lambda: ring.state() == before, CONVERGE_S, "everything as it was before")


def test_a_link_fault_comes_on_top_and_leaves_the_latency(ring):
    before = ring.state()
    asked_ms = ring.asked.round_trip_ms("n1", "n2")
    ring.fault("n1", "link", **{"for": "60s"}, peers=["n2"], delay="30ms")
    ring.takes("n1", "n2", asked_ms + 30)
    ring.fault("n1", "link", state="absent")
    ring.takes("n1", "n2", asked_ms)
    assert ring.state() == before


def test_a_node_that_boots_again_is_where_it_was(ring):
    """Its own units lay it out: the role finds nothing to do."""
    before = ring.state()
    Node(LabPaths(STATE_DIR, RING["testbed_id"]), "n3").kill()
    wait_until(lambda: ring.links("n2", "n4") == 3, CONVERGE_S, "the way round the dead n3")
    ring.provision()
    assert ring.state() == before
    told = ring.output.partition("Refuse frames of nodes")[2].partition("TASK")[0]
    assert "ok: [n3]" in told and "changed" not in told


def test_another_topology_takes_the_place_of_the_former_and_a_mesh_leaves_nothing(ring):
    assert ring.lay_out(topology="star", hub="n3", network_latency=None) > 0
    assert [ring.links(a, b) for a, b in (("n1", "n2"), ("n1", "n3"), ("n5", "n4"))] == [2, 1, 2]
    assert "router" not in ring.state()["n1"] and "latency" not in ring.state()["n1"]
    ring.silence("n3", 6)
    wait_until(lambda: ring.links("n1", "n2") is None, CONVERGE_S, "the silence of the hub")
    wait_until(lambda: ring.links("n1", "n2") == 2, 6 + CONVERGE_S, "the hub")
    assert ring.lay_out(topology="mesh", network_latency=None) > 0
    assert ring.links("n1", "n2") == 1
    for state in ring.state().values():
        assert "topology" not in state and "proto 197" not in state
        assert "host0.forwarding = 0" in state and "conf.all.send_redirects = 1" in state
