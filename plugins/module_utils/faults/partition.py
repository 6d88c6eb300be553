# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Partition: packets between this node and the peers of other groups are dropped, by rules of the kernel.

The kernel itself begins and ends them: the rules compare the wall clock with the two instants (`meta
time`), so every node that shares the clock is cut at the same instant and healed at the same instant with no
process involved. Should the clock be moved meanwhile, the elements of the set of peers time out on the
monotonic clock, and the rules match nobody any more.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import Prober

# Seconds before the start at which the rules are loaded.
LEAD_S = 2.0
# Seconds after the planned end at which the set of peers is empty whatever the clock says.
TIMEOUT_MARGIN_S = 0.5

TABLE_PREFIX = "foundation_testbed_"


def table_name(run: str, fault: str) -> str:
    """Name of the nftables table of one fault: nobody else's, and removed as a whole."""
    return TABLE_PREFIX + re.sub(r"[^a-z0-9_]", "_", f"{run}_{fault}".lower())


def ruleset(table: str, peers: list[str], start_s: int, end_s: int, timeout_ms: int) -> str:
    """Return the nft script that cuts `peers` (IPv4) from `start_s` until `end_s` (whole epoch seconds)."""
    window = f"meta time >= {start_s} meta time < {end_s}"
    elements = ", ".join(f"{peer} timeout {timeout_ms}ms" for peer in sorted(peers))
    return f"""table inet {table} {{
  counter dropped_in {{ }}
  counter dropped_out {{ }}
  set peers {{
    type ipv4_addr
    flags timeout
    elements = {{ {elements} }}
  }}
  chain input {{
    type filter hook input priority -300; policy accept;
    {window} ip saddr @peers counter name dropped_in drop
  }}
  chain output {{
    type filter hook output priority -300; policy accept;
    {window} ip daddr @peers counter name dropped_out drop
  }}
}}
"""


class Partition:
    """The partition of one run as this node sees it."""

    lead_s = LEAD_S

    def __init__(
        self,
        run: str,
        fault: str,
        program: dict[str, Any],
        start_wall_ns: int,
        end_wall_ns: int,
        prober: Prober,
    ):
        self.table = table_name(run, fault)
        self.blocked: list[str] = list(program["blocked"].values())
        self.open: list[str] = list(program["open"].values())
        self.start_s, self.end_s = start_wall_ns // 10**9, end_wall_ns // 10**9
        self.prober = prober
        self.probes = {"sent": 0, "blocked": 0, "passed": 0, "open_sent": 0, "open_passed": 0}

    def _ruleset(self) -> str:
        left_ms = int((self.end_s - time.time() + TIMEOUT_MARGIN_S) * 1000)
        return ruleset(self.table, self.blocked, self.start_s, self.end_s, max(left_ms, 1))

    def check(self) -> list[str]:
        """Reasons why this node cannot do it; the kernel itself is asked, and nothing is changed."""
        if shutil.which("nft") is None:
            return ["nftables is not installed"]
        done = _nft("--check", "-f", "-", stdin=self._ruleset())
        return [] if done.returncode == 0 else [f"the kernel refuses the rules: {done.stderr.strip()}"]

    def undo(self) -> dict[str, Any]:
        """What `revert` needs to take it back."""
        return {"table": self.table}

    def apply(self) -> None:
        """Load the rules in one transaction; raises RuntimeError when the kernel refuses them."""
        done = _nft("-f", "-", stdin=self._ruleset())
        if done.returncode != 0:
            raise RuntimeError(f"nft: {done.stderr.strip()}")

    @property
    def feels(self) -> bool:
        """Whether this node is cut from anybody."""
        return bool(self.blocked)

    def felt(self) -> bool:
        """Whether a probe to the first blocked peer is dropped right now."""
        return not self.prober.passes(self.blocked[0])

    def observe(self) -> None:
        """Probe every blocked and every open peer once."""
        for address in self.blocked:
            passed = self.prober.passes(address)
            self.probes["sent"] += 1
            self.probes["passed"] += passed
            self.probes["blocked"] += not passed
        for address in self.open:
            self.probes["open_sent"] += 1
            self.probes["open_passed"] += self.prober.passes(address)

    def evidence(self) -> dict[str, Any]:
        """Whether the rules are in place, packets dropped in each direction, and what probes felt."""
        listing = _nft("-j", "list", "table", "inet", self.table).stdout
        return {**evidence_of(listing), "probes": dict(self.probes)}

    async def recovered(self) -> bool:
        """Whether every peer that was blocked is heard again within five seconds."""
        heard = await asyncio.gather(*(self.prober.answered(peer, 5.0) for peer in self.blocked))
        return all(heard)

    def traces(self) -> list[str]:
        """What is left of this fault on this node."""
        return [table for table in _tables() if table == self.table]


def evidence_of(listing: str) -> dict[str, Any]:
    """Read `nft -j list table`: `{"present": bool, "packets": {"in": n, "out": n}}`; no table is absent."""
    items = json.loads(listing)["nftables"] if listing.strip() else []
    counters = {item["counter"]["name"]: item["counter"]["packets"] for item in items if "counter" in item}
    rules = [item["rule"]["chain"] for item in items if "rule" in item]
    return {
        "present": sorted(rules) == ["input", "output"],
        "packets": {"in": counters.get("dropped_in", 0), "out": counters.get("dropped_out", 0)},
    }


def capable() -> list[str]:
    """Reasons why no partition can be made on this node; the kernel is asked, nothing is changed."""
    if shutil.which("nft") is None:
        return ["nftables is not installed"]
    done = _nft("--check", "-f", "-", stdin=ruleset(f"{TABLE_PREFIX}sample", ["192.0.2.1"], 1, 2, 1000))
    return [] if done.returncode == 0 else [f"the kernel refuses the rules: {done.stderr.strip()}"]


def revert(undo: dict[str, Any]) -> None:
    """Remove the fault's table if it is there; raises RuntimeError when the kernel refuses."""
    if undo["table"] in _tables():
        done = _nft("delete", "table", "inet", undo["table"])
        if done.returncode != 0:
            raise RuntimeError(f"nft: {done.stderr.strip()}")


def leftovers() -> list[str]:
    """Every table that bears this testbed's prefix, recorded or not."""
    return [table for table in _tables() if table.startswith(TABLE_PREFIX)]


def sweep() -> list[str]:
    """Remove all `leftovers`; returns their names."""
    ours = leftovers()
    for table in ours:
        revert({"table": table})
    return ours


def _tables() -> list[str]:
    done = _nft("-j", "list", "tables", "inet")
    items = json.loads(done.stdout)["nftables"] if done.stdout.strip() else []
    return [item["table"]["name"] for item in items if "table" in item]


def _nft(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nft", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=20
    )


FAULT = Partition
