# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP face of a service: every request is held against the contract before a handler sees it.

A handler is `async def handler(arguments) -> Answer`; it knows neither HTTP nor schemas, and says by raising
`Problem` what it did not do.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from testbed_service import problems
from testbed_service.contract import Contract, Invalid, Operation
from testbed_service.problems import Problem

MAX_BODY_BYTES = 64 * 1024
EXACT = 2**53
"""Up to here a floating-point number is the integer that was written."""
LOG = logging.getLogger(__name__)


class Arguments(NamedTuple):
    """What a handler is given: parameters by name, and the body."""

    parameters: dict[str, Any]
    body: Any


class Answer(NamedTuple):
    """What a handler gives back."""

    status: int
    body: Any = None


Handler = Callable[[Arguments], Awaitable[Answer]]
Observer = Callable[[str, int, float], None]
"""Told of every request: the operation, the status, and the seconds that it took."""


def application(
    contract: Contract,
    handlers: Mapping[str, Handler],
    observe: Observer = lambda *_: None,
    check_answers: bool = False,
) -> web.Application:
    """Return an application that serves every operation of the contract; each must have a handler."""
    different = set(contract.operations) ^ set(handlers)
    if different:
        raise ValueError(f"operations without a handler, or handlers without an operation: {different}")
    app = web.Application(middlewares=[_as_problems], client_max_size=MAX_BODY_BYTES)
    for name, operation in contract.operations.items():
        face = _Face(operation, handlers[name], observe, check_answers)
        app.router.add_route(operation.method, operation.path, face.serve)
    return app


class _Face:
    """One operation between the wire and its handler."""

    def __init__(
        self, operation: Operation, handler: Handler, observe: Observer, check_answers: bool
    ) -> None:
        self.operation, self.handler = operation, handler
        self.observe, self.check_answers = observe, check_answers

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one request."""
        began = time.perf_counter()
        try:
            answer = await self.handler(await self._arguments(request))
            response = _json(answer.status, answer.body)
        except Problem as problem:
            response = _problem(problem)
        if self.check_answers:
            self._check(response)
        self.observe(self.operation.name, response.status, time.perf_counter() - began)
        return response

    async def _arguments(self, request: web.Request) -> Arguments:
        try:
            query: dict[str, list[str]] = {}
            for name, value in request.query.items():
                query.setdefault(name, []).append(value)
            parameters = self.operation.arguments(request.match_info, query)
            body = await self._body(request)
        except Invalid as invalid:
            errors = [{"where": where, "what": what} for where, what in invalid.mistakes]
            raise Problem("invalid-request", str(invalid), errors=errors) from None
        return Arguments(parameters, body)

    async def _body(self, request: web.Request) -> Any:
        if self.operation.body is None:
            if request.can_read_body and await request.read():
                raise Problem("invalid-request", "this operation takes no body")
            return None
        if not _says_json(request):
            raise Problem("unsupported-media-type", f"the body is {request.content_type[:100]}")
        body = _parsed(await request.read())
        self.operation.check_body(body)
        return body

    def _check(self, response: web.Response) -> None:
        json_text = response.text if response.content_type.endswith("json") else None
        body = json.loads(json_text) if json_text else None
        wrong = self.operation.wrong_answer(response.status, response.content_type, body)
        if wrong:
            raise AssertionError(wrong)


def _says_json(request: web.Request) -> bool:
    """Say so without `request.content_type`, whose parser (of e-mail) costs a sixth of a whole request."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise Problem("invalid-request", f"the body is not JSON: {str(error)[:100]}") from None


def _number(text: str) -> float | int:
    """Return a number as JSON Schema has it: 99.0 is the integer 99; what no number can hold is refused."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return int(value) if value.is_integer() and abs(value) <= EXACT else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _json(status: int, body: Any) -> web.Response:
    if body is None:
        return web.Response(status=status)
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8")
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


def _problem(problem: Problem) -> web.Response:
    text = json.dumps(problem.document)
    return web.Response(status=problem.status, text=text, content_type=problems.MEDIA_TYPE)


@web.middleware
async def _as_problems(request: web.Request, handler: Any) -> web.StreamResponse:
    """Put what the framework refuses, and what nobody foresaw, into problem documents too."""
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except Problem as problem:
        return _problem(problem)
    except web.HTTPMethodNotAllowed as refused:
        allowed = refused.headers["Allow"]
        response = _problem(Problem("method-not-allowed", f"allowed: {allowed}"))
        response.headers["Allow"] = allowed
        return response
    except web.HTTPRequestEntityTooLarge:
        return _problem(Problem("too-large", f"a body has at most {MAX_BODY_BYTES} bytes"))
    except web.HTTPException as refused:
        kind = "unknown-path" if refused.status == 404 else "invalid-request"
        return _problem(Problem(kind, refused.reason, status=refused.status))
    except Exception:
        LOG.exception("%s %s", request.method, request.path)
        return _problem(Problem("internal", "the journal of the service says more"))
