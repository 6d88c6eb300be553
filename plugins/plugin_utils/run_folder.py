# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a run on the controller: made when a scenario is compiled, filled as the run goes on."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import re
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_json, write_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


def run_name(scenario: str, now: datetime) -> str:
    """Name of a run: its UTC time and its scenario."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{scenario}"


def create(
    runs_dir: Path, scenario_file: Path, plan_text: str, about: dict[str, Any], name: str | None = None
) -> Path:
    """Make the folder of a new run with its scenario, its plan and `run.json`, and point `latest` to it.

    A run of a saved plan has a scenario file only where there was one beside the plan, and a name of its own.
    """
    folder = free_folder(runs_dir, run_name(name or scenario_file.stem, datetime.now(UTC)))
    if scenario_file.is_file():
        shutil.copyfile(scenario_file, folder / "scenario.yml")
    write_text(folder / "plan.json", plan_text)
    write_json(folder / "run.json", {"run": folder.name, **about, "steps": []})
    fresh = runs_dir / f".latest.{folder.name}"
    fresh.symlink_to(folder.name)
    fresh.replace(runs_dir / "latest")
    return folder


def free_folder(runs_dir: Path, name: str) -> Path:
    """Make and return the folder `name`, or `name-2`, `name-3`, … where runs began in the same second."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(folder for folder in map(runs_dir.joinpath, names) if _made(folder))


def _made(folder: Path) -> bool:
    """Make a folder; False where there is something of that name."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def all_runs(runs_dir: Path) -> set[Path]:
    """Return the folders of all runs, each by its own name; `latest` is another name of one."""
    return {path.parent.resolve() for path in runs_dir.glob("*/run.json")}


def find_run(runs_dir: Path, name: str) -> Path:
    """Return the folder of a run given by name, path or 'latest'; raises InputError with the newest names."""
    for candidate in (runs_dir / name, Path(name)):
        if (candidate / "run.json").is_file():
            return candidate.resolve()
    runs = (path.parent.name for path in runs_dir.glob("*/run.json") if not path.parent.is_symlink())
    known = sorted(runs, reverse=True)[:5]
    raise InputError([f"run: {not_allowed(name, ['latest', *known] if known else [])}"])


def update(folder: Path, **fields: Any) -> dict[str, Any]:
    """Set fields of `run.json`; returns the whole record."""
    path = folder / "run.json"
    record = {**json.loads(path.read_text(encoding="utf-8")), **fields}
    write_json(path, record)
    return dict(record)


def mark_step(folder: Path, name: str | None) -> None:
    """Note in `run.json` that a step begins now (None: none does), and so that the one before has ended."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    now_s = round(time.time() - record["began_wall_ns"] / 1e9, 3)
    steps = [{**step, "ended_s": step.get("ended_s", now_s)} for step in record["steps"]]
    update(folder, steps=[*steps, *([{"name": name, "started_s": now_s}] if name else [])])


def merge(folder: Path) -> None:
    """Put together what was collected from the hosts in `nodes/<host>/`, and remove the parts.

    Writes history.jsonl.gz, load.json, ledger.jsonl, samples.jsonl, logs/<host>/ and, where the run was
    monitored, probes.jsonl and metrics.json.
    """
    parts = sorted(path for path in (folder / "nodes").glob("*") if path.is_dir())
    with gzip.open(folder / "history.jsonl.gz", "wb", compresslevel=6) as merged:
        for path in _files(parts, "history.*.jsonl"):
            with path.open("rb") as source:
                shutil.copyfileobj(source, merged)
    write_json(folder / "load.json", _whole_objects(_files(parts, "load.*.json")))
    for name in ("ledger.jsonl", "samples.jsonl"):
        lines = [line for path in _files(parts, name) for line in _whole_lines(path)]
        write_text(folder / name, "".join(f"{line}\n" for line in sorted(lines, key=_time_of)))
    _merge_monitoring(folder, parts)
    for part in parts:
        logs = folder / "logs" / part.name
        if (part / "logs").is_dir() and not logs.exists():
            logs.parent.mkdir(exist_ok=True)
            shutil.move(part / "logs", logs)
    shutil.rmtree(folder / "nodes", ignore_errors=True)


def _merge_monitoring(folder: Path, parts: list[Path]) -> None:
    """One observer monitors a run; a host that left nothing of it has nothing to put together."""
    for path in _files(parts, "metrics.json"):
        shutil.move(path, folder / path.name)
    probes = _files(parts, "probes.jsonl")
    if probes:
        lines = [line for path in probes for line in _whole_lines(path)]
        write_text(folder / "probes.jsonl", "".join(f"{line}\n" for line in sorted(lines, key=_time_of)))


def _files(parts: Iterable[Path], pattern: str) -> list[Path]:
    return [path for part in parts for path in sorted(part.glob(pattern))]


def _whole_lines(path: Path) -> list[str]:
    """Lines of a file, less a last one that a kill cut short: it has no end of line."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.split("\n")[:-1] if line.strip()]


def _whole_objects(paths: Iterable[Path]) -> list[Any]:
    """What the files hold, less those that a kill cut short."""
    found = []
    for path in paths:
        with contextlib.suppress(ValueError):
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


def _time_of(line: str) -> float:
    match = re.search(r'"t_s": (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)', line)
    return float(match[1]) if match else 0.0
