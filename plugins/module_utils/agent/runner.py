# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent: lives through one run on one node, on its own clock, with nobody's help."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent import (
    enrolment,
    service_units,
    system,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import TOO_LATE, RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import Lines, sync, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import TOLD_TO_STOP, Ledger
from ansible_collections.foundation.testbed.plugins.module_utils.agent.lifecycle import FaultRun
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT
from ansible_collections.foundation.testbed.plugins.module_utils.agent.undo import UndoJournal

# Faults begin and end at whole seconds; samples are taken between them, so that neither disturbs the other.
SAMPLE_OFFSET_S = 0.5
# Seconds between two times that the records are forced to the disk: a power cut loses no more of them.
SYNC_EVERY_S = 1.0
# Faults that overlap block in threads, each in its own.
THREADS = 64
# Seconds that records which a full disk keeps in memory are given at the end to reach the disk.
FLUSH_S = 10.0
# Seconds within which the agent ends once it is told to, whatever hangs: its unit takes back what it leaves.
STOP_S = 15.0
# Seconds for a load generator to end before it is killed; what lives on would hold up its unit.
STOP_LOAD_S = 3.0
# Seconds for the monitor to ask Prometheus for what it saw, once all else has ended.
STOP_MONITOR_S = 12.0
# Seconds that Python leaves one thread alone with the interpreter; the default, 5 ms, would blur every edge.
SWITCH_INTERVAL_S = 0.0005


def end_within(seconds: float) -> None:
    """End this process for certain: threads that block would keep it alive."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


class Agent:
    """One node's part of a run. `program` is what the controller staged in `program.json`.

    `resumed` says that the node has booted since: what is over stays over, the rest of the plan goes on.
    """

    def __init__(self, folder: Path, program: dict[str, Any], resumed: bool = False):
        self.folder = folder
        self.program = program
        self.resumed = resumed
        self.clock = RunClock(program["start_wall_ns"])
        self.ledger = Ledger(folder / "ledger.jsonl", program["node"], self.clock)
        self.samples = Lines(folder / "samples.jsonl")
        self.sample_every_s: float = program.get("sample_every_s", 1.0)

    async def run(self) -> int:
        """Arm, live through the plan, and say how it went; returns the exit status."""
        enrolment.require(self.program["testbed_id"])
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        faults = [
            FaultRun(self.program["run"], fault, self.clock, self.ledger, UndoJournal(), self.sample_every_s)
            for fault in self.program["faults"]
        ]
        if self.resumed:
            faults = self._after_a_boot(faults)
        elif not self._arm():
            return 1
        told = await self._live(faults)
        if told and service_units.stopping():  # the plan goes on after the boot
            self.ledger.write("stopped", reason="the node shuts down")
            self._flush()
            return 0
        if told:
            self.ledger.write("error", message=TOLD_TO_STOP)
        self.ledger.write("end")
        self._flush()
        write_json(self.folder / "done.json", {"t_s": self.clock.now_s()}, durable=True)
        return 0

    def _arm(self) -> bool:
        """Say whether this node is ready before the start instant."""
        ahead_s = -self.clock.now_s()
        if ahead_s < 0:
            self.ledger.write("error", message=TOO_LATE)
            write_json(
                self.folder / "armed.json", {"armed": False, "late_s": round(-ahead_s, 3)}, durable=True
            )
            return False
        self.ledger.write("armed")
        write_json(self.folder / "armed.json", {"armed": True, "ahead_s": round(ahead_s, 3)}, durable=True)
        return True

    def _after_a_boot(self, faults: list[FaultRun]) -> list[FaultRun]:
        """Write down which faults the boot cut short; returns those that are still to come."""
        now_s = self.clock.now_s()
        self.ledger.write("resumed")
        begun = [fault for fault in faults if fault.start_s <= now_s]
        over = self.ledger.faults_with(("gone", "idle", "error"))
        for fault in begun:
            if fault.fault_id not in over:
                fault.cut_short()
        return [fault for fault in faults if fault not in begun]

    def _flush(self) -> None:
        """Bring all records to the disk, once there is room again; raises OSError past the patience."""
        deadline = time.monotonic() + FLUSH_S
        while not (self.ledger.whole and self.samples.whole):
            try:
                self.ledger.flush()
                self.samples.flush()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.25)

    async def _live(self, faults: list[FaultRun]) -> bool:
        """Live through the plan; returns whether the agent was told to stop before its end."""
        work = [
            self._mark_start(),
            self._sample(),
            self.clock.until(self.program["duration_s"]),
            *(fault.live() for fault in faults),
            *(self._generate(load) for load in self.program["load"] if not self.resumed),
        ]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop, stop)
        stopping = asyncio.ensure_future(stop.wait())
        syncing = asyncio.ensure_future(self._sync_records())
        everything = asyncio.ensure_future(self._monitored(asyncio.gather(*work)))
        either: list[asyncio.Future[Any]] = [everything, stopping]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            everything.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await everything
        else:
            stopping.cancel()
            await everything
        syncing.cancel()
        return stop.is_set()

    @staticmethod
    def _told_to_stop(stop: asyncio.Event) -> None:
        end_within(STOP_S)
        stop.set()

    async def _mark_start(self) -> None:
        await self.clock.until(0)
        if not self.resumed:
            self.ledger.write("start")

    async def _sample(self) -> None:
        """Ask this node's own system how it is, once in each interval."""
        if not self.program["systems"]:
            return
        loop = asyncio.get_running_loop()
        at_s = max(0, self.clock.now_s() // self.sample_every_s) * self.sample_every_s + SAMPLE_OFFSET_S
        while at_s < self.program["duration_s"]:
            await self.clock.until(at_s)
            answer = await loop.run_in_executor(None, system.status, self.program["systems"][0])
            self.samples.append({"node": self.program["node"], "t_s": at_s, **answer})
            at_s = round(at_s + self.sample_every_s, 3)

    async def _sync_records(self) -> None:
        """Force what was written to the disk, again and again; a disk that refuses ends nothing."""
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            for path in (self.folder, self.ledger.path, self.samples.path):
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().run_in_executor(None, sync, path)

    async def _monitored(self, work: asyncio.Future[Any]) -> None:
        """Live through the plan with the monitor of this run, where it is this host's, beside it."""
        if "monitor" not in self.program or self.resumed:
            await work
            return
        monitor = await self._start("monitor")
        try:
            await work
        finally:
            await self._end(monitor, STOP_MONITOR_S)
        if monitor.returncode != 0:
            self.ledger.write("monitor", message=f"the monitor ended with status {monitor.returncode}")

    async def _generate(self, load: dict[str, Any]) -> None:
        """Run one load generator in a process of its own."""
        process = await self._start("load", load["generator"])
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await self._end(process, STOP_LOAD_S)
            raise
        if status != 0:
            self.ledger.write(
                "error", message=f"load generator {load['generator']} ended with status {status}"
            )

    async def _start(self, verb: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, str(AGENT), verb, str(self.folder), *arguments
        )

    @staticmethod
    async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
        """Ask a process to end, and kill it where it does not."""
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s)
        if process.returncode is None:
            process.kill()
            await process.wait()


def main(folder: str, resumed: bool = False) -> int:
    """Run the agent of the program staged in `folder`."""
    path = Path(folder)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    program = json.loads((path / "program.json").read_text(encoding="utf-8"))
    return asyncio.run(Agent(path, program, resumed).run())
