# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One request to a service and its answer, and how they go over the wire."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlencode

TIMEOUT_S = 10.0
MAX_BYTES = 16 * 1024 * 1024


class Request(NamedTuple):
    """What is asked of whom; `about` is the case, the number of the step and what it is asked for."""

    system: str
    node: str
    method: str
    path: str
    text: Optional[str]
    about: tuple[str, ...]


class Answer(NamedTuple):
    """What came back: status 0 and an error where nothing did; no body where it was not JSON."""

    status: int
    media_type: str
    body: Any = None
    error: str = ""


Ask = Callable[[Request], Answer]
Services = Mapping[str, Mapping[str, str]]
"""The addresses of each system's service, `http://HOST:PORT`, by `here` and `another`."""


def asker(services: Services) -> Ask:
    """Return how services are asked: one request is one attempt, and every answer is returned."""

    def ask(request: Request) -> Answer:
        url = services[request.system][request.node] + request.path
        headers = {} if request.text is None else {"Content-Type": "application/json"}
        data = None if request.text is None else request.text.encode()
        asked = urllib.request.Request(url, data, headers, method=request.method)
        try:
            with _OPENER.open(asked, timeout=TIMEOUT_S) as response:
                return _answer(response)
        except urllib.error.HTTPError as refused:
            with refused:
                return _answer(refused)
        except OSError as error:
            return Answer(0, "", error=f"no answer from {url}: {getattr(error, 'reason', error)}")

    return ask


def path_with(path: str, query: Mapping[str, Any]) -> str:
    """Return a path with its query."""
    return f"{path}?{urlencode(query)}" if query else path


def _answer(response: Any) -> Answer:
    media_type = response.headers.get_content_type() if response.headers["Content-Type"] else ""
    data = response.read(MAX_BYTES)
    try:
        return Answer(response.status, media_type, json.loads(data) if data else None)
    except ValueError as error:
        return Answer(response.status, media_type, error=f"the body is not JSON: {error}")


# no proxy of the environment stands between a node and its services
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
