# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JUnit from results.json: a test case per criterion, check and fault; unknown is an error.

The document keeps both schemas in use, that of Ant (which asks for all attributes and closing output
elements) and that of Jenkins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import condition

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Mapping[str, Any], run: Mapping[str, Any] | None = None) -> str:
    """Return the JUnit document of one run as text; `run` is run.json, for the time it took."""
    scenario = _clean(results.get("scenario") or "run")
    cases = list(_cases(results))
    wall_s = (run or {}).get("wall_s")
    time_s = f"{wall_s:.3f}" if isinstance(wall_s, (int, float)) else "0.000"
    suite = ElementTree.Element("testsuite", {
        "id": "0", "package": "foundation.testbed", "name": scenario, "hostname": "localhost",
        "timestamp": _timestamp(str(results.get("run"))), "time": time_s, "tests": str(len(cases)),
        "failures": str(sum(verdict == "fail" for _, verdict, _ in cases)),
        "errors": str(sum(verdict not in ("fail", "pass") for _, verdict, _ in cases)), "skipped": "0",
    })  # fmt: skip
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("run", "seed", "verdict"):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(results.get(name)))
    for name, verdict, reason in cases:
        # The time of the run is the suite's: a criterion takes none of its own.
        case = ElementTree.SubElement(suite, "testcase", classname=scenario, name=_clean(name), time="0.000")
        if verdict != "pass":
            kind = "failure" if verdict == "fail" else "error"
            note = ElementTree.SubElement(case, kind, type=verdict, message=_clean(reason))
            note.text = _clean(reason)
    ElementTree.SubElement(suite, "system-out").text = _clean((run or {}).get("command") or "")
    ElementTree.SubElement(suite, "system-err")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _cases(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and reason; what belongs to nothing else is the case ``run``."""
    told = set()
    for kind, verdict_of in (("criteria", "criterion"), ("checks", "check"), ("faults", "fault")):
        for item in results.get(kind) or []:
            verdict = item.get("verdict") or ("pass" if item.get("proved") else "unknown")
            reason = str(item.get("reason") or "")
            told.add(reason)
            yield f"{verdict_of} {item.get('name') or item.get('id')}", str(verdict), reason
    steady = results.get("steady_state") or {}
    for phase in ("before", "after"):
        for item in steady.get(phase) or []:
            missed = "fail" if item.get("held") is False and phase == "after" else "unknown"
            reason = str(item.get("reason") or "It did not hold.")
            told |= {said for said in results.get("reasons") or [] if reason in said}
            yield f"steady state {phase}: {condition(item)}", "pass" if item.get("held") else missed, reason
    rest = [str(reason) for reason in results.get("reasons") or [] if reason not in told]
    yield "run", "unknown" if rest else "pass", " ".join(rest)


def _timestamp(run: str) -> str:
    """Return when a run began, from its name, as the schemas want it: UTC without a zone."""
    try:
        return datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ").isoformat()
    except ValueError:
        return "1970-01-01T00:00:00"


def _clean(value: Any) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", str(value))
