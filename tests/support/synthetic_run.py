# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the folder of a run that never was: five nodes, 60 s, 200 operations/s, cut from 15 s to 35 s.

A simulated register answers, so the history is linearizable unless stale reads are asked for.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.tests.support.synthetic_ledger import (
    MAJORITY,
    MINORITY,
    NODES,
    START_WALL_NS,
    ledger,
    samples,
)

FIELDS = [
    "type", "generator", "op", "process", "client", "f", "key", "value",
    "intended_ns", "time_ns", "node", "error", "phase",
]  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What the run looks like; times in seconds."""

    seed: int = 1
    duration_s: float = 60.0
    rate_per_s: float = 200.0
    cut_s: float = 15.0
    heal_s: float = 35.0
    keys: int = 10
    stale: bool = False
    proved: bool = True
    title: str = "A majority goes on while a minority is cut off"

    def plan(self) -> dict[str, Any]:
        addresses = {name: f"10.77.0.{11 + place}" for place, name in enumerate(NODES)}
        clients = [
            {"name": name, "pinned": True, "endpoints": {name: addresses[name]}, "weight": 1.0, "options": {}}
            for name in NODES
        ]
        clients.append(
            {"name": "failover", "pinned": False, "endpoints": addresses, "weight": 5.0, "options": {}}
        )
        return {
            "format": 1,
            "scenario": {
                "name": "etcd_stale_reads" if self.stale else "etcd_majority_partition",
                "title": self.title,
                "description": "Cuts n4 and n5 off for 20 s while clients still reach every node.",
                "system": "etcd",
            },
            "seed": self.seed, "duration_s": self.duration_s, "testbed_id": "local",
            "nodes": [{"name": name, "address": address} for name, address in addresses.items()],
            "observers": [{"name": "observer1", "address": "10.77.0.2"}],
            "faults": [self.fault(addresses)],
            "load": [{
                "observer": "observer1", "generator": "observer1-0", "system": "etcd", "workload": "register",
                "seed": 1234, "rate_per_s": self.rate_per_s, "duration_s": self.duration_s,
                "operation_timeout_s": 2.0, "max_in_flight": 256,
                "keys": self.keys, "operations_per_key": 200,
                "mix": {"read": 0.5, "write": 0.3, "cas": 0.2}, "final_read_timeout_s": 30.0,
                "clients": clients,
            }],
            "criteria": [
                {"name": "system_availability", "threshold": 0.9, "comparison": ">="},
                {"name": "data_consistency", "threshold": 1.0, "comparison": ">="},
                {"name": "recovery_time", "threshold": 10.0, "comparison": "<="},
                {"name": "error_rate", "threshold": 0.3, "comparison": "<="},
                {"name": "p95_response_time", "threshold": 100.0, "comparison": "<="},
            ],
            "minimum_load": {"operations": 1000, "rate_share": 0.95},
        }  # fmt: skip

    def fault(self, addresses: dict[str, str]) -> dict[str, Any]:
        def program(name: str) -> dict[str, Any]:
            far = MINORITY if name in MAJORITY else MAJORITY
            near = [peer for peer in NODES if peer not in far and peer != name]
            return {
                "blocked": {peer: addresses[peer] for peer in far},
                "open": {peer: addresses[peer] for peer in near},
            }

        return {
            "id": "partition-1", "type": "partition", "start_s": self.cut_s, "end_s": self.heal_s,
            "targets": list(NODES),
            "params": {"groups": {"majority": list(MAJORITY), "minority": list(MINORITY)}, "clients": "stay"},
            "nodes": {name: program(name) for name in NODES},
        }  # fmt: skip


@dataclass
class Register:
    """The simulated system and its clients, one operation per call of ``ask``."""

    shape: Shape
    random: random.Random
    values: dict[str, int | None] = field(default_factory=dict)
    at_cut: dict[str, int | None] = field(default_factory=dict)
    free_s: list[float] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    next_name: int = 0
    next_value: int = 0

    def pick(self, op: int, intended_s: float) -> dict[str, Any]:
        client = self.random.choices([*NODES, "failover"], [1, 1, 1, 1, 1, 5])[0]
        node = self.random.choice(MAJORITY) if client == "failover" else client
        batch, key = divmod(op, self.shape.keys * 200)[0], op % self.shape.keys
        f = self.random.choices(["read", "write", "cas"], [0.5, 0.3, 0.2])[0]
        invoke_s = intended_s + self.random.uniform(0.00002, 0.0004)
        delay_s = self.random.lognormvariate(-5.6, 0.35)
        outcome, error = "ok", None
        cut, heal = self.shape.cut_s, self.shape.heal_s
        reads_on = self.shape.stale and f == "read"
        if cut <= intended_s < heal and node in MINORITY and not reads_on:
            outcome, error, delay_s = "info", "timeout", 2.0
        elif heal <= intended_s < heal + 0.8 and node in MINORITY:
            outcome, error = "fail", "no-leader"
        elif cut <= intended_s < cut + 0.9 and node in MAJORITY:
            delay_s += cut + 0.9 - intended_s
        return {
            "op": op, "client": client, "node": node, "f": f, "key": f"r{batch}-{key}",
            "intended_s": intended_s, "invoke_s": invoke_s, "complete_s": invoke_s + delay_s,
            "outcome": outcome, "error": error,
            "process": self.process(invoke_s, invoke_s + delay_s, outcome), "value": None, "phase": "main",
        }  # fmt: skip

    def process(self, invoke_s: float, complete_s: float, outcome: str) -> int:
        """Return a process that is free; one whose operation stays open is never used again."""
        place = next((place for place, free_s in enumerate(self.free_s) if free_s < invoke_s), None)
        if place is None:
            place = len(self.free_s)
            self.free_s.append(0.0)
            self.names.append(self.fresh())
        name = self.names[place]
        self.free_s[place] = complete_s
        if outcome == "info":
            self.names[place] = self.fresh()
        return name

    def fresh(self) -> int:
        self.next_name += 1
        return self.next_name

    def answer(self, op: dict[str, Any]) -> None:
        """Let the operation take effect now, if it does."""
        key, held = op["key"], self.values.get(op["key"])
        if op["f"] == "read":
            op["asked"] = None
            stale = self.shape.stale and op["node"] in MINORITY and self.in_cut(op)
            op["value"] = self.at_cut.get(key) if stale else held
            return
        self.next_value += 1
        fresh = self.next_value
        expected = held if held is not None and self.random.random() < 0.7 else 10**9 + fresh
        op["value"] = op["asked"] = fresh if op["f"] == "write" else [expected, fresh]
        if op["outcome"] == "ok":
            if op["f"] == "cas" and expected != held:
                op["outcome"], op["error"] = "fail", "mismatch"
            else:
                self.values[key] = fresh
        if op["intended_s"] < self.shape.cut_s:
            self.at_cut = dict(self.values)

    def in_cut(self, op: dict[str, Any]) -> bool:
        return self.shape.cut_s + 0.5 <= op["intended_s"] < self.shape.heal_s


def write_run(folder: Path, shape: Shape | None = None) -> Path:
    """Write all records of a run into ``folder`` and return it."""
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    plan = shape.plan()
    operations = simulate(shape)
    _write(folder / "plan.json", plan)
    _write(folder / "run.json", run_record(shape, plan))
    _write(folder / "load.json", [load_record(operations)])
    _write_lines(folder / "ledger.jsonl", ledger(shape, plan))
    _write_lines(folder / "samples.jsonl", samples(shape))
    write_history(folder / "history.jsonl.gz", operations)
    return folder


def simulate(shape: Shape) -> list[dict[str, Any]]:
    """Return the operations in order of their intended times, the final reads last."""
    chance = random.Random(shape.seed)
    register = Register(shape, chance)
    count = int(shape.rate_per_s * shape.duration_s)
    operations = [register.pick(op, op / shape.rate_per_s) for op in range(count)]
    for op in sorted(operations, key=lambda op: (op["invoke_s"] + op["complete_s"]) / 2):
        register.answer(op)
    names = sorted({op["key"] for op in operations})
    begin_s = shape.duration_s + 3.0
    for place, key in enumerate(names):
        at_s = begin_s + place * 0.005
        operations.append({
            "op": count + place, "client": "failover", "node": "n1", "f": "read", "key": key,
            "intended_s": at_s, "invoke_s": at_s, "complete_s": at_s + 0.004,
            "outcome": "ok", "error": None, "asked": None,
            "process": 100_000 + place, "value": register.values.get(key), "phase": "final",
        })  # fmt: skip
    return operations


def write_history(path: Path, operations: list[dict[str, Any]]) -> None:
    events: list[tuple[int, list[Any]]] = []
    for op in operations:
        for kind, value, at_s in (
            ("invoke", op["asked"], op["invoke_s"]),
            (op["outcome"], op["value"], op["complete_s"]),
        ):
            time_ns = int(at_s * 1e9)
            error = None if kind == "invoke" else op["error"]
            events.append((time_ns, [
                kind, "observer1-0", op["op"], op["process"], op["client"], op["f"], op["key"], value,
                int(op["intended_s"] * 1e9), time_ns, op["node"], error, op["phase"],
            ]))  # fmt: skip
    events.sort(key=lambda event: event[0])
    header = {"format": 1, "generator": "observer1-0", "start_wall_ns": START_WALL_NS, "fields": FIELDS}
    with gzip.open(path, "wt", compresslevel=3) as stream:
        stream.write(json.dumps(header) + "\n")
        stream.writelines(json.dumps(event) + "\n" for _, event in events)


def load_record(operations: list[dict[str, Any]]) -> dict[str, Any]:
    main = [op for op in operations if op["phase"] == "main"]
    keys = len(operations) - len(main)
    counts = {name: sum(op["outcome"] == name for op in main) for name in ("ok", "fail", "info")}
    return {
        "generator": "observer1-0", "scheduled": len(main), "sent": len(main), "dropped": 0,
        "ok": counts["ok"], "fail": counts["fail"], "indeterminate": counts["info"],
        "lateness_ms": {"p50": 0.1, "p99": 0.4, "max": 2.1}, "cpu_s": 7.2,
        "final_read": {"keys": keys, "read": keys, "unread": []}, "finished": True,
    }  # fmt: skip


def run_record(shape: Shape, plan: dict[str, Any]) -> dict[str, Any]:
    name = plan["scenario"]["name"]
    return {
        "run": f"20261123T231500Z-{name}", "scenario": name, "seed": shape.seed,
        "start_wall_ns": START_WALL_NS,
        "started_at": "2026-11-23T23:15:00+00:00", "provider": "container",
        "command": f"ansible-playbook -i inventories/local playbooks/run.yml -e scenario={name}",
        "versions": {"ansible": "2.19.14", "python": "3.11.2", "system": dict.fromkeys(NODES, "3.4.23")},
        "clock_offset_ms": dict.fromkeys(NODES, 0.01),
        "steps": [
            {"name": "verify", "started_s": 0.0, "ended_s": 2.1},
            {"name": "stage", "started_s": 2.1, "ended_s": 4.8},
            {"name": "run", "started_s": 4.8, "ended_s": 69.0},
            {"name": "collect", "started_s": 69.0, "ended_s": 72.4},
        ],
        "wall_s": shape.duration_s + 14.2,
    }  # fmt: skip


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
