# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contract decides what a handler sees and what leaves: bad input is a 4xx with one problem document."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from testbed_service.contract import Contract, Invalid, merged
from testbed_service.web import MAX_BODY_BYTES, Answer, application

DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/things/{name}": {
            "parameters": [{"$ref": "#/components/parameters/name"}],
            "put": {
                "operationId": "put",
                "parameters": [
                    {"name": "many", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 3}}
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
                },
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            },
        },
        "/nothing": {"get": {"operationId": "get", "responses": {"204": {}}}},
    },
    "components": {
        "parameters": {
            "name": {
                "name": "name", "in": "path", "required": True,
                "schema": {"type": "string", "pattern": "^[a-z]+$"},
            }
        },
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["size"],
                "additionalProperties": False,
                "properties": {"size": {"type": "number", "minimum": 0}},
            }
        },
    },
}  # fmt: skip
CONTRACT = Contract(DOCUMENT)


def asked(*requests):
    """What the service answered to each request, and what its handler saw."""
    seen = []

    async def put(arguments):
        seen.append(arguments)
        return Answer(200, {"done": True})

    async def get(_arguments):
        return Answer(204)

    async def go():
        app = application(CONTRACT, {"put": put, "get": get})
        async with TestClient(TestServer(app)) as client:
            answers = []
            for method, path, more in requests:
                async with client.request(method, path, **more) as response:
                    text = await response.text()
                    answers.append(
                        (response.status, response.content_type, json.loads(text) if text else None)
                    )
            return answers

    return asyncio.run(go()), seen


def test_what_keeps_the_contract_is_seen_with_its_defaults():
    answers, seen = asked(("PUT", "/things/a", {"json": {"size": 1}}), ("GET", "/nothing", {}))
    assert [answer[0] for answer in answers] == [200, 204]
    assert seen == [({"name": "a", "many": 3}, {"size": 1})]


JSON = {"Content-Type": "application/json"}
BAD = {
    "no body": ("PUT", "/things/a", {"headers": JSON}, 400),
    "not JSON": ("PUT", "/things/a", {"data": b"{", "headers": JSON}, 400),
    "not UTF-8": ("PUT", "/things/a", {"data": b'{"size": "\xff"}', "headers": JSON}, 400),
    "a constant of JavaScript": ("PUT", "/things/a", {"data": b'{"size": NaN}', "headers": JSON}, 400),
    "a number beyond all numbers": ("PUT", "/things/a", {"data": b'{"size": 1e999}', "headers": JSON}, 400),
    "too deep": ("PUT", "/things/a", {"data": b"[" * 60_000, "headers": JSON}, 400),
    "a number without end": ("PUT", "/things/a", {"data": b"1" * 60_000, "headers": JSON}, 400),
    "unknown field": ("PUT", "/things/a", {"json": {"size": 1, "price": 2}}, 400),
    "missing field": ("PUT", "/things/a", {"json": {}}, 400),
    "negative": ("PUT", "/things/a", {"json": {"size": -1}}, 400),
    "wrong type": ("PUT", "/things/a", {"json": {"size": "1"}}, 400),
    "half a character": ("PUT", "/things/a", {"data": b'{"\\ud800": 1, "size": 1}', "headers": JSON}, 400),
    "wrong name": ("PUT", "/things/A", {"json": {"size": 1}}, 400),
    "a name with an end of line": ("PUT", "/things/a%0A", {"json": {"size": 1}}, 400),
    "unknown parameter": ("PUT", "/things/a?much=1", {"json": {"size": 1}}, 400),
    "parameter twice": ("PUT", "/things/a?many=1&many=2", {"json": {"size": 1}}, 400),
    "parameter out of bounds": ("PUT", "/things/a?many=0", {"json": {"size": 1}}, 400),
    "parameter of another type": ("PUT", "/things/a?many=few", {"json": {"size": 1}}, 400),
    "a body where none is": ("GET", "/nothing", {"json": {}}, 400),
    "unknown path": ("GET", "/elsewhere", {}, 404),
    "another method": ("DELETE", "/things/a", {}, 405),
    "too large": ("PUT", "/things/a", {"data": b" " * (MAX_BODY_BYTES + 1), "headers": JSON}, 413),
    "another type of body": ("PUT", "/things/a", {"data": b"size=1"}, 415),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_problem_document_and_no_handler_sees_it(name):
    method, path, more, expected = BAD[name]
    ((status, media_type, document),), seen = asked((method, path, more))
    assert (status, media_type, seen) == (expected, "application/problem+json", [])
    assert document["status"] == expected and document["type"].startswith("urn:foundation:problem:")
    assert document["title"] and document["detail"]


def test_a_defect_is_a_500_and_tells_nothing_of_itself():
    async def go():
        async def broken(_arguments):
            raise KeyError("secret")

        app = application(CONTRACT, {"put": broken, "get": broken})
        async with TestClient(TestServer(app)) as client, client.get("/nothing") as response:
            return response.status, await response.text()

    status, text = asyncio.run(go())
    assert status == 500 and "secret" not in text


def test_every_operation_needs_a_handler():
    with pytest.raises(ValueError, match="get"):
        application(CONTRACT, {"put": None})


@given(st.text(), st.lists(st.text(), max_size=2))
def test_parameters_are_typed_or_refused(name, many):
    operation = CONTRACT.operations["put"]
    try:
        values = operation.arguments({"name": name}, {"many": many} if many else {})
    except Invalid as invalid:
        assert invalid.mistakes
    else:
        assert values["name"].isalpha() and type(values["many"]) is int and values["many"] >= 1


@pytest.mark.parametrize(
    ("status", "media_type", "body", "wrong"),
    [
        (200, "application/json", {}, False),
        (200, "application/json", [], True),
        (200, "text/plain", {}, True),
        (500, "application/json", {}, True),
    ],
)
def test_an_answer_that_is_not_described_is_found(status, media_type, body, wrong):
    assert bool(CONTRACT.operations["put"].wrong_answer(status, media_type, body)) is wrong


def test_parts_make_one_description_and_must_not_differ():
    parts = [{"paths": {"/a": 1}, "tags": ["x"]}, {"paths": {"/b": 2}, "tags": ["x"]}]
    assert merged(parts) == {"paths": {"/a": 1, "/b": 2}, "tags": ["x"]}
    with pytest.raises(ValueError, match="/a"):
        merged([*parts, {"paths": {"/a": 2}}])
