# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nftables table of one link fault: packets to its peers are counted, and handed to a queue.

Each fault has a base chain of its own. A packet that comes back from a queue goes on with the next chain: so
the faults of a node are passed one after the other, whichever run they belong to, and their delays add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _netlink,
    _nft,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._nfqueue import (
    COPY_MARK,
    FIRST_QUEUE,
)

FAMILY = "ip"
# After the user's address translation, before the connection is confirmed.
_PRIORITY = 300


def ruleset(
    table: str,
    peers: Sequence[str],
    match: Sequence[str],
    timeout_ms: int,
    queue: Optional[int] = None,
    window_s: Optional[tuple[int, int]] = None,
    statement: str = "",
) -> str:
    """Return the nft script of a fault; the chain `hold` has `statement`, or is yet to be filled.

    `match` and `window_s` are those of a partition. Without a queue it only counts.
    """
    elements = ", ".join(f"{peer} timeout {timeout_ms}ms" for peer in sorted(peers))
    window = f"meta time >= {window_s[0]} meta time < {window_s[1]} " if window_s else ""
    end = "" if queue is None else " jump hold"
    later = 0 if queue is None else queue - FIRST_QUEUE
    copies = "" if queue is None else f"    meta mark {COPY_MARK | queue:#x}-{COPY_MARK | 0xFFFF:#x} return\n"
    rules = "".join(f"    {window}{part}ip daddr @peers counter name seen{end}\n" for part in match)
    return (
        f"table {FAMILY} {table} {{\n"
        "  counter seen { }\n"
        f"  set peers {{\n    type ipv4_addr\n    flags timeout\n    elements = {{ {elements} }}\n  }}\n"
        + ("" if queue is None else f"  chain hold {{\n    {statement}\n  }}\n")
        + f"  chain impaired {{\n"
        f"    type filter hook postrouting priority {_PRIORITY + later}; policy accept;\n"
        f"{copies}{rules}  }}\n}}\n"
    )


def queue_statement(queue: int) -> str:
    """Return nftables' own way to hand packets to a queue."""
    return f"queue flags bypass to {queue}"


def knows_queue_statement() -> bool:
    """Whether this kernel's nftables can hand packets to a queue by itself; asks only."""
    statement = queue_statement(FIRST_QUEUE)
    return not _nft.refusals(ruleset(_nft.SAMPLE, ["192.0.2.1"], [""], 1000, FIRST_QUEUE, None, statement))


def reasons(match: Sequence[str], queue: bool) -> list[str]:
    """Why this kernel cannot take such rules, and hand packets to a queue if that is wanted; asks only."""
    number = FIRST_QUEUE if queue else None
    found = _nft.refusals(ruleset(_nft.SAMPLE, ["192.0.2.1"], match, 1000, number, (1, 2)))
    if not found and queue and not knows_queue_statement() and not _netlink.knows_queue_target():
        return ["the kernel has neither the queue statement of nftables nor the NFQUEUE target"]
    return found


def load(
    table: str,
    peers: Sequence[str],
    match: Sequence[str],
    timeout_ms: int,
    queue: Optional[int] = None,
    window_s: Optional[tuple[int, int]] = None,
) -> None:
    """Load the table of a fault; raises RuntimeError or OSError when the kernel refuses it."""
    statement = queue_statement(queue) if queue is not None and knows_queue_statement() else ""
    _nft.load(ruleset(table, peers, match, timeout_ms, queue, window_s, statement))
    if queue is not None and not statement:
        _netlink.add_queue_rule(table, "hold", queue)


def look(table: str, rules: int, peers: int, queue: Optional[int]) -> dict[str, Any]:
    """Return whether all rules (and peers, unless 0) are in place, and the packets that were counted."""
    items = _nft.listing(FAMILY, table)
    chains = [item["rule"]["chain"] for item in items if "rule" in item]
    elements = [len(item["set"].get("elem", [])) for item in items if "set" in item]
    wanted = {"impaired": rules + (queue is not None), "hold": int(queue is not None)}
    return {
        "present": {chain: chains.count(chain) for chain in wanted} == wanted
        and (not peers or elements == [peers]),
        "packets": sum(item["counter"]["packets"] for item in items if "counter" in item),
    }


def queues(table: str) -> bool:
    """Tell whether a fault's table hands packets to a queue, rather than count them only."""
    return _nft.nft("list", "chain", FAMILY, table, "hold").returncode == 0
