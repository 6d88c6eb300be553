# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that presses on a node: a child of the agent that holds memory, tasks, a disk or processors.

It is told its job on standard input, says figures on standard output, and ends when told to (its input is
closed), when the agent dies, when its lease is over, or by any signal. Its children die with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits, processes

# Every process of ours has this in its environment, with the name of the fault.
MARK = "FOUNDATION_TESTBED_PRESSURE"
# Seconds between two adjustments.
ADJUST_S = 0.5
# Seconds between two looks at the processors' time; seconds of the target that are made up for later.
PACE_S, CATCH_UP_S = 0.02, 0.2
# Memory is taken in pieces of this, and looked at again after so many.
PIECE, PIECES_AT_ONCE = 2**20, 32
# What one disk worker writes over and over again, and how much at once.
FILE_BYTES, WRITE_BYTES = 16 * 2**20, 64 * 2**10
READY_S = 5.0
PR_SET_PDEATHSIG = 1
NORMAL_PRIORITY = 0


def say(**figures: Any) -> None:
    """Tell the agent, or nobody when it does not listen."""
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(figures) + "\n").encode())


class Lease:
    """Until when the program may work."""

    def __init__(self, left_s: float):
        self.end_s = time.monotonic() + left_s

    def wait(self, seconds: float) -> bool:
        """Wait; returns whether to go on: the agent lives, and the lease is not over."""
        until_s = min(time.monotonic() + seconds, self.end_s)
        ready = select.select([0], [], [], max(until_s - time.monotonic(), 0))[0]
        return not ready and time.monotonic() < self.end_s


class Memory:
    """Memory that is really there: every page has been written."""

    def __init__(self) -> None:
        self.pieces: list[mmap.mmap] = []
        self.filling = b"\x5a" * PIECE

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return len(self.pieces) * PIECE

    def take(self) -> None:
        """Take one piece more."""
        piece = mmap.mmap(-1, PIECE)
        piece.write(self.filling)
        self.pieces.append(piece)

    def to(self, target: int, used: Callable[[], int]) -> None:
        """Grow or shrink until the node uses `target` bytes, looking again and again."""
        missing = target - used()
        while missing >= PIECE:
            for _ in range(min(missing // PIECE, PIECES_AT_ONCE)):
                self.take()
            missing = target - used()
        while missing < 0 and self.pieces:
            self.pieces.pop().close()
            missing += PIECE


def hold_memory(job: Mapping[str, Any], lease: Lease) -> None:
    """Hold the node's usage of memory at the target; the first that the kernel kills."""
    _set_own("oom_score_adj", "1000")
    memory = Memory()
    memory.take()
    say(held=memory.held)  # it has begun: nodes that share processors take seconds to fill a large memory
    while True:
        memory.to(job["bytes"], lambda: own_limits.memory_used() or 0)
        say(held=memory.held)
        if not lease.wait(ADJUST_S):
            return


def lead_to_oom(job: Mapping[str, Any], lease: Lease) -> None:
    """Take memory in small pieces until the process that the kernel is to kill is gone, then give it back."""
    memory, victim = Memory(), processes.read_process(job["pid"])
    while victim is not None and processes.lives(victim) and memory.held < job["bytes"] and lease.wait(0):
        memory.take()
    say(held=memory.held)


def hold_tasks(job: Mapping[str, Any], lease: Lease) -> None:
    """Keep so few of the node's tasks free that only `left` more can begin; each of ours sleeps."""
    _set_own("oom_score_adj", "1000")
    threading.stack_size(64 * 1024)
    sleeping: list[threading.Lock] = []
    while True:
        missing = job["limit"] - job["left"] - (own_limits.pids_used() or 0)
        with contextlib.suppress(RuntimeError):  # nothing is left at all
            for _ in range(missing):
                sleeping.append(_sleeper())
        for _ in range(min(-missing, len(sleeping))):
            sleeping.pop().release()
        say(held=len(sleeping))
        if not lease.wait(ADJUST_S / 2):
            return


def _sleeper() -> threading.Lock:
    """Begin a thread that waits for a lock; returns the lock."""
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=lock.acquire, daemon=True).start()
    return lock


class Pace:
    """Says whether work is to pause, so that on the whole so many processors are used."""

    def __init__(self, processors: float):
        self.processors = processors
        self.allowed_s = 0.0

    def ahead(self, seconds: float, used_s: float) -> bool:
        """Whether too much is used, after so many seconds more in which so much more was used."""
        # What could not be used is not made up for later, but for a moment's worth.
        self.allowed_s = min(
            self.allowed_s + self.processors * seconds - used_s, self.processors * CATCH_UP_S
        )
        return self.allowed_s < 0


def load_processors(job: Mapping[str, Any], lease: Lease) -> None:
    """Run stress-ng at the priority of everybody, and stop it whenever the node uses more than the target."""
    _set_own("oom_score_adj", "1000")
    child = subprocess.Popen(
        stress_command(job["workers"], max(lease.end_s - time.monotonic(), 1)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_run_as_everybody,
    )
    say(held=job["workers"])
    pace, at_s, used_s = Pace(job["processors"]), time.monotonic(), own_limits.cpu_used_s()
    while child.poll() is None and lease.wait(PACE_S):
        now_s, now_used_s = time.monotonic(), own_limits.cpu_used_s()
        if used_s is None or now_used_s is None:  # nobody tells what the node uses: at full load
            continue
        ahead = pace.ahead(now_s - at_s, now_used_s - used_s)
        at_s, used_s = now_s, now_used_s
        os.killpg(child.pid, signal.SIGSTOP if ahead else signal.SIGCONT)
    child.kill()


def stress_command(workers: int, seconds: float) -> list[str]:
    """Return the command that keeps so many workers busy."""
    command = ["stress-ng", "--quiet", "--cpu", str(workers), "--cpu-method", "int64", "--temp-path", "/run"]
    return [*command, "--keep-name", "--no-oom-adjust", "--timeout", f"{int(seconds) + 1}s"]


def load_disk(job: Mapping[str, Any], lease: Lease) -> None:
    """Write and sync in a file without a name, in so many workers."""
    _set_own("oom_score_adj", "1000")
    os.setpriority(os.PRIO_PROCESS, 0, NORMAL_PRIORITY)
    for number in range(1, job["workers"]):
        if os.fork() == 0:
            _die_with_parent()
            _write_and_sync(number, job, lease)
            os._exit(0)
    _write_and_sync(0, job, lease)


def _write_and_sync(number: int, job: Mapping[str, Any], lease: Lease) -> None:
    """Work `share` of the time, and no faster than `rate` bytes a second; says how much it was each time."""
    draw, data = random.Random(number), os.urandom(WRITE_BYTES)
    busy_s, written, began_s, said_s = 0.0, 0, time.monotonic(), 0.0
    with tempfile.TemporaryFile(dir=job["path"]) as file:
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        pause_s = 0.0
        while number > 0 or lease.wait(pause_s):
            if number > 0:  # whoever has no ears dies with who has
                time.sleep(pause_s)
            at_s = time.monotonic()
            os.pwrite(file.fileno(), data, draw.randrange(FILE_BYTES // WRITE_BYTES) * WRITE_BYTES)
            os.fdatasync(file.fileno())
            now_s = time.monotonic()
            busy_s, written = busy_s + now_s - at_s, written + WRITE_BYTES
            if now_s - said_s > ADJUST_S / 2:
                said_s = now_s
                say(worker=number, busy_s=busy_s, written=written, seconds=now_s - began_s)
            pause_s = max(due_s(busy_s, written, job["share"], job["rate"]) - (now_s - began_s), 0.0)


def due_s(busy_s: float, written: int, share: float, rate: float) -> float:
    """Seconds since the beginning at which the next write is due: at its share, and at the rate at most."""
    return max(busy_s / share, written / rate)


def _set_own(name: str, value: str) -> None:
    with contextlib.suppress(OSError):
        Path(f"/proc/self/{name}").write_text(value, encoding="ascii")


def _run_as_everybody() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, NORMAL_PRIORITY)
    _die_with_parent()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


JOBS: Mapping[str, Callable[[Mapping[str, Any], Lease], None]] = {
    "memory": hold_memory,
    "oom": lead_to_oom,
    "pids": hold_tasks,
    "cpu": load_processors,
    "io": load_disk,
}


def main() -> None:
    """Do the job that is told on standard input."""
    job = json.loads(sys.stdin.buffer.readline())
    JOBS[job["resource"]](job, Lease(job["left_s"]))


class Child:
    """The program of one fault, as the agent holds it."""

    def __init__(self, name: str, job: Mapping[str, Any]):
        self.said: dict[int, dict[str, Any]] = {}
        self._rest = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, MARK: name, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the program has no pipes")
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        self._output = self.process.stdout
        os.set_blocking(self._output.fileno(), False)

    def await_word(self, timeout_s: float = READY_S) -> None:
        """Wait until it has said something; raises RuntimeError with its last words when it ends instead."""
        deadline = time.monotonic() + timeout_s
        while not self.listen() and time.monotonic() < deadline:
            select.select([self._output], [], [], 0.05)
            if not self.alive and not self.listen():
                error = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
                raise RuntimeError(f"the program ended: {(error.strip().splitlines() or ['no word'])[-1]}")

    def listen(self) -> dict[int, dict[str, Any]]:
        """Return the last figures of every worker."""
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._output.read(65536):
                self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            figures = json.loads(line)
            self.said[figures.pop("worker", 0)] = figures
        return self.said

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """Make an end of it, and of its pipes."""
        self.process.kill()
        self.process.wait(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def marked(name: str = "") -> dict[int, str]:
    """Processes of ours and the fault of each, of one fault or of all."""
    found = {}
    for pid in processes.everyone():
        fault = mark_in(_environment(pid))
        if fault and name in ("", fault):
            found[pid] = fault
    return found


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def mark_in(environment: bytes) -> str:
    """Name of the fault in the text of /proc/PID/environ, empty for none."""
    for part in environment.split(b"\0"):
        key, _, value = part.partition(b"=")
        if key == MARK.encode():
            return value.decode(errors="replace")
    return ""


def kill_marked(name: str, timeout_s: float = 5.0) -> None:
    """SIGKILL every process of a fault; raises RuntimeError when some outlive that."""
    deadline = time.monotonic() + timeout_s
    while left := marked(name):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes outlive SIGKILL: {sorted(left)}")
        time.sleep(0.01)


def cpu_seconds(pids: Sequence[int]) -> tuple[float, float]:
    """Seconds that processes have had a processor, and that they have waited for one."""
    had_ns = waited_ns = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            had, waited, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
            had_ns, waited_ns = had_ns + int(had), waited_ns + int(waited)
    return had_ns / 1e9, waited_ns / 1e9


if __name__ == "__main__":
    main()
