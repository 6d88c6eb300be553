# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user would say of one fault of each sort: the rows of `make bench-faults`.

NODE stands for the node that is broken, PEER for one that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, fault_class

# A file to be damaged, and a unit to be pressed on, which nobody needs.
VICTIM, SERVER = "/srv/victim", "tb-victim.service"
ETCD = "etcd.service"
# Every node's own system knows this of itself: the fault begins where and when it is asked.
ON_STATE = {"state": "term", "above": 0, "system": "etcd"}


def _kind(kind: str, **rows: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, args in rows.items():
        yield f"{kind}: {name}", {"kind": kind, **args}


SAID: dict[str, dict[str, Any]] = dict(
    [
        *_kind(
            "partition",
            peers={"peers": "PEER"},
            icmp={"peers": "PEER", "protocol": "icmp"},
            ports={"peers": "PEER", "ports": "2380"},
            groups={"groups": {"a": ["NODE"], "b": ["PEER"]}},
            alone={"shape": "alone"},
            majority={"shape": "majority"},
            halves={"shape": "halves"},
            random={"shape": "random"},
            ring={"shape": "majorities_ring"},
            bridge={"shape": "bridge", "seed": 3},  # by which no node of the bench is the bridge itself
            one_way_out={"shape": "one_way", "groups": {"from": ["NODE"], "to": ["PEER"]}},
            one_way_in={"shape": "one_way", "groups": {"from": ["PEER"], "to": ["NODE"]}},
            on_a_state={"shape": "alone", "where": ON_STATE},
        ),
        *_kind(
            "link",
            delay={"peers": "PEER", "delay": "40ms"},
            jitter={"peers": "PEER", "delay": "40ms", "jitter": "10ms"},
            loss={"peers": "PEER", "loss": "30"},
            burst={"peers": "PEER", "loss": "20", "loss_burst": "5"},
            duplicate={"peers": "PEER", "duplicate": "30"},
            corrupt={"peers": "PEER", "corrupt": "30"},
            reorder={"peers": "PEER", "delay": "40ms", "reorder": "40"},
            rate={"peers": "PEER", "rate": "1mbit"},
        ),
        *_kind(
            "process",
            kill={"action": "kill", "unit": ETCD},
            held_down={"action": "kill", "unit": ETCD, "hold": "true"},
            terminate={"action": "terminate", "unit": ETCD},
            pause={"action": "pause", "unit": ETCD},
            restart={"action": "restart", "unit": ETCD},
            crash_loop={"action": "crash_loop", "unit": ETCD, "interval": "1s"},
        ),
        *_kind(
            "name_service",
            nothing={"action": "nothing", "names": "PEER"},
            wrong={"action": "wrong", "names": "PEER"},
            dns={"action": "nothing", "names": "PEER", "dns": "true"},
        ),
        *_kind("disk_fill", space={"target": "90"}, inodes={"target": "90", "resource": "inodes"}),
        *_kind(
            "storage",
            bit_flip={"action": "bit_flip", "file": VICTIM, "bits": "4"},
            truncate={"action": "truncate", "file": VICTIM, "bytes": "4K"},
            read_only={"action": "read_only", "path": "/opt"},
        ),
        *_kind(
            "pressure",
            memory={"resource": "memory", "target": "60"},
            cpu={"resource": "cpu", "target": "40"},
            io={"resource": "io", "rate": "4M"},
            pids={"resource": "pids", "left": "40"},
            descriptors={"resource": "descriptors", "unit": SERVER},
            oom={"resource": "oom", "unit": SERVER},
        ),
        *_kind(
            "power",
            off={"action": "off"},
            crash={"action": "crash"},
            reboot={"action": "reboot"},
            lose_unsynced={"action": "crash", "lose_unsynced": "true"},
        ),
        *_kind("disk", slow={"action": "slow", "iops": "10"}, fail={"action": "fail"}),
        *_kind(
            "clock",
            step={"action": "step", "offset": "-30s"},
            skew={"action": "skew", "rate": "1.05"},
            strobe={"action": "strobe", "offset": "+2s"},
        ),
    ]
)
# Shapes of which three nodes are too few, or one of three may take no part in.
MANY = ("majorities_ring", "bridge")

NEVER = "refused before it begins: this provider's nodes share the host's clock"
ONCE = "one at the same instant finds nobody alive: there is nothing for it to hold"
OFF = "a node that is off cannot boot"


def mixed(cluster: ClusterView) -> list[str]:
    """Names of those that any of so many nodes can do, all at once."""
    return sorted(
        name
        for name, said in SAID.items()
        if said["kind"] != "clock" and (len(cluster.nodes) > 3 or said.get("shape") not in MANY)
    )


def on_node(said: dict[str, Any]) -> bool:
    """Whether the node does it to itself."""
    return fault_class(said["kind"]).on_node


def needs_room(said: dict[str, Any]) -> bool:
    """Whether its journal, its probe or what it writes has to be on the node's disk."""
    return fault_class(said["kind"]).survives_reboot or not on_node(said) or said.get("resource") == "io"


def senseless(said: dict[str, Any], way: str) -> str | None:
    """Return the true reason why a way makes no sense for a fault, None where it does."""
    if said["kind"] == "clock" and way != "plain":
        return NEVER
    ends_at_once = said.get("action") in ("kill", "terminate") or said.get("resource") == "oom"
    if way == "two runs" and ends_at_once and "hold" not in said:
        return ONCE
    if way == "reboot" and said["kind"] == "power" and said["action"] == "off":
        return OFF
    return None


def spoken(said: dict[str, Any], node: str, cluster: ClusterView) -> dict[str, Any]:
    """What is said on a node as the arguments of a module, with names in place of NODE and PEER."""
    nodes = list(cluster.nodes)
    names = {"NODE": node, "PEER": nodes[(nodes.index(node) + 1) % len(nodes)]}

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        if isinstance(value, list):
            return [named(item) for item in value]
        return names.get(value, value)

    return {key: named(value) for key, value in said.items() if key not in ("kind", "where")}


def chosen(said: dict[str, Any], node: str, cluster: ClusterView) -> list[str]:
    """The hosts that a command would be given for it: a shape is of all nodes, all else of one."""
    return list(cluster.nodes) if said.get("shape") not in (None, "alone", "one_way") else [node]
