# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The processes that one fault has signalled, and what they were seen to do about it."""

from __future__ import annotations

import signal
import time
from typing import Callable

from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes
from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import Process

# How often a killed unit is looked through for what it began while it was killed.
KILL_ROUNDS = 5
# Processes that are looked after; all are counted.
REMEMBERED = 200


class Hits:
    """Signals to the processes that `targets` finds, and a record of those that were hit."""

    def __init__(self, targets: Callable[[], list[Process]]):
        self.targets = targets
        self.count = 0
        self.rounds = 0
        self.last_round_s = 0.0
        self.looks = {"all_stopped": 0, "some_running": 0}
        self.seen_stopped: dict[tuple[int, int], Process] = {}
        self._hit: dict[tuple[int, int], Process] = {}
        self._set_going: list[Process] = []

    def latest(self) -> list[Process]:
        """Return the processes that were hit; of very many, the latest."""
        return list(self._hit.values())

    def alive(self) -> int:
        """Count those of the latest that still live."""
        return sum(processes.lives(process) for process in self.latest())

    def note(self, process: Process) -> None:
        """Remember a process as hit."""
        self.count += process.key not in self._hit
        self._hit[process.key] = process
        while len(self._hit) > REMEMBERED:
            del self._hit[next(iter(self._hit))]

    def signal_all(self, number: int) -> list[Process]:
        """Signal every process once; returns those that got it."""
        reached = [process for process in self.targets() if processes.send(process, number)]
        for process in reached:
            self.note(process)
        return reached

    def kill_all(self) -> None:
        """Kill every process, and what those began while they died; not what systemd starts afterwards."""
        latest = time.clock_gettime(time.CLOCK_BOOTTIME) * processes.TICKS_PER_S + 1
        for _ in range(KILL_ROUNDS):
            doomed = [process for process in self.targets() if process.start <= latest]
            for process in doomed:
                if processes.send(process, signal.SIGKILL):
                    self.note(process)
            if not doomed:
                break
            time.sleep(0.005)
        self.rounds += 1
        self.last_round_s = time.monotonic()

    def stop_all(self) -> None:
        """Stop every process that is not stopped, and notice those that somebody has let go on."""
        running = False
        for process in self.targets():
            if process.stopped:
                self.seen_stopped[process.key] = process
                continue
            running = True
            if process.key in self.seen_stopped:
                self._set_going.append(process)
            if processes.send(process, signal.SIGSTOP):
                self.note(process)
        self.looks["some_running" if running else "all_stopped"] += 1
        self.last_round_s = time.monotonic()

    def take_set_going(self) -> list[int]:
        """Return the processes that somebody has let go on since it was last asked, as pids."""
        taken, self._set_going = self._set_going, []
        return [process.pid for process in taken]
