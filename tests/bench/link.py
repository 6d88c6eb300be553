# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure impaired links: how near the delay and the loss are, what others feel, how much the program stands.

By hand, on a lab that stands: `python tests/bench/link.py INVENTORY` with the collection on the path.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from ansible_collections.foundation.testbed.tests.bench.faults import standing_lab
from fault_lab import Staged, install_agent, put, stage
from support import ROOT, Lab

TRAFFIC = "/run/traffic.py"
DELAYS_MS = (5, 20, 50, 200)
RATES_PER_S = (1000, 2000, 5000, 10000, 20000)


class Bench:
    """Two nodes of a lab, and a third one whose links are not impaired."""

    def __init__(self, lab: Lab):
        self.lab, self.pool = lab, ThreadPoolExecutor(4)
        for node in ("n1", "n2", "n3"):
            install_agent(lab, node)
            put(lab, node, TRAFFIC, (ROOT / "tests" / "support" / "traffic.py").read_bytes())
        self.where = {node: lab.on(node, "hostname -I").split()[0] for node in ("n1", "n2", "n3")}

    def on(self, node: str, *arguments: object) -> Future[dict[str, Any]]:
        """Begin something on a node."""
        command = f"python3 {TRAFFIC} {' '.join(map(str, arguments))}"
        return self.pool.submit(lambda: json.loads(self.lab.on(node, command)))

    def impaired(self, seconds: float, *programs: dict[str, Any]) -> Staged:
        """Begin faults from n1 to n2; returns once they hold."""
        faults = [
            {
                "type": "link",
                "start_s": 1,
                "end_s": 1 + seconds,
                "node": {"affected": {"n2": self.where["n2"]}, "seed": 1, **program},
            }
            for program in programs
        ]
        staged = stage(self.lab, "n1", faults)
        staged.wait_for(1.3)
        return staged

    def round_trip_ms(self, count: int = 40) -> float:
        """Median round trip to n2."""
        times = self.on("n1", "pings", self.where["n2"], count, 0.05).result()["ms"]
        return statistics.median(ms for ms in times if ms is not None)

    def datagrams(self, count: int, per_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send datagrams to n2; returns what was sent and what arrived."""
        received = self.on("n2", "receive", 7001, round(count / per_s + 3, 1))
        self.lab.on("n2", "until ss -uln | grep -q :7001; do sleep 0.05; done")
        sent = self.on("n1", "send", self.where["n2"], 7001, count, per_s).result()
        return sent, received.result()


def delays(bench: Bench) -> None:
    """Delay asked and measured by pings, alone and of two overlapping faults."""
    base_ms = bench.round_trip_ms()
    for asked_ms in DELAYS_MS:
        staged = bench.impaired(8, {"delay": asked_ms / 1000})
        print(f"delay {asked_ms} ms: {bench.round_trip_ms(20) - base_ms:.2f} ms by ping", flush=True)
        staged.finish()
    staged = bench.impaired(6, {"delay": 0.02}, {"delay": 0.03})
    print(f"delays 20 ms and 30 ms at once: {bench.round_trip_ms(20) - base_ms:.2f} ms", flush=True)
    staged.finish()


def losses(bench: Bench, count: int = 4000, share: float = 0.2) -> None:
    """Loss asked and measured over datagrams, with its 99 % binomial interval."""
    staged = bench.impaired(13, {"loss": share * 100})
    lost = count - len(bench.datagrams(count, 500)[1]["arrivals"])
    slack = 2.576 * math.sqrt(count * share * (1 - share))
    low, high = (count * share - slack) / count, (count * share + slack) / count
    print(f"loss {share:.0%}: {lost / count:.2%} of {count} (99 %: {low:.2%} to {high:.2%})", flush=True)
    staged.finish()


def others(bench: Bench, tries: int = 5) -> None:
    """TCP throughput to n3 while the link to n2 is not, then is impaired, in turns; medians."""
    sink = bench.on("n3", "sink", 7004, 45)
    bench.lab.on("n3", "until ss -tln | grep -q :7004; do sleep 0.05; done")

    def speed() -> float:
        return float(bench.on("n1", "flood", bench.where["n3"], 7004, 1.0).result()["bytes_per_s"]) * 8 / 1e9

    before = [speed() for _ in range(tries)]
    staged = bench.impaired(10, {"delay": 0.05, "loss": 5})
    meanwhile = [speed() for _ in range(tries)]
    staged.finish()
    after = [speed() for _ in range(tries)]
    around, within = statistics.median(before + after), statistics.median(meanwhile)
    print(
        f"TCP to an unaffected peer: {around:.2f} Gbit/s before and after, {within:.2f} meanwhile "
        f"({within / around:.0%})",
        flush=True,
    )
    sink.result()


def affected(bench: Bench) -> None:
    """What one TCP connection gets through a delay: held packets count against the sender's buffers."""
    for asked_ms in (5, 50):
        sink = bench.on("n2", "sink", 7005, 9)
        bench.lab.on("n2", "until ss -tln | grep -q :7005; do sleep 0.05; done")
        staged = bench.impaired(5, {"delay": asked_ms / 1000})
        sent = bench.on("n1", "flood", bench.where["n2"], 7005, 3.5, 400000).result()
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
        sent, received = bench.datagrams(int(per_s * 3), per_s)
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
