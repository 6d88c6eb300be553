# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a sceptic does to faults: kills what holds them, cuts the node's power, fills its disk, mixes them.

Every way ends with the node compared with how it was before. Used in short by the tests and in full by
`make bench-faults`.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, fault_class
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import answers_ssh
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch import Switch
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import own_program
from fault_lab import Staged, differences, install_agent, put, stage, state_of
from support import ROOT, STATE_DIR, Lab, kill_tree, wait_until

# Seconds after the planned end at which nothing may be left; what is compared over ssh adds its own time.
GONE_WITHIN_S = 1.0
NODES = ("n1", "n2", "n3")

# A file to be damaged, which nobody needs.
VICTIM = "/srv/victim"
# What a user would say of one fault of each kind, PEER being another node; any node of the tests can do it.
SAID: dict[str, dict[str, Any]] = {
    "partition: peers": {"kind": "partition", "peers": "PEER"},
    "partition: icmp": {"kind": "partition", "peers": "PEER", "protocol": "icmp"},
    "partition: a port": {"kind": "partition", "peers": "PEER", "ports": "2380"},
    "link: delay": {"kind": "link", "peers": "PEER", "delay": "40ms"},
    "link: loss": {"kind": "link", "peers": "PEER", "loss": "30"},
    "link: rate": {"kind": "link", "peers": "PEER", "rate": "1mbit"},
    "process: kill": {"kind": "process", "action": "kill", "unit": "etcd.service"},
    "process: pause": {"kind": "process", "action": "pause", "unit": "etcd.service"},
    "process: held down": {"kind": "process", "action": "kill", "unit": "etcd.service", "hold": "true"},
    "name_service: nothing": {"kind": "name_service", "action": "nothing", "names": "PEER"},
    "disk_fill": {"kind": "disk_fill", "target": "90"},
    "storage: bit_flip": {
        "kind": "storage",
        "action": "bit_flip",
        "file": VICTIM,
        "bits": "4",
    },
    "storage: read_only": {"kind": "storage", "action": "read_only", "path": "/opt"},
    "pressure: memory": {"kind": "pressure", "resource": "memory", "target": "60"},
    "pressure: cpu": {"kind": "pressure", "resource": "cpu", "target": "40"},
}


def prepare(lab: Lab, node: str) -> None:
    """Bring this checkout's agent to a node, and a file to be damaged."""
    install_agent(lab, node)
    put(lab, node, VICTIM, bytes(range(256)) * 64)


def cluster_of(lab: Lab) -> ClusterView:
    """The lab as a plan sees it."""
    command = ["ansible-inventory", "-i", str(lab.inventory), "--list"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    hostvars = listed["_meta"]["hostvars"]
    nodes = listed["nodes"]["hosts"]
    first = hostvars[nodes[0]]
    return ClusterView(
        testbed_id=first["testbed_id"],
        nodes={name: hostvars[name]["testbed_address"] for name in nodes},
        observers={},
        systems={name: hostvars[name]["testbed_applications"] for name in nodes},
        workloads={},
        units={"etcd": ["etcd.service"]},
        data_paths={"etcd": ["/var/lib/etcd"]},
        provider=dict.fromkeys(nodes, "container"),
        management=[first["testbed_gateway"]],
        max_down=1,
    )


def spoken(said: dict[str, Any], node: str, cluster: ClusterView) -> dict[str, Any]:
    """What is said on a node, with the name of the next one in place of PEER."""
    nodes = list(cluster.nodes)
    peer = nodes[(nodes.index(node) + 1) % len(nodes)]
    return {key: peer if value == "PEER" else value for key, value in said.items()}


def fault(
    said: dict[str, Any], node: str, cluster: ClusterView, start_s: float, for_s: float
) -> dict[str, Any]:
    """One fault as it is staged on a node."""
    args = {key: value for key, value in spoken(said, node, cluster).items() if key != "kind"}
    _, program = own_program(said["kind"], {**args, "for": "10s"}, node, [node], cluster)
    assert program is not None
    return {
        "type": said["kind"], "start_s": start_s, "end_s": start_s + for_s, "for_s": for_s, "node": program,
        "at_once": True,
    }  # fmt: skip


def left_of(lab: Lab, node: str, before: dict[str, list[str]]) -> list[str]:
    """What is not as it was, once what comes back by itself has had its time."""
    left: list[str] = []

    def same() -> bool:
        left[:] = differences(before, state_of(lab, node))
        return not left

    with contextlib.suppress(AssertionError):
        wait_until(same, 8, "the node as it was")
    return left


def traces_after(staged: Staged, at_s: float) -> list[str]:
    """What `fault_info` would name at an instant after the plan's start."""
    staged.wait_for(at_s)
    answer = staged.lab.on(staged.node, "python3 /usr/local/lib/foundation-testbed/agent.pyz active")
    return [entry["trace"] for entry in json.loads(answer)]


def plainly(staged: Staged) -> None:
    """Nobody dies."""
    assert staged.finish(), "a ledger"


def agent_killed(staged: Staged) -> None:
    """SIGKILL to the agent and all its helpers in mid-fault; gone at once, long before the planned end."""
    staged.wait_for(2.0)
    assert staged.ledger("apply") or staged.ledger("load"), "the fault had begun"
    staged.lab.on(staged.node, f"systemctl kill --signal=SIGKILL {staged.unit}")
    staged.finish()


def ssh_cut(staged: Staged) -> None:
    """Nobody reaches the node by ssh from before the end until after it."""
    address = staged.lab.on(staged.node, "hostname -I").split()[0]
    staged.wait_for(1.5)
    subprocess.run(["ip", "route", "add", "blackhole", f"{address}/32"], check=True)
    try:
        assert not answers_ssh(address), "ssh is cut"
        staged.wait_for(staged.program["duration_s"] + GONE_WITHIN_S)
    finally:
        subprocess.run(["ip", "route", "del", "blackhole", f"{address}/32"], check=True)
    staged.finish()


def power_cut(staged: Staged) -> None:
    """The node loses its power in mid-fault and boots again."""
    staged.wait_for(2.0)
    power_cycle(staged.lab, staged.node)


def power_cycle(lab: Lab, name: str) -> None:
    """Cut a node's power and boot it again, with its limits; returns once its recovery has ended."""
    switch = Switch(LabPaths(STATE_DIR, lab.variables(name)["testbed_id"]), name)
    limits = switch.limits()
    switch.cut()
    switch.on(limits)
    wait_until(switch.answers, 60, f"{name} answers ssh")
    recovered = "systemctl show -P ActiveState foundation-testbed-recover.service"
    wait_until(lambda: lab.on(name, recovered, check=False).strip() == "inactive", 30, "recovery after boot")


@contextlib.contextmanager
def full_disk(lab: Lab, node: str) -> Iterator[None]:
    """Fill the node's own disk to the last byte."""
    room = int(lab.on(node, "df --output=avail -B1 / | tail -1"))
    assert room < 4 * 2**30, "only a disk of the node's own may be filled"
    lab.on(
        node,
        "dd if=/dev/zero of=/filler bs=1M 2>/dev/null; dd if=/dev/zero of=/filler2 bs=1k 2>/dev/null; true",
    )
    try:
        yield
    finally:
        lab.on(node, "rm -f /filler /filler2")


# What faults say that cannot begin on a full disk.
FULL = ("No space left", "are used already")

WAYS: dict[str, Callable[[Staged], None]] = {
    "plain": plainly,
    "agent killed": agent_killed,
    "ssh cut": ssh_cut,
    "reboot": power_cut,
}


def try_way(
    lab: Lab, node: str, way: str, said: dict[str, Any], cluster: ClusterView, for_s: float = 5.0
) -> list[str]:
    """Live one fault through one way; returns what it left and what was wrong on the way."""
    before = state_of(lab, node)
    staged = stage(lab, node, [fault(said, node, cluster, 1.0, for_s)])
    WAYS[way](staged)
    return [
        *_wrong(staged, way),
        *traces_after(staged, 1.0 + for_s + GONE_WITHIN_S),
        *left_of(lab, node, before),
    ]


def try_full_disk(
    lab: Lab, node: str, said: dict[str, Any], cluster: ClusterView, for_s: float = 5.0
) -> list[str]:
    """Live one fault through on a full disk: it is recorded whole all the same.

    One whose journal has to be on the disk, or that would fill it, cannot begin: it says so, and nothing is
    left of it either.
    """
    before = state_of(lab, node)
    staged = stage(lab, node, [fault(said, node, cluster, 2.0, for_s)])
    with full_disk(lab, node):
        traces = traces_after(staged, 2.0 + for_s + GONE_WITHIN_S)
    staged.finish()
    wrong = _wrong(staged, "full disk")
    if fault_class(said["kind"]).survives_reboot:
        refused = not staged.ledger("apply") and any(word in line for line in wrong for word in FULL)
        wrong = [] if refused else ["it was neither refused nor done"]
    return [*wrong, *traces, *left_of(lab, node, before)]


def try_two_runs(lab: Lab, node: str, said: dict[str, Any], cluster: ClusterView) -> list[str]:
    """Two runs hold the same fault at once; the one that ends first leaves the other's alone."""
    before = state_of(lab, node)
    short = stage(lab, node, [fault(said, node, cluster, 1.0, 3.0)])
    long = stage(lab, node, [fault(said, node, cluster, 1.0, 10.0)])
    problems = (
        [] if len(traces_after(long, 5.0)) == 1 else ["the second run's fault did not outlive the first's"]
    )
    short.finish()
    long.finish()
    late = [entry for entry in long.ledger("evidence") if entry["t_s"] > 5.0]
    if not late or not all(entry["present"] for entry in late):
        problems.append("the second run's fault was not in place after the first's end")
    return [*problems, *_wrong(short, "two runs"), *_wrong(long, "two runs"), *left_of(lab, node, before)]


def try_killed_controller(lab: Lab, node: str, said: dict[str, Any], cluster: ClusterView) -> list[str]:
    """SIGKILL to the ad hoc command that waits for the fault; it lives to its planned end and no longer."""
    before = state_of(lab, node)
    words = " ".join(f"{key}={value}" for key, value in spoken(said, node, cluster).items() if key != "kind")
    module = f"foundation.testbed.{said['kind']}"
    command = ["ansible", node, "-i", str(lab.inventory), "-m", module, "-a", f"{words} for=4s"]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    agent = "python3 /usr/local/lib/foundation-testbed/agent.pyz active"
    wait_until(
        lambda: process.poll() is not None or json.loads(lab.on(node, agent)), 30, "the fault is there"
    )
    kill_tree(process)
    active = json.loads(lab.on(node, agent))
    if active:
        time.sleep(max(0.0, active[0]["until_wall_ns"] / 1e9 + GONE_WITHIN_S - time.time()))
    left = [entry["trace"] for entry in json.loads(lab.on(node, agent))]
    return [*left, *left_of(lab, node, before)]


def tries(said: dict[str, Any]) -> dict[str, Callable[[Lab, str, ClusterView], list[str]]]:
    """Every way to try one fault, by name; each returns what was left or wrong."""
    ways: dict[str, Callable[[Lab, str, ClusterView], list[str]]] = {
        way: lambda lab, node, cluster, way=way: try_way(lab, node, way, said, cluster) for way in WAYS
    }
    tried = {
        **ways,
        "controller killed": lambda lab, node, cluster: try_killed_controller(lab, node, said, cluster),
        "two runs": lambda lab, node, cluster: try_two_runs(lab, node, said, cluster),
        "full disk": lambda lab, node, cluster: try_full_disk(lab, node, said, cluster),
    }
    # A second kill at the same instant finds nobody alive: there is nothing for it to hold.
    once = said.get("action") == "kill" and "hold" not in said
    return {way: attempt for way, attempt in tried.items() if not (once and way == "two runs")}


def mix(seed: int, node: str, cluster: ClusterView) -> list[dict[str, Any]]:
    """Two to four faults of any kind with random windows, the same for the same seed."""
    draw = random.Random(seed)
    chosen = draw.sample(sorted(SAID), draw.randint(2, 4))
    return [
        {
            **fault(SAID[name], node, cluster, draw.uniform(0.5, 3.0), draw.uniform(1.0, 4.0)),
            "id": f"mixed-{place}",
        }
        for place, name in enumerate(chosen)
    ]


def try_mix(lab: Lab, node: str, seed: int, cluster: ClusterView) -> list[str]:
    """Live a random mix through, every third time with the agent killed on the way; returns what it left.

    Whether each is proved is not asked: who kills what another one has paused leaves it nothing to show.
    """
    before = state_of(lab, node)
    staged = stage(lab, node, mix(seed, node, cluster))
    if seed % 3 == 0:
        staged.wait_for(2.5)
        staged.lab.on(node, f"systemctl kill --signal=SIGKILL {staged.unit}", check=False)
    traces = traces_after(staged, staged.program["duration_s"] + GONE_WITHIN_S)
    staged.finish()
    return [*traces, *left_of(lab, node, before)]


def _wrong(staged: Staged, way: str) -> list[str]:
    """Errors in the ledger; where nobody died, also a fault that was never seen or not taken back whole."""
    ledger = staged.ledger()
    problems = [entry["message"] for entry in ledger if entry["event"] == "error"]
    problems += [
        f"cannot: {entry['reasons']}" for entry in ledger if entry["event"] == "check" and not entry["able"]
    ]
    if way in ("agent killed", "reboot"):
        return problems
    for entry in staged.program["faults"]:
        own = {line["event"]: line for line in ledger if line["fault"] == entry["id"]}
        # While another run still holds the same, no probe can pass.
        heard = way == "two runs" or ("gone" in own and own["gone"]["probe_passed"])
        if "gone" not in own or own["gone"]["traces"] or not heard:
            problems.append(f"{entry['id']}: not gone: {own.get('gone')}")
        evidence = [line for line in ledger if line["fault"] == entry["id"] and line["event"] == "evidence"]
        if not evidence or not all(line["present"] for line in evidence):
            problems.append(f"{entry['id']}: not in place all the time")
    return problems
