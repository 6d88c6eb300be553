# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge a run from its records: ``decide`` is the pure core, ``judge`` reads and writes the run's folder.

Verdicts are ordered fail > unknown > pass. A run passes only when every criterion, check and fault
proof is in order and nothing is missing; whatever is not gives one sentence in ``reasons``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.ledger import TOLD_TO_STOP
from ansible_collections.foundation.testbed.plugins.plugin_utils import criteria, measures, steady_state
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.auctions import check_winner
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.consensus import check_consensus
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.event_delivery import (
    check_event_delivery,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import (
    check_linearizable_bounded,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.models import RegistryModel
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.money import check_money
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import failover_clients, to_columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.cut_members import (
    applied_by,
    without_majority,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import fault_results
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number
from ansible_collections.foundation.testbed.plugins.plugin_utils.load_proof import (
    fault_load_problems,
    load_figures,
    load_problems,
    overloaded,
    shortened,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.measured import switched_off
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import (
    RunRecords,
    read_run,
    write_json,
)

Record = dict[str, Any]
Check = Callable[[Sequence[Operation], int], Mapping[str, Any]]
"""From operations, and the error in ns between their generators' clocks, to a check's record."""
Checks = Check | tuple[Check, ...]
"""What a workload is checked by."""

SEVERITY = ("pass", "unknown", "fail")


@dataclass(frozen=True, slots=True)
class Results:
    """The judgement of one run; ``as_record`` is results.json."""

    run: str
    scenario: str
    seed: int | None
    verdict: str
    reasons: list[str]
    criteria: list[Record]
    checks: list[Record]
    faults: list[Record]
    recovery_s: float | None
    load: Record
    overhead_s: float | None
    aborted: str | None = None
    steady_state: Record = field(default_factory=dict)

    def as_record(self) -> Record:
        """Return the content of results.json."""
        return asdict(self)


def worst(verdicts: Iterable[str]) -> str:
    """Return the weightiest verdict, fail > unknown > pass; without any verdict, unknown."""
    found = [verdict if verdict in SEVERITY else "unknown" for verdict in verdicts]
    return max(found, key=SEVERITY.index, default="unknown")


def judge(
    run_dir: str | Path, *, preflight: Sequence[str] = (), checkers: Mapping[str, Checks] | None = None
) -> Results:
    """Judge the run in ``run_dir``, write its results.json, and return the results.

    ``preflight`` holds the reasons why the run was never started; ``checkers`` replaces CHECKERS.
    """
    return judge_records(run_dir, preflight=preflight, checkers=checkers)[0]


def judge_records(
    run_dir: str | Path, *, preflight: Sequence[str] = (), checkers: Mapping[str, Checks] | None = None
) -> tuple[Results, RunRecords]:
    """Do as ``judge``, and return the records as well: of a long run they take long to read."""
    folder = Path(run_dir)
    records = RunRecords() if preflight else read_run(folder)
    if preflight:
        started = read_run(folder)
        records.plan, records.run = started.plan, started.run
    checks = [] if preflight else run_checks(records, CHECKERS if checkers is None else checkers)
    results = _decided(records, checks, preflight, folder.resolve().name)
    write_json(folder / "results.json", results.as_record())
    return results, records


def _decided(
    records: RunRecords, checks: Sequence[Mapping[str, Any]], preflight: Sequence[str], name: str
) -> Results:
    """Decide; records of a shape that nobody foresaw are unknown, not a traceback."""
    try:
        return decide(records, checks, preflight=preflight, name=name)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"The records cannot be judged: {type(error).__name__}: {error}."
        return decide(RunRecords(problems=[*records.problems, reason]), [], name=name)


def decide(
    records: RunRecords, checks: Sequence[Mapping[str, Any]], *, preflight: Sequence[str] = (), name: str = ""
) -> Results:
    """Turn the records of a run and the checkers' answers into its results; pure."""
    plan, run = records.plan, records.run
    columns = to_columns(records.operations, plan)
    faults = [] if preflight else fault_results(plan, records.ledger, records.start_wall_ns)
    duration_s = number(plan.get("duration_s"), 0.0)
    members = list((plan.get("monitor") or {}).get("endpoints") or {})
    applied = applied_by(records.ledger)
    evidence = measures.Evidence(
        columns,
        duration_s,
        failover_clients(plan),
        faults,
        checks,
        series=records.metrics.get("series") or [],
        metrics_problems=[str(problem) for problem in records.metrics.get("problems") or []],
        system_nodes=members,
        down=switched_off(plan, faults),
        samples=records.samples,
        cut_members={
            str(fault.get("id")): without_majority(fault, members, applied.get(str(fault.get("id")), ()))
            for fault in plan.get("faults") or []
        },
        incomplete=shortened(plan, records.load),
        overloaded=bool(overloaded(plan, records.load)),
    )
    for fault in faults:
        fault["recovery_s"] = measures.fault_recovery(evidence, fault).value
    judged = [criteria.evaluate(wanted, evidence) for wanted in plan.get("criteria") or []]
    aborted = (run.get("stopped") or {}).get("reason")
    if aborted:
        judged = [_cut_short(item) for item in judged]
    problems = list(preflight) or _problems(records, evidence, aborted)
    after = steady_state.after_verdicts(plan, run) if not (preflight or aborted) else []
    if not judged and not checks:
        problems.append("Nothing was judged: the plan has no criterion and no check.")
    verdicts = [str(item.get("verdict")) for item in (*judged, *checks)]
    verdicts += ["pass" if fault["proved"] else "unknown" for fault in faults]
    verdicts += [str(item["verdict"]) for item in after]
    return Results(
        run=str(run.get("run") or name),
        scenario=str((plan.get("scenario") or {}).get("name") or run.get("scenario") or ""),
        seed=plan.get("seed"),
        verdict=worst([*verdicts, *(["unknown"] * len(problems))]),
        reasons=_reasons([*judged, *after], checks, faults, problems, bool(preflight or aborted)),
        criteria=judged,
        checks=[_with_faults(check, faults) for check in checks],
        faults=faults,
        recovery_s=measures.recovery_time(evidence).value,
        load=load_figures(plan, columns, records.load),
        overhead_s=_overhead_s(run, plan),
        aborted=aborted,
        steady_state=run.get("steady_state") or {},
    )


def _cut_short(judged: Record) -> Record:
    """Give no verdict on a criterion of a run that ended early: it is about the whole of it."""
    reason = f"{judged['name']} is about the whole run, which ended early."
    return {**judged, "verdict": "unknown", "reason": reason}


def run_checks(records: RunRecords, checkers: Mapping[str, Checks]) -> list[Record]:
    """Run the checkers of every workload of the plan; one that crashes, or that nobody knows, is unknown."""
    parts = [part for part in records.plan.get("load") or [] if part.get("rate_per_s")]
    names = dict.fromkeys(str(part.get("workload")) for part in parts)
    return [record for name in names for record in _checked(name, records, checkers)]


def _checked(workload: str, records: RunRecords, checkers: Mapping[str, Checks]) -> list[Record]:
    checks = checkers.get(workload)
    if checks is None:
        known = ", ".join(sorted(checkers))
        return [_no_check(workload, f"There is no checker for workload {workload!r}; there are {known}.")]
    several = checks if isinstance(checks, tuple) else (checks,)
    return [_check(workload, records, check) for check in several]


def _check(workload: str, records: RunRecords, checker: Check) -> Record:
    parts = [part for part in records.plan.get("load") or [] if part.get("workload") == workload]
    generators = {part.get("generator") for part in parts}
    operations = [operation for operation in records.operations if operation.generator in generators]
    try:
        record = dict(checker(operations, _clock_error_ns(parts, records.run)))
    except Exception as error:
        # A checker that crashes has decided nothing; the rest of the run is still worth judging.
        what = f"{type(error).__name__}: {error}"
        return _no_check(workload, f"The checker of workload {workload!r} crashed: {what}.")
    if record.get("verdict") != "pass":
        record["reason"] = _sentence(str(record.get("reason") or "") or _check_reason(record))
    return record


def _clock_error_ns(parts: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> int:
    """Return how far apart the clocks of one history's observers may be; one clock has no error."""
    observers = {str(part.get("observer")) for part in parts}
    offsets_ms = run.get("clock_offset_ms") or {}
    if len(observers) < 2:
        return 0
    return math.ceil(max(abs(number(offsets_ms.get(name), 0.0)) for name in observers) * 1e6)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def _with_faults(check: Mapping[str, Any], faults: Sequence[Record]) -> Record:
    """Say in every anomaly which faults were active in its window."""
    anomalies = []
    for anomaly in check.get("anomalies") or []:
        from_s, to_s = anomaly.get("window_s") or (math.inf, -math.inf)
        active = [
            fault["id"]
            for fault in faults
            if number(fault["applied_s"], math.inf) <= to_s
            and number(fault["reverted_s"], math.inf) >= from_s
        ]
        anomalies.append({**anomaly, "faults": active})
    return {**check, "anomalies": anomalies}


def _no_check(workload: str, reason: str) -> Record:
    return {"name": workload, "verdict": "unknown", "anomalies": [], "detail": {}, "reason": reason}


def _check_reason(check: Mapping[str, Any]) -> str:
    if check.get("verdict") == "unknown":
        return f"Check {check.get('name')} is undecided."
    keys = sorted({str(anomaly.get("key")) for anomaly in check.get("anomalies") or []})
    shown = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
    return f"Check {check.get('name')} failed on {len(keys)} {'key' if len(keys) == 1 else 'keys'}: {shown}."


def _problems(records: RunRecords, evidence: measures.Evidence, aborted: str | None) -> list[str]:
    """Everything beside criteria, checks and fault proofs that keeps a run from counting."""
    if not records.plan:
        return list(records.problems)
    if aborted:  # what is missing is missing because of that
        return [aborted, *(error for error in _agent_errors(records) if TOLD_TO_STOP not in error)]
    load = load_problems(records.plan, evidence.columns, records.operations, records.load)
    during = fault_load_problems(evidence.faults, records.plan, evidence.columns)
    return [*records.problems, *load, *during, *_agent_errors(records), *_silent_nodes(records)]


def _agent_errors(records: RunRecords) -> list[str]:
    return [
        f"The agent of {entry.get('node')} reported an error: {entry.get('message') or entry.get('error')}."
        for entry in records.ledger
        if entry.get("event") == "error"
    ]


def _silent_nodes(records: RunRecords) -> list[str]:
    """Name the nodes under load that never said how their own system was."""
    loaded = {
        str(node)
        for part in records.plan.get("load") or []
        for client in part.get("clients") or []
        for node in client.get("endpoints") or {}
    }
    heard = {str(sample.get("node")) for sample in records.samples}
    return [f"{node} left no sample of its own system." for node in sorted(loaded - heard)]


def _reasons(
    judged: Sequence[Record],
    checks: Sequence[Mapping[str, Any]],
    faults: Sequence[Record],
    problems: Sequence[str],
    stopped: bool,
) -> list[str]:
    """One sentence for everything that is not pass, the failures first, none twice."""
    ranked = sorted((*checks, *judged), key=lambda item: -SEVERITY.index(worst([str(item.get("verdict"))])))
    failed = [str(item["reason"]) for item in ranked if item.get("verdict") == "fail"]
    undecided = [str(item["reason"]) for item in ranked if item.get("verdict") not in ("fail", "pass")]
    unproved = [str(fault["reason"]) for fault in faults if not fault["proved"]]
    doubts = [] if stopped else [*unproved, *undecided]
    return list(dict.fromkeys([*failed, *problems, *doubts]))


def _overhead_s(run: Mapping[str, Any], plan: Mapping[str, Any]) -> float | None:
    """Seconds of the run's wall time beyond its declared duration."""
    wall_s, duration_s = run.get("wall_s"), plan.get("duration_s")
    if not isinstance(wall_s, (int, float)) or not isinstance(duration_s, (int, float)):
        return None
    overhead_s = wall_s - duration_s
    return round(overhead_s, 3) if math.isfinite(overhead_s) else None


def _register(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check a register for linearizability, in a process of its own with bounds on time and memory."""
    return check_linearizable_bounded(operations, clock_error_ns=clock_error_ns).as_record()


def _registry(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check a registry for linearizability likewise."""
    checked = check_linearizable_bounded(
        operations, RegistryModel(), clock_error_ns=clock_error_ns, name="linearizable-registry"
    )
    return checked.as_record()


def _consensus(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check that each consensus has one decision, which its votes support."""
    return check_consensus(operations, clock_error_ns).as_record()


def _events(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check that every event came to every subscriber once, in one order."""
    return check_event_delivery(operations, clock_error_ns).as_record()


def _money(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check that every account holds what its deposit and its payments make."""
    return check_money(operations, clock_error_ns).as_record()


def _winner(operations: Sequence[Operation], clock_error_ns: int) -> Mapping[str, Any]:
    """Check that every auction has one winner, its highest bid."""
    return check_winner(operations, clock_error_ns).as_record()


CHECKERS: Mapping[str, Checks] = {
    "auctions": (_money, _winner),
    "consensus": _consensus,
    "events": _events,
    "register": _register,
    "registry": _registry,
}
