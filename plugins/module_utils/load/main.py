# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run one generator's load program from the start instant to the summary, needing nobody."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Union

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.load import schedule
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client, numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.engine import Engine
from ansible_collections.foundation.testbed.plugins.module_utils.load.final import NOTHING, FinalRead
from ansible_collections.foundation.testbed.plugins.module_utils.load.pacing import wall_to_mono_ns
from ansible_collections.foundation.testbed.plugins.module_utils.load.recorder import Recorder, Tally, summary
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads import WORKLOADS

Adapter = Union[str, Path, ModuleType]
FINISHED, STOPPED = 0, 1


def run_load(
    program: dict[str, Any], start_wall_ns: int, out_dir: str, adapter: Optional[Adapter] = None
) -> int:
    """Run a load program; return 0 when it came to its end, 1 when SIGTERM or SIGINT ended it.

    `adapter` is the system's client module or its path; without it the program's own `adapter` path serves.
    """
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    recorder = Recorder(out_dir, program["generator"], start_wall_ns)
    try:
        if program["rate_per_s"] <= 0:
            _write_summary(Path(out_dir), program, Tally(), 0.0, dict(NOTHING), True)
            return FINISHED
        _take_all_open_files()
        run = _Run(program, start_wall_ns, Path(out_dir), recorder, adapter)
        if hasattr(run.module, "event_loop_policy"):
            asyncio.set_event_loop_policy(run.module.event_loop_policy())
        return asyncio.run(run.go())
    finally:
        recorder.close()


def _take_all_open_files() -> None:
    """Lift the soft limit of connections: one that it forbids would look like a node out of reach."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _write_summary(
    out: Path, program: dict[str, Any], tally: Tally, cpu_s: float, final: dict[str, Any], finished: bool
) -> None:
    generator, scheduled = program["generator"], schedule.count(program)
    said = summary(generator, scheduled, tally, cpu_s, final, finished)
    write_json(out / f"load.{generator}.json", said)


class _Run:
    """The phases of one run: waiting, main, final, done; or stopped."""

    def __init__(
        self,
        program: dict[str, Any],
        start_wall_ns: int,
        out: Path,
        recorder: Recorder,
        adapter: Optional[Adapter],
    ) -> None:
        self.program, self.out, self.recorder = program, out, recorder
        self.module = load_client(adapter if adapter is not None else program["adapter"])
        workload = WORKLOADS.get(program["workload"])
        if workload is None:
            raise ValueError(f"no workload {program['workload']!r}; there are {sorted(WORKLOADS)}")
        self.workload = workload(program["mix"], *numbering(program))
        self.start_mono_ns = wall_to_mono_ns(start_wall_ns)
        self.phase, self.final = "waiting", dict(NOTHING)

    async def go(self) -> int:
        """Run all phases."""
        cpu_0 = time.process_time()
        self.engine = Engine(self.program, self.module, self.workload, self.recorder, self.start_mono_ns)
        work = asyncio.ensure_future(self._work())
        _on_signals(work.cancel)
        ticker = asyncio.ensure_future(self._tick_each_second())
        gc.freeze()  # what lives as long as the run is never scanned in mid-run
        finished = await self._ended(work)
        ticker.cancel()
        self.recorder.flush()
        cpu_s = time.process_time() - cpu_0
        _write_summary(self.out, self.program, self.engine.tally, cpu_s, self.final, finished)
        self._progress(0)
        await self.engine.close()
        return FINISHED if finished else STOPPED

    async def _work(self) -> None:
        await self.engine.run(schedule.operations(self.program))
        self.phase = "final"
        self.final = await FinalRead(self.engine, schedule.count(self.program)).run()

    async def _ended(self, work: asyncio.Task[None]) -> bool:
        try:
            await work
            self.phase = "done"
            return True
        except asyncio.CancelledError:
            self.phase = "stopped"
            self.engine.abandon()
            return False

    async def _tick_each_second(self) -> None:
        answered = 0
        while True:
            if self.phase == "waiting" and self.engine.now_ns() >= 0:
                self.phase = "main"
            self._progress(self.engine.tally.answered - answered)
            answered = self.engine.tally.answered
            self.engine.expire()
            await asyncio.sleep(1.0 - time.monotonic_ns() % schedule.NS / schedule.NS)

    def _progress(self, ops_per_s: int) -> None:
        tally = self.engine.tally
        progress = {
            "t_s": round(self.engine.now_ns() / schedule.NS, 3),
            "duration_s": self.program["duration_s"],
            "sent": tally.sent,
            "answered": tally.answered,
            "ok": tally.ok,
            "fail": tally.fail,
            "indeterminate": tally.info,
            "dropped": tally.dropped,
            "ops_per_s": ops_per_s,
            "in_flight": len(self.engine.flights),
            "phase": self.phase,
            "nodes": tally.nodes,
        }
        write_json(self.out / "progress.json", progress)


def _on_signals(stop: Any) -> None:
    """End cleanly on SIGTERM and SIGINT, where this thread may handle signals."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, stop)


def main(arguments: list[str]) -> int:
    """Run `program.json start_wall_ns out_dir adapter.py`."""
    program, start_wall_ns, out_dir, adapter = arguments
    return run_load(json.loads(Path(program).read_text("utf-8")), int(start_wall_ns), out_dir, adapter)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
