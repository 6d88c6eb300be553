# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Questions to the observer's Prometheus, over HTTP: is an expression well formed, and what a query gave."""

from __future__ import annotations

import http.client
import json
import math
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional

TIMEOUT_S = 5.0
STEP_S = 1.0


class NotAnswered(Exception):
    """Prometheus gave no answer; the text says why."""


class BadQuery(Exception):
    """Prometheus refused an expression; the text is its own."""


def ask(base_url: str, path: str, parameters: dict[str, Any]) -> Any:
    """Return the `data` of an answer; raises BadQuery or NotAnswered."""
    url = f"{base_url}/api/v1/{path}"
    body = urllib.parse.urlencode(parameters).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, body, timeout=TIMEOUT_S) as response:
            return json.loads(response.read())["data"]
    except urllib.error.HTTPError as error:
        said = _message(error.read())
        raise (BadQuery if error.code in (400, 422) else NotAnswered)(said or str(error)) from None
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        raise NotAnswered(str(getattr(error, "reason", "") or error or type(error).__name__)) from None


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def query_problem(base_url: str, query: str) -> Optional[str]:
    """Return what is wrong with an expression; None when nothing is, or nobody is there to say so."""
    try:
        kind = ask(base_url, "query", {"query": query})["resultType"]
    except BadQuery as error:
        return str(error).split('invalid parameter "query": ')[-1]
    except NotAnswered:
        return None
    return None if kind in ("vector", "scalar") else f"it gives a {kind}; allowed: one number a series"


def lines(base_url: str, query: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
    """Return every series that a query gave once a second, its points in seconds since `start_s`."""
    parameters = {"query": query, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": STEP_S}
    data = ask(base_url, "query_range", parameters)
    found = [
        {"label": "", "labels": series["metric"], "points": points(series["values"], start_s)}
        for series in data["result"]
    ]
    label_all(found)
    return sorted(found, key=lambda line: str(line["label"]))


def points(values: list[list[Any]], start_s: float) -> list[list[float]]:
    """Return pairs of time and number; NaN is no number, and infinity the greatest there is."""
    pairs = ((round(float(at) - start_s, 3), float(text)) for at, text in values)
    top = sys.float_info.max
    return [[at, min(max(value, -top), top)] for at, value in pairs if not math.isnan(value)]


def label_all(found: list[dict[str, Any]]) -> None:
    """Name each series: by its node where that is enough, else by all of its labels."""
    nodes = [line["labels"].get("node") for line in found]
    for line, node in zip(found, nodes):
        rest = ", ".join(f"{key}={value}" for key, value in sorted(line["labels"].items()))
        line["label"] = node if node and nodes.count(node) == 1 else rest or "all"
