# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A suite: several scenarios, run one after the other on the same cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.importing import Importing, compiled
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import (
    ALL,
    SCENARIOS_DIR,
    Scenario,
    find_scenario,
    load_scenario,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError

# Worst first.
VERDICTS = {
    "fail": ExitStatus.VERDICT_FAIL,
    "unknown": ExitStatus.VERDICT_UNKNOWN,
    "pass": ExitStatus.PASS,
}


@dataclass
class Run:
    """What became of one scenario; `run` names its folder, where it got as far as one."""

    scenario: str
    verdict: str = "unknown"
    run: str | None = None
    exit_status: int | None = None
    wall_s: float | None = None
    reasons: list[str] = field(default_factory=list)


@dataclass
class Choice:
    """The scenarios to run, and those of `all` that are left out, each with its reason."""

    paths: list[Path]
    left_out: dict[str, str]


def choose(
    scenarios: str, cluster: ClusterView, folder: Path = SCENARIOS_DIR, how: Importing | None = None
) -> Choice:
    """Return what `all` or a list with commas stands for, every file checked against the cluster.

    Of `all`, a scenario that is written for another number of nodes, or for a system that this cluster does
    not run, is left out. Raises InputError with the mistakes of all files together.
    """
    everything = scenarios.strip() == ALL
    paths = _all(folder) if everything else _named(scenarios, folder)
    chosen = Choice([], {})
    problems: list[str] = []
    for path in paths:
        try:
            elsewhere = _for_another(load_scenario(path), cluster) if everything else ""
            if elsewhere:
                chosen.left_out[path.stem] = elsewhere
                continue
            compiled(path, cluster, how or Importing())
        except InputError as error:
            problems += error.problems
        chosen.paths.append(path)
    if not chosen.paths:
        systems = ", ".join(sorted(cluster.workloads))
        problems += [
            f"scenario: no scenario in {folder.name} is for {len(cluster.nodes)} nodes and {systems}"
        ]
    if problems:
        raise InputError(problems)
    return chosen


def _for_another(scenario: Scenario, cluster: ClusterView) -> str:
    """Return for which other cluster a scenario is written; empty when it is not."""
    if scenario.node_count not in (None, len(cluster.nodes)):
        return f"for {scenario.node_count} nodes; the cluster has {len(cluster.nodes)}"
    if scenario.system in known_systems() and scenario.system not in cluster.workloads:
        return f"for {scenario.system}; the cluster has {', '.join(sorted(cluster.workloads))}"
    return ""


def _all(folder: Path) -> list[Path]:
    paths = [path for path in sorted(folder.glob("*.yml")) if path.stem != ALL]
    if not paths:
        raise InputError([f"scenarios_dir: given {str(folder)!r}; allowed: a folder with files *.yml"])
    return paths


def _named(scenarios: str, folder: Path) -> list[Path]:
    paths: list[Path] = []
    problems: list[str] = []
    for name in scenarios.split(","):
        try:
            paths.append(find_scenario(name.strip(), folder))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return paths


def child_arguments(argv: Sequence[str], playbooks: Iterable[str], playbook: str, path: Path) -> list[str]:
    """Return the command of this process made to run one scenario: all options stay, `scenario` is another.

    `argv` is this process's own command without the interpreter, `playbooks` the playbooks in it.
    """
    known = set(playbooks)
    kept = [argument for i, argument in enumerate(argv) if i == 0 or argument not in known]
    return [*kept, playbook, "-e", json.dumps({"scenario": str(path)})]


def run_of(folder: Path, scenario: str, exit_status: int) -> Run:
    """Return what became of a scenario from the folder of its run."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Run(scenario, "unknown", folder.name, exit_status, reasons=["It was not judged."])
    verdict = results["verdict"] if results["verdict"] in VERDICTS else "unknown"
    return Run(scenario, verdict, folder.name, exit_status, about.get("wall_s"), results.get("reasons") or [])


def worst(runs: Sequence[Run]) -> str:
    """Return the worst verdict; of no run at all it is unknown."""
    return min((run.verdict for run in runs), key=list(VERDICTS).index, default="unknown")


def as_record(name: str, chosen: Choice, runs: Sequence[Run], stopped: bool) -> dict[str, Any]:
    """Return what `suite.json` holds."""
    return {
        "suite": name,
        "verdict": worst([*runs, *_not_run(chosen, runs)]),
        "stopped": stopped,
        "runs": [asdict(run) for run in [*runs, *_not_run(chosen, runs)]],
        "left_out": [{"scenario": name, "reason": reason} for name, reason in chosen.left_out.items()],
    }


def _not_run(chosen: Choice, runs: Sequence[Run]) -> list[Run]:
    return [Run(path.stem, reasons=["It was not run."]) for path in chosen.paths[len(runs) :]]


def table(record: dict[str, Any]) -> str:
    """Return the suite as a table for a terminal."""
    rows = list(_rows(record))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([f"suite {record['suite']}  verdict {record['verdict'].upper()}", *lines])


def _rows(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield "scenario", "verdict", "report, or reason"
    for run in record["runs"]:
        said = f"{run['run']}/report.html" if run["run"] else " ".join(run["reasons"])
        yield run["scenario"], run["verdict"], said
    for entry in record["left_out"]:
        yield entry["scenario"], "left out", entry["reason"]


def markdown(record: dict[str, Any]) -> str:
    """Return the suite as a page in Markdown, beside the folders of its runs."""
    lines = [
        f"# {record['suite']}: {record['verdict']}",
        "",
        "| scenario | verdict | seconds | reasons |",
        "|---|---|---|---|",
    ]
    for run in record["runs"]:
        shown = f"[{run['scenario']}](../{run['run']}/report.html)" if run["run"] else run["scenario"]
        seconds = "" if run["wall_s"] is None else f"{run['wall_s']:.0f}"
        lines.append(f"| {shown} | {run['verdict']} | {seconds} | {_cell(run['reasons'])} |")
    lines += [f"| {e['scenario']} | left out | | {e['reason']} |" for e in record["left_out"]]
    return "\n".join(lines) + "\n"


def _cell(reasons: Iterable[str]) -> str:
    return "<br>".join(reason.replace("|", "\\|").replace("\n", " ") for reason in reasons)
