# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Assemble ``report.html``: one file that opens offline, from the records and the results of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Columns, to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number
from ansible_collections.foundation.testbed.plugins.plugin_utils.report import (
    charts,
    lanes,
    metric_charts,
    words,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.configuration import (
    configuration,
    fault_text,
    versions,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.ledger import ledger_rows
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.probes import availability
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.sentence import (
    by_weight,
    further_reasons,
    sentence,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import as_record
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.spacetime import diagram
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.topology import drawing
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import (
    RunRecords,
    read_run,
    write_json,
    write_text,
)
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

MAX_ANOMALIES = 20
MAX_LEDGER_ROWS = 2000

Entry = Mapping[str, Any]


def write_report(run_dir: str | Path, records: RunRecords | None = None) -> Path:
    """Write report.html and series.json into a judged run's folder and return the former's path.

    `records` are those of the folder where the caller has read them already.
    """
    folder = Path(run_dir)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    records = read_run(folder) if records is None else records
    columns = to_columns(records.operations, records.plan)
    path = folder / "report.html"
    write_text(path, render(results, records, columns, _scenario_text(folder)))
    write_json(folder / "series.json", as_record(columns, number(records.plan.get("duration_s"), 0.0)))
    return path


def render(results: Entry, records: RunRecords, columns: Columns | None = None, scenario: str = "") -> str:
    """Return the page as text; `scenario` is the file that the user wrote."""
    columns = to_columns(records.operations, records.plan) if columns is None else columns
    return (
        environment()
        .get_template("report.html.j2")
        .render(**_context(results, records, columns), scenario_text=scenario)
    )


def environment() -> Environment:
    """Return what renders the pages: everything is escaped, and what is missing is empty."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        amount=words.amount,
        seconds=words.seconds,
        threshold=words.threshold,
        condition=words.condition,
        held=words.held,
    )
    return made


def script(text: str) -> Markup:
    """Return JavaScript that can stand inside a script element: it cannot end the element it stands in."""
    return Markup(text.replace("</", "<\\/").replace("<!--", "<\\!--"))


def _context(results: Entry, records: RunRecords, columns: Columns) -> dict[str, Any]:
    plan = records.plan
    timeline = _timeline(results, records, columns)
    drawn = charts.charts(timeline) if timeline else None
    anomalies = by_weight(
        one for check in results.get("checks") or [] for one in check.get("anomalies") or []
    )
    ledger = ledger_rows(records.ledger)
    return {
        "results": results, "plan": plan, "run": records.run, "scenario": plan.get("scenario") or {},
        "sentence": sentence(results, plan), "reasons": further_reasons(results),
        "word": words.VERDICT_WORDS.get(str(results.get("verdict")), "?"),
        "criteria": [_criterion(item, plan) for item in results.get("criteria") or []],
        "faults": [_fault(item, plan) for item in results.get("faults") or []],
        "anomalies": [{**item, "diagram": diagram(item)} for item in anomalies[:MAX_ANOMALIES]],
        "more_anomalies": max(0, len(anomalies) - MAX_ANOMALIES),
        "ledger": ledger[:MAX_LEDGER_ROWS], "more_ledger": max(0, len(ledger) - MAX_LEDGER_ROWS),
        "charts": drawn and drawn.placed,
        "library": drawn and script(drawn.library), "script": drawn and script(drawn.script),
        "topology": drawing(plan), "lanes": _lane_rows(timeline), "load": results.get("load") or {},
        "steady": words.steady_rows(results.get("steady_state") or {}),
        "metric_problems": [*(records.metrics.get("problems") or []), *_left_out(records)],
        "generators": records.load, "configuration": configuration(plan), "versions": versions(records.run),
    }  # fmt: skip


def _left_out(records: RunRecords) -> list[str]:
    return metric_charts.left_out(records.metrics, number(records.plan.get("duration_s"), 0.0))


def _timeline(results: Entry, records: RunRecords, columns: Columns) -> charts.Timeline:
    plan = records.plan
    duration_s = number(plan.get("duration_s"), 0.0)
    every_s = number(plan.get("sample_every_s"), 1.0)
    faults = lanes.fault_spans(plan, results.get("faults") or [])
    names = lanes.node_names(plan, records.samples)
    names += sorted({span.node for span in faults} - set(names))
    return charts.Timeline(
        columns=columns,
        duration_s=duration_s,
        nodes=names,
        health=_known(lanes.health_spans(records.samples, duration_s, every_s), names),
        leaders=_known(lanes.leader_spans(records.samples, duration_s, every_s), names),
        faults=_known(faults, names),
        recoveries=lanes.recovery_spans(results.get("faults") or []),
        metrics=records.metrics,
        probes=records.probes,
        criteria=results.get("criteria") or [],
    )


def _known(spans: Iterable[lanes.Span], names: Sequence[str]) -> list[lanes.Span]:
    return [span for span in spans if span.node in names]


def _lane_rows(timeline: charts.Timeline) -> list[dict[str, Any]]:
    """Return the lanes as a table, for readers without JavaScript."""
    answered = availability(timeline.probes, timeline.duration_s)
    return [
        {
            "node": node,
            "fault": _said(timeline.faults, node, ""),
            "trouble": _said([span for span in timeline.health if span.kind != "up"], node, "none"),
            "leader": _said(timeline.leaders, node, "never"),
            "answered": ", ".join(
                f"{kind}s {words.amount(share, 'ratio')}" for kind, share in answered.get(node, {}).items()
            ),
        }
        for node in timeline.nodes
    ]


def _said(spans: Iterable[lanes.Span], node: str, empty: str) -> str:
    own = [span for span in spans if span.node == node]
    texts = [f"{span.label or span.kind} {span.from_s:.1f} s to {span.to_s:.1f} s" for span in own[:6]]
    return ", ".join([*texts, "…"][: 7 if len(own) > 6 else len(texts)]) or empty


def _criterion(item: Entry, plan: Entry) -> dict[str, Any]:
    known = CRITERIA.get(str(item.get("name")))
    queries = {one.get("name"): one.get("query") for one in plan.get("criteria") or []}
    definition = known.definition if known else queries.get(item.get("name")) or ""
    return {**item, "margin": words.margin(item), "definition": definition}


def _fault(fault: Entry, plan: Entry) -> dict[str, Any]:
    evidence = fault.get("evidence") or {}
    nodes = {name: {**node, "said": _said_by(node)} for name, node in (evidence.get("nodes") or {}).items()}
    planned = next((one for one in plan.get("faults") or [] if one.get("id") == fault.get("id")), None)
    return {
        **fault, "nodes": nodes, "idle": evidence.get("idle") or {},
        "planned": fault_text(planned) if planned else "",
    }  # fmt: skip


def _said_by(node: Entry) -> str:
    """Return one node's evidence in one line."""
    parts = []
    if node.get("blocked"):
        parts.append(f"cut off from {', '.join(node['blocked'])}")
        parts.append(f"{node.get('packets')} packets dropped")
        parts.append(f"{node.get('probes_blocked')} probes blocked, {node.get('probes_passed')} passed")
    return "; ".join([*parts, *words.plainly(node.get("figures") or {})])


def _scenario_text(folder: Path) -> str:
    try:
        return (folder / "scenario.yml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # a run that was made without compile has none, and the plan says the same
