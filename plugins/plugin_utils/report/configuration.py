# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was run, and with what, as pairs of a name and a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import detail, duration, on_state
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import (
    amount,
    condition,
    plainly,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import rate_words, timeout_words

Entry = Mapping[str, Any]
Pair = tuple[str, str]


def configuration(plan: Entry) -> list[Pair]:
    """Return the plan in words."""
    scenario = plan.get("scenario") or {}
    pairs = [
        ("Duration", duration(number(plan.get("duration_s"), 0.0))),
        ("Seed", str(plan.get("seed"))),
        ("Nodes", _hosts(plan, "nodes")),
        ("Observers", _hosts(plan, "observers")),
        ("Options", ", ".join(plainly(scenario.get("options") or {}))),
        *(pair for part in plan.get("load") or [] for pair in _load(part)),
        *((f"Fault {fault.get('id')}", fault_text(fault)) for fault in plan.get("faults") or []),
        ("Steady state", "; ".join(condition(item) for item in plan.get("steady_state") or [])),
        ("Aborted when", "; ".join(_abort(item) for item in plan.get("abort_conditions") or [])),
    ]
    return [(name, text) for name, text in pairs if text]


def versions(run: Entry) -> list[Pair]:
    """Return the provider, the versions and the clocks of a run."""
    pairs = [("Provider", str(run.get("provider") or ""))]
    for name, version in (run.get("versions") or {}).items():
        pairs.append((str(name).capitalize(), _version(version)))
    offsets = run.get("clock_offset_ms") or {}
    pairs.append(
        ("Clock offsets", ", ".join(f"{node} {amount(value, 'ms')}" for node, value in offsets.items()))
    )
    return [(name, text) for name, text in pairs if text]


def fault_text(fault: Entry) -> str:
    """Return one fault of the plan: when, on which state of the system, what, and on whom."""
    from_s, to_s = number(fault.get("start_s"), 0.0), number(fault.get("end_s"), 0.0)
    return f"{duration(from_s)} to {duration(to_s)}{on_state(fault)}, {detail(fault)}"


def _version(version: Any) -> str:
    """Return one version, or one for each node, said once where all agree."""
    if not isinstance(version, Mapping):
        return str(version)
    texts = {str(node): _one(version[node]) for node in version}
    if len(set(texts.values())) == 1:
        return f"{next(iter(texts.values()))} on {', '.join(texts)}"
    return ", ".join(f"{node} {text}" for node, text in texts.items())


def _one(version: Any) -> str:
    return ", ".join(plainly(version)) if isinstance(version, Mapping) else str(version)


def _hosts(plan: Entry, kind: str) -> str:
    return ", ".join(f"{host.get('name')} {host.get('address', '')}".strip() for host in plan.get(kind) or [])


def _load(part: Entry) -> Iterator[Pair]:
    mix = ", ".join(f"{name} {share:.0%}" for name, share in (part.get("mix") or {}).items())
    clients = "; ".join(_client(client) for client in part.get("clients") or [])
    text = f"{part.get('workload')} at {rate_words(part)}, {mix}; "
    text += f"{part.get('keys')} keys at once; "
    text += f"{timeout_words(part)}; clients {clients}"
    yield f"Load {part.get('generator')}", text


def _client(client: Entry) -> str:
    options = ", ".join(plainly(client.get("options") or {}))
    return f"{client.get('name')} ({options})" if options else str(client.get("name"))


def _abort(item: Entry) -> str:
    key = next((key for key in ("above", "below") if key in item), "")
    return f"{str(item.get('measure')).replace('_', ' ')} {key} {item.get(key)} for {item.get('for_s')} s"
