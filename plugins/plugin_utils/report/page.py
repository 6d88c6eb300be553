# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Assemble ``report.html``: one file that opens offline, from the records and the results of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA
from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import number, total
from ansible_collections.foundation.testbed.plugins.plugin_utils.report import charts, lanes, words
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.spacetime import diagram
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import (
    RunRecords,
    read_run,
    write_text,
)
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

MAX_ANOMALIES = 20
MAX_LEDGER_ROWS = 2000

Entry = Mapping[str, Any]


def write_report(run_dir: str | Path) -> Path:
    """Write report.html into a judged run's folder and return its path."""
    folder = Path(run_dir)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    path = folder / "report.html"
    write_text(path, render(results, read_run(folder)))
    return path


def render(results: Entry, records: RunRecords) -> str:
    """Return the page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(amount=words.amount, seconds=_seconds)
    return environment.get_template("template.html.j2").render(**_context(results, records))


def _context(results: Entry, records: RunRecords) -> dict[str, Any]:
    plan = records.plan
    timeline = _timeline(results, records)
    drawn = charts.charts(timeline) if len(timeline.columns) or timeline.health else None
    anomalies = [anomaly for check in results.get("checks") or [] for anomaly in check.get("anomalies") or []]
    return {
        "results": results, "plan": plan, "run": records.run, "scenario": plan.get("scenario") or {},
        "sentence": words.sentence(results, plan),
        "word": words.VERDICT_WORDS.get(str(results.get("verdict")), "?"),
        "criteria": [_criterion(item) for item in results.get("criteria") or []],
        "faults": [_fault(item) for item in results.get("faults") or []],
        "anomalies": [{**item, "diagram": diagram(item)} for item in anomalies[:MAX_ANOMALIES]],
        "more_anomalies": max(0, len(anomalies) - MAX_ANOMALIES),
        "ledger": ledger_rows(records.ledger)[:MAX_LEDGER_ROWS],
        "charts": drawn and {
            "library": script(drawn.library), "script": script(drawn.script),
            "divs": {name: Markup(div) for name, div in drawn.divs.items()}, "sides": drawn.side_colours,
        },
        "colours": charts.COLOURS, "lanes": _lane_rows(timeline), "load": results.get("load") or {},
        "generators": records.load, "configuration": _configuration(plan),
    }  # fmt: skip


def script(text: str) -> Markup:
    """Return JavaScript that can stand inside a script element: it cannot end the element it stands in."""
    return Markup(text.replace("</", "<\\/").replace("<!--", "<\\!--"))


def ledger_rows(ledger: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the ledger in order of time, each unbroken row of evidence summed up in one line."""
    rows: list[dict[str, Any]] = []
    open_rows: dict[tuple[Any, Any], dict[str, Any]] = {}
    for entry in sorted(ledger, key=lambda entry: number(entry.get("t_s"), 0.0)):
        key = (entry.get("node"), entry.get("fault"))
        if entry.get("event") == "evidence" and key in open_rows:
            row = open_rows[key]
            row.update(to_s=entry.get("t_s"), count=row["count"] + 1, detail=_detail(entry))
            row["absent"] = row["absent"] or entry.get("present") is False
            continue
        row = {
            "node": key[0], "fault": key[1], "event": entry.get("event"), "from_s": entry.get("t_s"),
            "to_s": None, "count": 1, "detail": _detail(entry), "absent": entry.get("present") is False,
        }  # fmt: skip
        rows.append(row)
        if entry.get("event") == "evidence":
            open_rows[key] = row
        else:
            open_rows.pop(key, None)
    return rows


def _timeline(results: Entry, records: RunRecords) -> charts.Timeline:
    plan = records.plan
    duration_s = number(plan.get("duration_s"), 0.0)
    faults = lanes.fault_spans(plan, results.get("faults") or [])
    names = lanes.node_names(plan, records.samples)
    names += sorted({span.node for span in faults} - set(names))
    return charts.Timeline(
        columns=to_columns(records.operations, plan),
        duration_s=duration_s,
        nodes=names,
        health=_known(lanes.health_spans(records.samples, duration_s), names),
        leaders=_known(lanes.leader_spans(records.samples, duration_s), names),
        faults=_known(faults, names),
    )


def _known(spans: Iterable[lanes.Span], names: Sequence[str]) -> list[lanes.Span]:
    return [span for span in spans if span.node in names]


def _lane_rows(timeline: charts.Timeline) -> list[dict[str, Any]]:
    """Return the lanes as a table, for readers without JavaScript."""
    return [
        {
            "node": node,
            "fault": _said(timeline.faults, node, ""),
            "trouble": _said([span for span in timeline.health if span.kind != "healthy"], node, "none"),
            "leader": _said(timeline.leaders, node, "never"),
        }
        for node in timeline.nodes
    ]


def _said(spans: Iterable[lanes.Span], node: str, empty: str) -> str:
    own = [span for span in spans if span.node == node]
    texts = [f"{span.label or span.kind} {span.from_s:.1f} s to {span.to_s:.1f} s" for span in own[:6]]
    return ", ".join([*texts, "…"][: 7 if len(own) > 6 else len(texts)]) or empty


def _criterion(item: Entry) -> dict[str, Any]:
    known = CRITERIA.get(str(item.get("name")))
    return {**item, "margin": words.margin(item), "definition": known.definition if known else ""}


def _fault(fault: Entry) -> dict[str, Any]:
    evidence = fault.get("evidence") or {}
    nodes = {name: {**node, "said": _said_by(node)} for name, node in (evidence.get("nodes") or {}).items()}
    return {**fault, "nodes": nodes, "idle": evidence.get("idle") or {}, "evidence": evidence}


def _said_by(node: Entry) -> str:
    """Return one node's evidence in one line."""
    parts = []
    if node.get("blocked"):
        parts.append(f"cut off from {', '.join(node['blocked'])}")
        parts.append(f"{node.get('packets')} packets dropped")
        parts.append(f"{node.get('probes_blocked')} probes blocked, {node.get('probes_passed')} passed")
    parts += _plainly(node.get("figures") or {})
    return "; ".join(parts)


def _plainly(figures: Entry) -> list[str]:
    """Return figures as people say them: names in words, mappings in brackets, what is empty left out."""
    texts = []
    for name, value in figures.items():
        if value in (None, "", [], {}):
            continue
        text = f"{value:g}" if isinstance(value, float) else f"{value}"
        if isinstance(value, Mapping):
            text = f"({', '.join(_plainly(value))})"
        elif isinstance(value, list):
            inner = (", ".join(_plainly(item)) if isinstance(item, Mapping) else f"{item}" for item in value)
            text = f"({'; '.join(inner)})"
        texts.append(f"{str(name).replace('_', ' ')} {text}")
    return texts


def _detail(entry: Entry) -> str:
    """Return what a ledger entry says beyond who, when and what, in one line."""
    known = ("node", "fault", "type", "event", "wall_ns", "mono_ns", "t_s", "packets", "probes", "present")
    parts = []
    if "packets" in entry:
        parts.append(f"packets {total(entry['packets']):g}")
    if isinstance(entry.get("probes"), Mapping):
        parts += [f"probes {name} {total(count):g}" for name, count in entry["probes"].items()]
    if "present" in entry:
        parts.append("in place" if entry["present"] else "not in place")
    rest = {name: value for name, value in entry.items() if name not in known and value not in ("", None, [])}
    parts += [f"{name} {json.dumps(value, default=str)}" for name, value in rest.items()]
    return ", ".join(parts)


def _configuration(plan: Entry) -> list[tuple[str, str]]:
    """Return what was run, as pairs of a name and a text."""
    pairs = [
        ("Duration", f"{number(plan.get('duration_s'), 0.0):g} s"),
        ("Seed", str(plan.get("seed"))),
        (
            "Nodes",
            ", ".join(
                f"{node.get('name')} {node.get('address', '')}".strip() for node in plan.get("nodes") or []
            ),
        ),
    ]
    for part in plan.get("load") or []:
        mix = ", ".join(f"{name} {share:.0%}" for name, share in (part.get("mix") or {}).items())
        clients = ", ".join(str(client.get("name")) for client in part.get("clients") or [])
        text = (
            f"{part.get('workload')} at {part.get('rate_per_s')}/s, {mix}; {part.get('keys')} keys at once; "
        )
        text += f"time-out {part.get('operation_timeout_s')} s; clients {clients}"
        pairs.append((f"Load {part.get('generator')}", text))
    for fault in plan.get("faults") or []:
        text = f"{fault.get('type')} from {fault.get('start_s')} s to {fault.get('end_s')} s, "
        text += json.dumps(fault.get("params") or {})
        pairs.append((f"Fault {fault.get('id')}", text))
    return pairs


def _seconds(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else words.NOTHING
