# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure impaired links: how near the delay and the loss are, what others feel, how much the program stands.

With each backend that the nodes' kernel has. By hand, on a lab that stands: `python tests/bench/link.py
INVENTORY [PART...]` with the collection on the path.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from ansible_collections.foundation.testbed.tests.bench.faults import standing_lab
from fault_lab import Staged, install_agent, link_backends, put, stage
from support import ROOT, Lab

TRAFFIC = "/run/traffic.py"
# Between arming a node and the start: as long as a slow machine takes to begin what measures.
AHEAD_S = 5
DELAYS_MS = (5, 20, 50, 200)
RATES_PER_S = (1000, 2000, 5000, 10000, 20000)


class Bench:
    """Two nodes of a lab, and a third one whose links are not impaired."""

    def __init__(self, lab: Lab):
        self.lab, self.pool, self.backend = lab, ThreadPoolExecutor(4), ""
        for node in ("n1", "n2", "n3"):
            install_agent(lab, node)
            put(lab, node, TRAFFIC, (ROOT / "tests" / "support" / "traffic.py").read_bytes())
        self.where = {node: lab.on(node, "hostname -I").split()[0] for node in ("n1", "n2", "n3")}

    def on(self, node: str, *arguments: object, once: Staged | None = None) -> Future[dict[str, Any]]:
        """Begin something on a node, now or `once` faults hold."""
        if once is not None:
            arguments = ("at", once.at(1.3), *arguments)
        command = f"python3 {TRAFFIC} {' '.join(map(str, arguments))}"
        return self.pool.submit(lambda: json.loads(self.lab.on(node, command)))

    def impaired(self, seconds: float, *programs: dict[str, Any]) -> Staged:
        """Arm faults from n1 to n2, to begin a second after the start. The first is this backend's own."""
        faults: list[dict[str, Any]] = [
            {
                "type": "link",
                "start_s": 1,
                "end_s": 1 + seconds,
                "node": {"affected": {"n2": self.where["n2"]}, "seed": 1, **program},
            }
            for program in programs
        ]
        faults[0]["node"]["backend"] = self.backend
        return stage(self.lab, "n1", faults, AHEAD_S)

    def round_trip_ms(self, count: int = 40, once: Staged | None = None) -> float:
        """Median round trip to n2."""
        times = self.on("n1", "pings", self.where["n2"], count, 0.05, once=once).result()["ms"]
        return statistics.median(ms for ms in times if ms is not None)

    def datagrams(self, count: int, per_s: float, once: Staged) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send datagrams to n2 once faults hold; returns what was sent and what arrived."""
        received = self.on("n2", "receive", 7001, round(count / per_s + AHEAD_S + 4, 1))
        sent = self.on("n1", "send", self.where["n2"], 7001, count, per_s, once=once).result()
        return sent, received.result()


def _judged(right: bool) -> str:
    return "" if right else ": NOT as it has to be"


def delays(bench: Bench) -> None:
    """Delay asked and measured by pings, alone and of two overlapping faults."""
    base_ms = bench.round_trip_ms()
    for asked_ms in DELAYS_MS:
        staged = bench.impaired(5, {"delay": asked_ms / 1000})
        found_ms = bench.round_trip_ms(20, staged) - base_ms
        right = abs(found_ms - asked_ms) <= max(2, 0.1 * asked_ms)
        print(f"delay {asked_ms} ms: {found_ms:.2f} ms by ping{_judged(right)}", flush=True)
        staged.finish()
    staged = bench.impaired(6, {"delay": 0.02}, {"delay": 0.03})
    print(f"delays 20 ms and 30 ms at once: {bench.round_trip_ms(20, staged) - base_ms:.2f} ms", flush=True)
    staged.finish()


def losses(bench: Bench, count: int = 4000, share: float = 0.2) -> None:
    """Loss asked and measured over datagrams, with its 99 % binomial interval."""
    staged = bench.impaired(13, {"loss": share * 100})
    lost = count - len(bench.datagrams(count, 500, staged)[1]["arrivals"])
    slack = 2.576 * math.sqrt(count * share * (1 - share))
    low, high = (count * share - slack) / count, (count * share + slack) / count
    print(
        f"loss {share:.0%}: {lost / count:.2%} of {count} (99 %: {low:.2%} to {high:.2%})"
        f"{_judged(low <= lost / count <= high)}",
        flush=True,
    )
    staged.finish()


def others(bench: Bench, tries: int = 5) -> None:
    """TCP throughput to n3 while the link to n2 is not, then is impaired, in turns; medians."""
    sink = bench.on("n3", "sink", 7004, 50)
    bench.lab.on("n3", "until ss -tln | grep -q :7004; do sleep 0.05; done")

    def speeds(once: Staged | None = None) -> list[float]:
        said = bench.on("n1", "floods", bench.where["n3"], 7004, 1.0, tries, once=once).result()
        return [float(speed) * 8 / 1e9 for speed in said["bytes_per_s"]]

    before = speeds()
    staged = bench.impaired(10, {"delay": 0.05, "loss": 5})
    meanwhile = speeds(staged)
    within_it = time.time() < staged.end_s
    staged.finish()
    after = speeds()
    around, within = statistics.median(before + after), statistics.median(meanwhile)
    print(
        f"TCP to an unaffected peer: {around:.2f} Gbit/s before and after, {within:.2f} meanwhile "
        f"({within / around:.0%}){_judged(within_it and within >= 0.9 * around)}",
        flush=True,
    )
    sink.result()


def affected(bench: Bench) -> None:
    """What one TCP connection gets through a delay: held packets count against the sender's buffers."""
    for asked_ms in (5, 50):
        sink = bench.on("n2", "sink", 7005, AHEAD_S + 9)
        bench.lab.on("n2", "until ss -tln | grep -q :7005; do sleep 0.05; done")
        staged = bench.impaired(5, {"delay": asked_ms / 1000})
        sent = bench.on("n1", "flood", bench.where["n2"], 7005, 3.5, 400000, once=staged).result()
        print(
            f"one TCP connection through {asked_ms} ms: {sent['bytes_per_s'] * 8 / 1e6:.1f} Mbit/s",
            flush=True,
        )
        staged.finish()
        sink.result()


def capacity(bench: Bench) -> None:
    """How many packets a second the program stands, and how late it is then."""
    for per_s in RATES_PER_S:
        staged = bench.impaired(6, {"delay": 0.02})
        sent, received = bench.datagrams(int(per_s * 3), per_s, staged)
        (counted,) = [entry["counted"] for entry in staged.finish() if entry["event"] == "record"]
        delayed = sorted(ms for _, ms, _ in received["arrivals"])
        print(
            f"{per_s} packets/s (sent {sent['sent'] / sent['seconds']:.0f}/s): arrived {len(delayed)} of "
            f"{sent['sent']}, delay median {statistics.median(delayed):.2f} ms, p99 "
            f"{delayed[int(len(delayed) * 0.99)]:.2f} ms; held {counted.get('late_ms')} ms too long",
            flush=True,
        )


PARTS: dict[str, Callable[[Bench], None]] = {
    "delays": delays, "losses": losses, "others": others, "affected": affected, "capacity": capacity
}  # fmt: skip


def measure(lab: Lab, wanted: Iterable[str] = ()) -> None:
    """Measure the wanted parts, or all, on a lab that stands."""
    bench = Bench(lab)
    for bench.backend in link_backends(lab, "n1"):
        print(f"{bench.backend}:", flush=True)
        for name in wanted or PARTS:
            PARTS[name](bench)
    for node in bench.where:
        lab.on(node, f"rm -f {TRAFFIC}")


def main() -> None:
    """Measure everything on a lab of its own."""
    with standing_lab() as lab:
        measure(lab)


if __name__ == "__main__":
    measure(Lab(Path(sys.argv[1]), Path(tempfile.mkdtemp(prefix="testbed-bench-"))), sys.argv[2:])
