# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nftables table of one partition: packets from and to its peers are counted and dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.network import part

FAMILY = "inet"


def matches(protocol: Optional[str], ports: Sequence[int]) -> list[str]:
    """Return what a packet must be to be dropped: one nft expression a rule, empty for any packet."""
    if ports:
        listed = ", ".join(map(str, ports))
        return [f"{protocol} {side} {{ {listed} }} " for side in ("dport", "sport")]
    return [f"meta l4proto {protocol} "] if protocol else [""]


def ruleset(
    table: str,
    peers: Sequence[str],
    window_s: Optional[tuple[int, int]],
    timeout_ms: int,
    direction: str = "both",
    match: Sequence[str] = ("",),
    links: Optional[Sequence[str]] = None,
) -> str:
    """Return the nft script that cuts `peers` (IPv4).

    `window_s` are the whole epoch seconds between which it holds; without it, it holds at once until the
    elements time out. `direction` is in, out or both, as this node sees it. `links` are the link addresses of
    the peers that this node has a link with; None where it has one with every node: none forwards then.
    """
    window = f"meta time >= {window_s[0]} meta time < {window_s[1]} " if window_s else ""
    elements = ", ".join(f"{peer} timeout {timeout_ms}ms" for peer in sorted(peers))
    parts = [
        "  counter dropped_in { }",
        "  counter dropped_out { }",
        f"  set peers {{\n    type ipv4_addr\n    flags timeout\n    elements = {{ {elements} }}\n  }}",
    ]
    if links:
        ends = ", ".join(f"{link} timeout {timeout_ms}ms" for link in sorted(links))
        parts.append(
            f"  set links {{\n    type ether_addr\n    flags timeout\n    elements = {{ {ends} }}\n  }}"
        )
    for hook, found in drops(direction, links).items():
        rules = "".join(
            f"    {window}{one}{what} counter name dropped_{way} drop\n"
            for way, what in found
            for one in match
        )
        parts.append(
            f"  chain {hook} {{\n    type filter hook {hook} priority -300; policy accept;\n{rules}  }}"
        )
    return f"table {FAMILY} {table} {{\n" + "\n".join(parts) + "\n}\n"


def drops(direction: str, links: Optional[Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return what is dropped in which chain: the counter's way, and what the packet is.

    Where packets are forwarded the links to the peers are cut as well, whoever's packets go over them.
    """
    out = [("out", "rt ip nexthop @peers")] if links is not None and direction != "in" else []
    into = [("in", "ether saddr @links")] if links and direction != "out" else []
    found = {
        "input": ([("in", "ip saddr @peers"), *into] if direction != "out" else []),
        "output": ([("out", "ip daddr @peers"), *out] if direction != "in" else []),
        "forward": [*into, *out],
    }
    return {hook: rules for hook, rules in found.items() if rules}


def links_to(topology: Optional[part.Part], peers: Sequence[str]) -> Optional[list[str]]:
    """Return the link addresses of those peers with which this node shares a link; None where all do."""
    if topology is None or topology.complete:
        return None
    return [topology.macs[name] for name in topology.neighbours if topology.addresses[name] in peers]


def evidence_of(items: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, Any]:
    """Read what the table consists of: `{"present": bool, "packets": {"in": n, "out": n}}`.

    `wanted` are the chains of all rules, sorted.
    """
    counters = {item["counter"]["name"]: item["counter"]["packets"] for item in items if "counter" in item}
    rules = [item["rule"]["chain"] for item in items if "rule" in item]
    return {
        "present": sorted(rules) == list(wanted),
        "packets": {"in": counters.get("dropped_in", 0), "out": counters.get("dropped_out", 0)},
    }
