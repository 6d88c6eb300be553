# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the folder of a run; what is missing or broken becomes a sentence in ``problems``, no exception."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation, read_history

Entry = dict[str, Any]


@dataclass(slots=True)
class RunRecords:
    """Everything a run left, and one sentence for each record that could not be read."""

    plan: Entry = field(default_factory=dict)
    run: Entry = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    load: list[Entry] = field(default_factory=list)
    ledger: list[Entry] = field(default_factory=list)
    samples: list[Entry] = field(default_factory=list)
    metrics: Entry = field(default_factory=dict)
    probes: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def start_wall_ns(self) -> int | None:
        """The start instant of the run in wall-clock nanoseconds."""
        value = self.run.get("start_wall_ns")
        return value if isinstance(value, int) else None


def read_run(folder: Path) -> RunRecords:
    """Read all records of a run folder."""
    records = RunRecords()
    records.plan = _plan(folder, records.problems)
    records.run = _object(folder / "run.json", records.problems)
    if records.run and records.start_wall_ns is None:
        records.problems.append("run.json does not say when the run started.")
    if _has_load(records.plan):
        records.load = _list(folder / "load.json", records.problems)
        records.operations = _history(folder / "history.jsonl.gz", records.problems)
    records.ledger = _lines(folder / "ledger.jsonl", records.problems)
    records.samples = _lines(folder / "samples.jsonl", records.problems)
    records.metrics = _metrics(folder / "metrics.json", records.problems)
    if (folder / "probes.jsonl").exists():
        records.probes = _lines(folder / "probes.jsonl", records.problems)
    return records


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that a reader sees the old file or the new one, never a part."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105


def _plan(folder: Path, problems: list[str]) -> Entry:
    plan = _object(folder / "plan.json", problems)
    lists = ("nodes", "observers", "faults", "load", "criteria")
    broken = [name for name in lists if not _all_objects(plan.get(name) or [])]
    if not isinstance(plan.get("scenario") or {}, dict):
        broken.append("scenario")
    if not isinstance(plan.get("minimum_load") or {}, dict):
        broken.append("minimum_load")
    problems.extend(f"plan.json holds no usable {name!r}." for name in broken)
    return {name: value for name, value in plan.items() if name not in broken}


def _metrics(path: Path, problems: list[str]) -> Entry:
    """Return what Prometheus saw; nothing where it was not asked, and criteria that need it are unknown."""
    found = _object(path, problems) if path.exists() else {}
    if found and not _all_series(found.get("series")):
        problems.append(f"{path.name} holds no usable 'series'.")
        return {}
    return found


def _all_series(series: Any) -> bool:
    return _all_objects(series) and all(
        _all_objects(each.get("lines")) and all(_all_points(line.get("points")) for line in each["lines"])
        for each in series
    )


def _all_points(points: Any) -> bool:
    return isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and all(isinstance(part, (int, float)) for part in point)
        for point in points
    )


def _has_load(plan: Mapping[str, Any]) -> bool:
    return not plan or any(part.get("rate_per_s") for part in plan.get("load") or [])


def _object(path: Path, problems: list[str]) -> Entry:
    value = _json(path, problems)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    problems.append(f"{path.name} holds no JSON object.")
    return {}


def _list(path: Path, problems: list[str]) -> list[Entry]:
    value = _json(path, problems)
    if value is None:
        return []
    if _all_objects(value):
        return list(value)
    problems.append(f"{path.name} holds no list of JSON objects.")
    return []


def _json(path: Path, problems: list[str]) -> Any:
    text = _text(path, problems)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(f"{path.name} is not JSON: {error}.")
        return None


def _lines(path: Path, problems: list[str]) -> list[Entry]:
    text = _text(path, problems)
    entries: list[Entry] = []
    for count, line in enumerate((text or "").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            entries.append(entry)
        else:
            problems.append(f"{path.name}, line {count}, is no JSON object.")
            return entries
    return entries


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(f"{path.name} is missing.")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path.name} cannot be read: {error}.")
    return None


def _history(path: Path, problems: list[str]) -> list[Operation]:
    if not path.exists():
        problems.append(f"{path.name} is missing.")
        return []
    try:
        return read_history(path)
    except Exception as error:
        # Whatever a broken history holds, it must end in the verdict unknown and not in a traceback.
        problems.append(
            f"{path.name} cannot be read: {str(error).replace(f'{path}', path.name) or repr(error)}."
        )
        return []


def _all_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
