# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JUnit from results.json: a test case per criterion, per check and per fault; unknown is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Mapping[str, Any]) -> str:
    """Return the JUnit document of one run as text."""
    scenario = _clean(results.get("scenario"))
    suite = ElementTree.Element("testsuite", name=scenario)
    cases = list(_cases(results))
    for name, verdict, reason in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=scenario, name=_clean(name))
        if verdict != "pass":
            kind = "failure" if verdict == "fail" else "error"
            note = ElementTree.SubElement(case, kind, type=verdict, message=_clean(reason))
            note.text = _clean(reason)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(verdict == "fail" for _, verdict, _ in cases)))
    suite.set("errors", str(sum(verdict not in ("fail", "pass") for _, verdict, _ in cases)))
    suite.set("skipped", "0")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _cases(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and reason; what belongs to no criterion, check or fault is the case ``run``."""
    told = set()
    for kind, verdict_of in (("criteria", "criterion"), ("checks", "check"), ("faults", "fault")):
        for item in results.get(kind) or []:
            verdict = item.get("verdict") or ("pass" if item.get("proved") else "unknown")
            reason = str(item.get("reason") or "")
            told.add(reason)
            yield f"{verdict_of} {item.get('name') or item.get('id')}", str(verdict), reason
    rest = [str(reason) for reason in results.get("reasons") or [] if reason not in told]
    yield "run", "unknown" if rest else "pass", " ".join(rest)


def _clean(value: Any) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", str(value))
