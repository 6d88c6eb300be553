# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel is told about a topology: pure texts of nftables, routes and tc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.foundation.testbed.plugins.module_utils.faults._netem import TOPOLOGY_HANDLE

# Not the prefix of faults: no sweep takes the topology for one.
TABLE, LATENCY_TABLE = "foundation_topology", "foundation_topology_latency"
# Routes of ours bear this protocol.
PROTOCOL = 197
# Before everybody's rules; behind the queues of link faults, so that their second copies pass once as well.
_ARRIVING, _THROUGH, _LEAVING = -310, -310, 8000
# The queue of the first neighbour, below those of link faults; the handle of the tree of netem.
FIRST_QUEUE, HANDLE = 0x7000, TOPOLOGY_HANDLE
_FIRST_CLASS = 2


def frames(
    device: str, nodes: Iterable[str], linked: Iterable[str], others: Iterable[str], alone: bool
) -> str:
    """Return the nft script that refuses frames from nodes without a link, and forwards for nodes only.

    `nodes` are addresses, `linked` and `others` the link addresses of nodes with and without a link to this
    one. `alone`: this host forwarded nothing from the device before, so all else stays where it came from.
    """
    rest = f'    iifname "{device}" drop\n' if alone else ""
    return (
        f"table inet {TABLE} {{\n"
        "  counter refused { }\n"
        "  counter forwarded { }\n"
        f"{_set('nodes', 'ipv4_addr', nodes)}{_set('linked', 'ether_addr', linked)}"
        f"{_set('unlinked', 'ether_addr', others)}"
        "  chain arriving {\n"
        f"    type filter hook prerouting priority {_ARRIVING}; policy accept;\n"
        f'    iifname "{device}" ip saddr @nodes ether saddr != @linked counter name refused drop\n'
        f'    iifname "{device}" ether saddr @unlinked counter name refused drop\n'
        "  }\n"
        "  chain through {\n"
        f"    type filter hook forward priority {_THROUGH}; policy accept;\n"
        f'    iifname "{device}" oifname "{device}" ip saddr @nodes ip daddr @nodes '
        "counter name forwarded accept\n"
        f"{rest}  }}\n}}\n"
    )


def _set(name: str, kind: str, members: Iterable[str]) -> str:
    listed = ", ".join(sorted(members))
    elements = f"    elements = {{ {listed} }}\n" if listed else ""
    return f"  set {name} {{\n    type {kind}\n{elements}  }}\n"


def delays(device: str, hops: Sequence[str], statements: Mapping[str, str]) -> str:
    """Return the nft script that sends what leaves for each next hop through a chain of its own.

    `statements` is what such a chain says, none where a rule is to be added by itself.
    """
    chains = "".join(
        f"  chain via_{at} {{\n    {statements.get(hop, '')}\n  }}\n" for at, hop in enumerate(hops)
    )
    ways = ", ".join(f"{hop} : jump via_{at}" for at, hop in enumerate(hops))
    return (
        f"table ip {LATENCY_TABLE} {{\n{chains}"
        "  chain leaving {\n"
        f"    type filter hook postrouting priority {_LEAVING}; policy accept;\n"
        f'    oifname "{device}" rt ip nexthop vmap {{ {ways} }}\n'
        "  }\n}\n"
    )


def classes(hops: Sequence[str]) -> dict[str, str]:
    """Return the class of the tree of netem for each next hop."""
    return {hop: f"{HANDLE}{at + _FIRST_CLASS:x}" for at, hop in enumerate(hops)}


def tree(device: str, delays_ms: Mapping[str, float], limit: int) -> list[list[str]]:
    """Return the tc commands of the tree: a netem for each next hop; all else passes by."""
    commands = [["qdisc", "add", "dev", device, "root", "handle", HANDLE, "htb"]]
    for hop, name in classes(list(delays_ms)).items():
        on = ["dev", device, "parent"]
        held = ["netem", "limit", str(limit), "delay", f"{delays_ms[hop] * 1000:.0f}us"]
        commands += [
            ["class", "add", *on, HANDLE, "classid", name, "htb", "rate", "100gbit", "quantum", "60000"],
            ["qdisc", "add", *on, name, *held],
        ]
    return commands


def routes(device: str, own: str, ways: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Return the lines of `ip -batch` that lead from the routes of before to these.

    Both are next hops by destination; a destination that is its own next hop needs no route.
    """
    wanted = {to: via for to, via in ways.items() if to != via}
    gone = [f"route del {to}/32 dev {device} proto {PROTOCOL}" for to in sorted(before) if to not in wanted]
    new = [
        f"route replace {to}/32 via {via} dev {device} src {own} proto {PROTOCOL}"
        for to, via in sorted(wanted.items())
        if before.get(to) != via
    ]
    return gone + new
