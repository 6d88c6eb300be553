# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a generator leaves behind: its history, its progress once a second, its summary.

Lines gather in memory for one turn of the event loop and then go to the kernel in one unbuffered `write`.
Invocations are written before any of their operations is sent, completions in the turn in which they came:
a SIGKILL can lose the completions of one turn, which makes them indeterminate, but no invocation.
"""

from __future__ import annotations

import json
import os
from array import array
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something

FIELDS = ["type", "generator", "op", "process", "client", "f", "key", "value", "intended_ns", "time_ns"]
FIELDS += ["node", "error", "phase"]
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Recorder:
    """Writes `history.<generator>.jsonl`; refuses to overwrite one."""

    def __init__(self, out_dir: str, generator: str, start_wall_ns: int) -> None:
        path = Path(out_dir) / f"history.{generator}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._generator, self._pending = generator, []  # type: str, list[str]
        self._fd = os.open(path, flags, 0o644)
        header = {"format": 1, "generator": generator, "start_wall_ns": start_wall_ns, "fields": FIELDS}
        self._pending.append(_encode(header))
        self.flush()

    def line(
        self,
        kind: str,
        op: tuple[int, int, str, str],
        process: Optional[int],
        f: str,
        value: Any,
        time_ns: int,
        node: Optional[str],
        error: Optional[str],
        phase: str,
    ) -> None:
        """Add one event; `op` is (number, intended_ns, client, key)."""
        number, intended_ns, client, key = op
        what = (kind, self._generator, number, process, client, f, key, value)
        self._pending.append(_encode((*what, intended_ns, time_ns, node, error, phase)))

    def flush(self) -> None:
        """Hand everything to the kernel."""
        if not self._pending:
            return
        data = memoryview(("\n".join(self._pending) + "\n").encode())
        self._pending.clear()
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        os.close(self._fd)


class Tally:
    """Counts of the main phase."""

    def __init__(self) -> None:
        self.sent = self.ok = self.fail = self.info = self.dropped = self.answered = 0
        self.lateness_ns = array("q")
        self.nodes: dict[str, dict[str, int]] = {}

    def ask(self, node: Optional[str]) -> None:
        """Count an operation that goes to a node."""
        if node is not None:
            self.nodes.setdefault(node, {"asked": 0, "answered": 0})["asked"] += 1

    def send(self, late_ns: int) -> None:
        """Count an operation sent `late_ns` after its intended time."""
        self.sent += 1
        self.lateness_ns.append(late_ns)

    def complete(self, kind: str, error: Optional[str], node: Optional[str] = None) -> None:
        """Count a completion, of the node that was asked; an answer in the negative is one too."""
        self.ok += kind == "ok"
        self.fail += kind == "fail"
        self.info += kind == "info"
        answered = says_something(kind, error)
        self.answered += answered
        if answered and node in self.nodes:
            self.nodes[node]["answered"] += 1

    @property
    def indeterminate(self) -> int:
        """Operations sent whose effect is unknown, open ones included."""
        return self.sent - self.ok - self.fail


def lateness_ms(lateness_ns: array[int]) -> dict[str, float]:
    """Return p50, p99 and the maximum in ms; zeros when nothing was sent."""
    ordered = sorted(lateness_ns) or [0]
    last = len(ordered) - 1
    places = {"p50": round(last * 0.5), "p99": round(last * 0.99), "max": last}
    return {name: round(ordered[place] / 1e6, 3) for name, place in places.items()}


def summary(
    generator: str, scheduled: int, tally: Tally, cpu_s: float, final: dict[str, Any], finished: bool
) -> dict[str, Any]:
    """Return what the generator says of itself, as `load.json` wants it."""
    return {
        "generator": generator,
        "scheduled": scheduled,
        "sent": tally.sent,
        "dropped": tally.dropped,
        "ok": tally.ok,
        "fail": tally.fail,
        "indeterminate": tally.indeterminate,
        "lateness_ms": lateness_ms(tally.lateness_ns),
        "cpu_s": round(cpu_s, 3),
        "final_read": final,
        "finished": finished,
    }
