# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the nodes of a synthetic run say: the ledger of their fault and the samples of their system."""

from __future__ import annotations

from typing import Any

START_WALL_NS = 1_795_475_700_000_000_000
NODES = ("n1", "n2", "n3", "n4", "n5")
MAJORITY, MINORITY = NODES[:3], NODES[3:]


def ledger(shape: Any, plan: dict[str, Any]) -> list[dict[str, Any]]:
    lines = []
    for place, node in enumerate(NODES):
        blocked = len(plan["faults"][0]["nodes"][node]["blocked"])
        lines += _node_ledger(shape, node, place, blocked)
    return lines


def _node_ledger(shape: Any, node: str, place: int, blocked: int) -> list[dict[str, Any]]:
    def line(event: str, at_s: float, **more: Any) -> dict[str, Any]:
        fault = more.pop("fault", "partition-1")
        return {
            "node": node, "fault": fault, "type": "partition" if fault else None, "event": event,
            "wall_ns": START_WALL_NS + int(at_s * 1e9), "mono_ns": 10**12 + int(at_s * 1e9),
            "t_s": round(at_s, 6), **more,
        }  # fmt: skip

    cut_s, heal_s = shape.cut_s + 0.0002 * (place + 1), shape.heal_s + 0.00025 * (place + 1)
    lines = [
        line("armed", -2.0, fault=None), line("start", 0.0, fault=None),
        line("check", -1.9, able=True, reasons=[], feels=True, lapses=True),
        line("load", -1.8, start_wall_ns=START_WALL_NS + int(shape.cut_s * 1e9),
             end_wall_ns=START_WALL_NS + int(shape.heal_s * 1e9)),
        line("apply", cut_s, felt_ns=START_WALL_NS + int(cut_s * 1e9), resolution_ms=1.0),
    ]  # fmt: skip
    probes: dict[str, int] = {}
    packets = 0
    for step in range(1, int(shape.heal_s - shape.cut_s)):
        removed = not shape.proved and node == "n4" and step >= 7
        packets = packets if removed else step * 42 * blocked
        count = step * 20 * blocked
        gone = 0 if not removed else (step - 6) * 20 * blocked
        probes = {
            "sent": count, "blocked": count - gone, "passed": gone,
            "open_sent": step * 20, "open_passed": step * 20,
        }  # fmt: skip
        lines.append(
            line("evidence", shape.cut_s + step, packets=packets, probes=dict(probes), present=not removed)
        )
    return [
        *lines,
        line("revert", heal_s, felt_ns=START_WALL_NS + int(heal_s * 1e9), resolution_ms=1.0),
        line("gone", heal_s + 0.2, traces=[], probe_passed=True),
        line("record", heal_s + 0.3, packets=packets, probes=dict(probes)),
        line("end", shape.duration_s, fault=None),
    ]  # fmt: skip


def samples(shape: Any) -> list[dict[str, Any]]:
    lines = []
    for second in range(int(shape.duration_s)):
        cut = shape.cut_s <= second < shape.heal_s + 1
        for node in NODES:
            lost = cut and node in MINORITY and shape.proved
            leader = "n5" if second < shape.cut_s + 1 else "n2"
            lines.append({
                "node": node, "t_s": float(second), "healthy": not lost,
                "leader": node == leader and not lost, "revision": None if lost else second * 100,
                "error": "no leader" if lost else None,
            })  # fmt: skip
    return lines
