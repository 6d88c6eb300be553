# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watching a run: what is shown of it, and whether it is to end before its time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.foundation.testbed.plugins.plugin_utils import live_view
from ansible_collections.foundation.testbed.plugins.plugin_utils.abort import abort_reason, combined
from ansible_collections.foundation.testbed.plugins.plugin_utils.main_process import terminal_size
from ansible_collections.foundation.testbed.plugins.plugin_utils.progress import end_words, progress_line
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json

# Seconds after the time for the final read at which one no longer waits for an observer.
PATIENCE_S = 30.0


class Output(Protocol):
    """The part of Ansible's display that is used."""

    verbosity: int

    def display(self, msg: str, *, screen_only: bool = ..., newline: bool = ...) -> None:
        """Show a text."""


def give_up_s(plan: Mapping[str, Any]) -> float:
    """Return when, from the start instant, one no longer waits for the end of the load."""
    final_read_s = max([part["final_read_timeout_s"] for part in plan["load"]], default=0.0)
    return float(plan["duration_s"] + final_read_s + PATIENCE_S)


class Board:
    """What each observer's worker has heard, in the run's folder, where the others read it."""

    def __init__(self, folder: Path):
        self.folder = folder / "nodes"

    def post(self, observer: str, done: bool, generators: list[dict[str, Any]]) -> None:
        """Write down what was heard; where nothing was, the last that was stands."""
        path = self.folder / observer / "watched.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if done or generators or not path.exists():
            write_json(path, {"done": done, "generators": generators})

    def read(self, observers: Sequence[str]) -> tuple[bool, list[dict[str, Any]]]:
        """Return whether all have come to their end, and what all generators said last."""
        paths = [self.folder / observer / "watched.json" for observer in observers]
        known = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
        generators = [part for entry in known for part in entry["generators"]]
        return len(known) == len(paths) and all(entry["done"] for entry in known), generators


class Watch:
    """Shows what was heard, and judges whether the run is to go on."""

    def __init__(
        self,
        plan: Mapping[str, Any],
        interval_s: float,
        output: Output,
        size: Callable[[], tuple[int, int] | None] = terminal_size,
    ):
        self.plan, self.interval_s, self.output, self.size = plan, interval_s, output, size
        self.samples: list[dict[str, Any]] = []
        self._drawn, self._next_line_s = 0, float("-inf")

    def look(
        self, now_s: float, generators: Sequence[Mapping[str, Any]], interrupted: bool
    ) -> dict[str, Any] | None:
        """Take in one look; returns why the run is to end now, None when it goes on."""
        newest = combined(generators) if generators else None
        if newest and newest["phase"] in ("main", "final") and newest["t_s"] > self._heard_s():
            self.samples.append(newest)
        if interrupted:
            reason = f"The run was interrupted by the user {end_words(self.plan, now_s)}."
            return {"by": "user", "at_s": round(now_s, 3), "reason": reason}
        self._show(now_s, newest)
        return self._own_condition(now_s)

    def _own_condition(self, now_s: float) -> dict[str, Any] | None:
        main = [sample for sample in self.samples if sample["phase"] == "main"]
        broken = abort_reason(self.plan.get("abort_conditions") or [], main)
        if broken is None or now_s > self.plan["duration_s"]:
            return None
        reason = f"The run was aborted by its own condition {end_words(self.plan, now_s)}: {broken}."
        self.output.display(
            f"\n{reason} The nodes are healed now, then what there is is collected and judged."
        )
        return {"by": "condition", "at_s": round(now_s, 3), "reason": reason}

    def _heard_s(self) -> float:
        return float(self.samples[-1]["t_s"]) if self.samples else 0.0

    def _show(self, now_s: float, newest: Mapping[str, Any] | None) -> None:
        size = None if self.output.verbosity > 2 else self.size()  # from -vvv on, each ssh call prints too
        if size is None:
            if now_s >= self._next_line_s:
                self.output.display(f"  {progress_line(self.plan, now_s, newest)}")
                self._next_line_s, self._drawn = now_s + self.interval_s - 0.5, 0
            return
        columns, height = size
        lines = live_view.fitting(live_view.rows(self.plan, now_s, self.samples, columns), height)
        frame = live_view.drawn(lines, columns - 1)
        self.output.display(live_view.over(self._drawn, frame), screen_only=True, newline=False)
        self._drawn = len(lines)
