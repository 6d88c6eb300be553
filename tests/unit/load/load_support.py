# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path

FAKE = Path(__file__).with_name("load_fake_client.py")
ENDPOINTS = {"n1": "192.0.2.1", "n2": "192.0.2.2", "n3": "192.0.2.3"}


def make_program(**changes):
    """A small load on three nodes; `changes` replace its entries."""
    program = {
        "observer": "observer1",
        "generator": "observer1-0",
        "system": "fake",
        "workload": "register",
        "seed": 7,
        "rate_per_s": 100.0,
        "duration_s": 0.5,
        "operation_timeout_s": 10.0,
        "max_in_flight": 64,
        "keys": 3,
        "operations_per_key": 10,
        "mix": {"read": 0.5, "write": 0.3, "cas": 0.2},
        "final_read_timeout_s": 5.0,
        "clients": [
            {"name": "n1", "pinned": True, "endpoints": {"n1": "192.0.2.1"}, "weight": 1.0, "options": {}},
            {"name": "failover", "pinned": False, "endpoints": ENDPOINTS, "weight": 3.0, "options": {}},
        ],
    }
    return {**program, **changes}


class Records:
    """What a run left in its folder."""

    def __init__(self, out: Path, generator: str = "observer1-0") -> None:
        lines = (out / f"history.{generator}.jsonl").read_text().splitlines()
        self.header = json.loads(lines[0])
        self.events = [dict(zip(self.header["fields"], json.loads(line), strict=True)) for line in lines[1:]]
        summary = out / f"load.{generator}.json"
        self.summary = json.loads(summary.read_text()) if summary.exists() else None

    def of(self, *kinds: str, phase: str = "main") -> list[dict]:
        return [e for e in self.events if e["type"] in kinds and e["phase"] == phase]

    def open_ops(self) -> set[int]:
        ended = {e["op"] for e in self.events if e["type"] in ("ok", "fail", "info")}
        return {e["op"] for e in self.events if e["type"] == "invoke"} - ended
