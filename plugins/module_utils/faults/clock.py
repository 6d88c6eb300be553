# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clock: the wall clock is stepped, runs too fast or too slow, or jumps to and fro.

The clock is right by the kernel's boot clock, which no step moves: wall time at the begin plus what has
passed since. Each fault adds an offset of its own, so they overlap and end in any order. Running fast or slow
is many small steps of the wall clock: the kernel's own way (adjtimex) would bend the monotonic clock as well,
by which this run is timed. Daemons that keep the clock right are stopped meanwhile. A reboot ends it: the
clock is then what the hardware clock says.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts, service_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import (
    read_all,
    read_json,
    write_json,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import STATE
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    parse_duration,
    parse_offset,
    parse_speed,
)

TRACE_PREFIX = "foundation_testbed_clock_"
FOLDER = Path("/run/foundation-testbed/clock")
BASE = FOLDER / "base.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SHARED = "this provider's nodes share the host's clock"
CAP_SYS_TIME = 25
# Daemons that would set the clock right.
KEEPERS = (
    *("chrony.service", "chronyd.service", "ntp.service", "ntpd.service", "ntpsec.service"),
    *("openntpd.service", "systemd-timesyncd.service"),
)
# Seconds between two steps of a clock that runs fast or slow, and the shortest time between two jumps.
STEP_EVERY_S, MIN_INTERVAL_S = 0.05, 0.2
# How far a clock may be from where it was set, and how late a step may be.
TOLERANCE_NS, LATE_NS = 300_000, 150_000_000
# How near a step has to come, and how often it is tried: a thread may be held up between reading and setting.
NEAR_NS, TRIES = 100_000, 5

Record = Mapping[str, Any]


def own_offset_ns(record: Record, boot_ns: int) -> int:
    """Return how far one fault puts the clock off at an instant of the boot clock. Pure."""
    passed_ns = max(0, boot_ns - int(record["since_boot_ns"]))
    if record["action"] == "skew":
        return round((float(record["rate"]) - 1) * passed_ns)
    if record["action"] == "strobe" and passed_ns // _interval_ns(record) % 2:
        return 0
    return round(float(record["offset_s"]) * 1e9)


def _interval_ns(record: Record) -> int:
    return round(float(record["interval_s"]) * 1e9)


def offset_ns(records: Iterable[Record], boot_ns: int) -> int:
    """Return how far all faults together put the clock off. Pure."""
    return sum(own_offset_ns(record, boot_ns) for record in records)


def right_wall_ns(base: Record, boot_ns: int) -> int:
    """Return what the wall clock would be without any fault. Pure."""
    return int(base["wall_ns"]) + boot_ns - int(base["boot_ns"])


def next_change_s(record: Record, boot_ns: int) -> Optional[float]:
    """Return seconds until a fault puts the clock off otherwise; None where it never does. Pure."""
    if record["action"] == "step":
        return None
    if record["action"] == "skew":
        return STEP_EVERY_S
    interval_ns = _interval_ns(record)
    return (interval_ns - (boot_ns - int(record["since_boot_ns"])) % interval_ns) / 1e9


def told_ns(record: Record, boot_ns: int) -> list[tuple[int, int]]:
    """Return the ranges in which one fault's own offset may lie, as its steps may be a moment late. Pure."""
    late, now = own_offset_ns(record, boot_ns - LATE_NS), own_offset_ns(record, boot_ns)
    if record["action"] == "skew":
        return [(min(late, now), max(late, now))]
    return [(one, one) for one in {late, now}]


def matches(records: Sequence[Record], boot_ns: int, measured_ns: int) -> bool:
    """Whether a measured offset is what all faults together say. Pure."""
    for ranges in itertools.product(*(told_ns(record, boot_ns) for record in records)):
        low, high = sum(one[0] for one in ranges), sum(one[1] for one in ranges)
        if low - TOLERANCE_NS <= measured_ns <= high + TOLERANCE_NS:
            return True
    return False


def both_clocks() -> tuple[int, int]:
    """Return the boot clock and the wall clock, read at the same instant as nearly as can be."""
    best = None
    for _ in range(7):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2, wall)
    assert best is not None
    return best[1], best[2]


def new_base() -> dict[str, Any]:
    """Return how this node tells the right time: a pair of clocks, and the boot to which it belongs."""
    boot_ns, wall_ns = both_clocks()
    return {"boot_ns": boot_ns, "wall_ns": wall_ns, "boot_id": BOOT_ID.read_text(encoding="utf-8").strip()}


class Clock(Fault):
    """The wall clock of this node. Program: `action`, and `offset_s`, `interval_s` or `rate`."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(
            choice("step", "skew", "strobe"), "step once, run fast or slow, jump to and fro", required=True
        ),
        "offset": Parameter(parse_offset, "step, strobe: how far, such as -30s or +250ms"),
        "rate": Parameter(parse_speed, "skew: how fast it runs, such as 1.05 or -200ppm"),
        "interval": Parameter(parse_duration, "strobe: time between two jumps; 1s if not given"),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "clock: step",
            "action: step, offset: -30s",
            "clock_settime; daemons that keep the time are stopped meanwhile",
            "offset of the wall clock, measured against the boot clock",
            {"container": SHARED},
        ),
        Row(
            "clock: runs fast or slow",
            "action: skew, rate: 1.05",
            "the same, in steps every 50 ms",
            "the same, and the rate so measured",
            {"container": SHARED},
        ),
        Row(
            "clock: jumps to and fro",
            "action: strobe, offset: +2s, interval: 500ms",
            "the same, at each interval",
            "the same, at both places",
            {"container": SHARED},
        ),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        name = re.sub(r"[^a-z0-9_]", "_", f"{context.run}_{context.fault_id}".lower())
        self.trace = TRACE_PREFIX + name
        self.base: Optional[dict[str, Any]] = None
        self.counts = {"looked": 0, "as_told": 0, "off": 0, "right": 0}
        self.measured: list[tuple[int, int]] = []

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Each action has its own parameters."""
        action = params["action"]
        needs = {"step": ["offset"], "skew": ["rate"], "strobe": ["offset"]}[action]
        may = [*needs, "interval"] if action == "strobe" else needs
        for key in needs:
            if key not in params:
                yield f"{key}: is required but missing for {action}"
        for key in ("offset", "rate", "interval"):
            if key in params and key not in may:
                yield f"{key}: given for {action}; allowed: {', '.join(may)}"
        if action == "strobe" and params.get("interval", 1.0) < MIN_INTERVAL_S:
            yield f"interval: given {params['interval']:g}s; allowed: at least {MIN_INTERVAL_S:g}s"

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node does the same."""
        program = {"action": params["action"]}
        if params["action"] == "skew":
            program["rate"] = params["rate"]
        else:
            program["offset_s"] = params["offset"]
        if params["action"] == "strobe":
            program["interval_s"] = params.get("interval", 1.0)
        return dict.fromkeys(targets.chosen, program)

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Whether this node has a clock of its own, which nobody shares."""
        if _in_container() or not may_set_clock(Path("/proc/self/status").read_text(encoding="utf-8")):
            return [SHARED]
        if any((STATE / "labs").glob("*")):
            return ["this host runs a lab, whose nodes share its clock"]
        return []

    @property
    def evidence_kind(self) -> str:
        """A rate is measured from the beginning; a step or a jump is seen at once."""
        return "sum" if self.program["action"] == "skew" else "seen"

    def undo(self) -> dict[str, Any]:
        """The pair of clocks that tells the right time, and the boot to which it belongs."""
        if self.base is None:
            self.base = _base()
        if self.base is None:
            running = [unit.name for unit in service_units.show(KEEPERS) if unit.up]
            self.base = {**new_base(), "paused": running}
        return {"trace": self.trace, "base": self.base}

    def apply(self) -> None:
        """Stop the daemons, put the clock off, and keep it moving where it moves."""
        base = self.undo()["base"]
        with mounts.alone_in(FOLDER):
            if _base() is None:
                write_json(BASE, base)
                if base["paused"]:
                    service_units.systemctl("stop", "--", *base["paused"])
            record = {**self.program, "trace": self.trace, "since_boot_ns": both_clocks()[0]}
            write_json(_record(self.trace), record)
            _set_clock()
        if next_change_s(record, both_clocks()[0]) is not None:
            threading.Thread(target=_keep_moving, args=(record,), daemon=True).start()

    def observe(self) -> None:
        """Measure how far off this fault puts the clock."""
        found = self._measure()
        if found is None:
            return
        boot_ns, own_ns, as_told = found
        self.measured.append((boot_ns, own_ns))
        self.counts["looked"] += 1
        self.counts["as_told"] += as_told
        self.counts["right" if abs(own_ns) <= abs(self._furthest_ns() / 2) else "off"] += 1

    def _furthest_ns(self) -> float:
        return float(self.program.get("offset_s", 0.0)) * 1e9

    def _measure(self) -> Optional[tuple[int, int, bool]]:
        """Return an instant of the boot clock, the offset of this fault alone, and whether all is as told."""
        with mounts.alone_in(FOLDER):
            base, records = _base(), _records()
            boot_ns, wall_ns = both_clocks()
        others = [record for record in records if record["trace"] != self.trace]
        if base is None or len(others) == len(records):
            return None
        measured_ns = wall_ns - right_wall_ns(base, boot_ns)
        as_told = matches(records, boot_ns, measured_ns)
        return boot_ns, measured_ns - offset_ns(others, boot_ns), as_told

    def evidence(self) -> dict[str, Any]:
        """Whether the clock is off as told right now, and what was measured so far."""
        found = self._measure()
        effective = self.counts["as_told"] > 0 and self.counts["off"] > 0
        if self.program["action"] == "strobe":
            effective = effective and self.counts["right"] > 0
        figures = {} if found is None else {"offset_ms": round(found[1] / 1e6, 3)}
        if self.program["action"] == "skew" and len(self.measured) > 1:
            (from_ns, first_ns), (to_ns, last_ns) = self.measured[0], self.measured[-1]
            figures["rate"] = round(1 + (last_ns - first_ns) / (to_ns - from_ns), 6)
        return {
            "present": found is not None and found[2],
            "effective": effective,
            **figures,
            "looks": dict(self.counts),
        }

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Set the clock as it would be without this fault; after a reboot there is nothing to take back."""
        with mounts.alone_in(FOLDER):
            base = _base() or undo["base"]
            was_active = _record(undo["trace"]).exists()
            _record(undo["trace"]).unlink(missing_ok=True)
            if was_active and base.get("boot_id") == BOOT_ID.read_text(encoding="utf-8").strip():
                _set_clock(base)
            if not _records():
                service_units.start(base.get("paused", []))
                BASE.unlink(missing_ok=True)

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every fault that puts the clock off."""
        return [{"trace": record["trace"], "base": _base() or {}} for record in _records()]

    def traces(self) -> list[str]:
        """What is left of this fault."""
        return [record["trace"] for record in _records() if record["trace"] == self.trace]


def may_set_clock(status: str) -> bool:
    """Whether a process may set the clock, by what the kernel says of it (`/proc/PID/status`). Pure."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> CAP_SYS_TIME & 1)


def _in_container() -> bool:
    command = ["systemd-detect-virt", "--container", "--quiet"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def _record(trace: str) -> Path:
    return FOLDER / f"{trace}.json"


def _records() -> list[dict[str, Any]]:
    return read_all(FOLDER, f"{TRACE_PREFIX}*.json")


def _base() -> Optional[dict[str, Any]]:
    base: Optional[dict[str, Any]] = read_json(BASE)
    return base


def _set_clock(base: Optional[Record] = None) -> None:
    """Set the clock to what all faults together say; the caller is alone in the folder."""
    base = _base() or base
    if base is None:
        return
    records = _records()
    for _ in range(TRIES):
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        time.clock_settime_ns(time.CLOCK_REALTIME, right_wall_ns(base, boot_ns) + offset_ns(records, boot_ns))
        boot_ns, wall_ns = both_clocks()
        if abs(wall_ns - right_wall_ns(base, boot_ns) - offset_ns(records, boot_ns)) <= NEAR_NS:
            return


def _keep_moving(record: Record) -> None:
    """Set the clock anew whenever this fault says otherwise, until it is taken back."""
    while True:
        time.sleep(next_change_s(record, time.clock_gettime_ns(time.CLOCK_BOOTTIME)) or STEP_EVERY_S)
        with mounts.alone_in(FOLDER):
            if not _record(record["trace"]).exists():
                return
            _set_clock()


FAULT = Clock
