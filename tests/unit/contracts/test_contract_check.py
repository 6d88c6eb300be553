# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checker over the wire: a small service that keeps a contract, and others that break one clause."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from ansible_collections.foundation.testbed.plugins.module_utils.contracts import exchange
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.check import Check
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import Contract
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import parse_model
from ansible_collections.foundation.testbed.tests.support.running_services import in_thread

PROBLEM = "urn:test:problem:"
NOTES = {
    "title": "Notes",
    "system": "notes",
    "operations": {
        "write": {
            "method": "POST",
            "path": "/notes",
            "body": {"text": "{text}"},
            "outcomes": {
                "ok": {
                    "status": 201,
                    "answer": {"required": ["id"], "properties": {"id": {"type": "integer"}}},
                    "bind": {"id": "/id"},
                    "side_effects": {
                        "it is shown": {"operation": "read", "outcome": "ok", "within": "300ms"},
                    },
                },
                "refused": {
                    "status": 400,
                    "problem": f"{PROBLEM}bad",
                    "patches": {"no text": {"text": None}},
                    "malformed": {"a cut off body": '{"text"'},
                    "unchanged": ["count"],
                },
            },
        },
        "read": {
            "method": "GET",
            "path": "/notes/{id}",
            "outcomes": {"ok": {"status": 200, "answer": {"properties": {"text": {"const": "{text}"}}}}},
        },
        "count": {
            "method": "GET",
            "path": "/notes",
            "volatile": ["/now"],
            "outcomes": {"ok": {"status": 200, "answer": {"required": ["count"]}}},
        },
        "remove": {"method": "DELETE", "path": "/notes/{id}", "outcomes": {"ok": {"status": 204}}},
    },
    "cases": [
        {
            "name": "a note",
            "variables": {"text": "of {unique}"},
            "steps": [
                {"operation": "count", "outcome": "ok"},
                {"operation": "write", "outcome": "refused"},
                {"operation": "write", "outcome": "ok"},
                {"operation": "remove", "outcome": "ok"},
            ],
        }
    ],
}


def notes(fault=""):
    """A service of notes, with one fault."""
    kept, looks = {}, [0]

    def problem(kind):
        body = {"type": f"{PROBLEM}{kind}", "title": "Bad.", "status": 400, "detail": "bad"}
        media = "application/json" if fault == "problem as json" else "application/problem+json"
        return web.json_response(body, status=400, content_type=media)

    async def write(request):
        try:
            text = (await request.json())["text"]
        except (ValueError, KeyError):
            if fault == "writes what it refuses":
                kept[len(kept) + 1] = ""
            return problem("other" if fault == "another problem" else "bad")
        number = len(kept) + 1
        if fault != "forgets":
            kept[number] = text
        return web.json_response({"id": str(number) if fault == "id as text" else number}, status=201)

    async def read(request):
        looks[0] += 1
        if fault == "shows late" and looks[0] < 3:
            raise web.HTTPNotFound
        return web.json_response({"text": kept[int(request.match_info["id"])]})

    async def count(request):
        looks[0] += 1
        return web.json_response({"count": len(kept), "now": looks[0]})

    async def remove(request):
        if fault == "hangs":
            await asyncio.sleep(30)
        if fault == "hangs up":
            request.transport.close()
        if fault == "body with 204":
            return web.Response(text="gone", content_type="text/plain")
        return web.Response(status=204)

    async def text(request):
        return web.Response(text="<html>", content_type="application/json")

    app = web.Application()
    app.router.add_post("/notes", write)
    app.router.add_get("/notes/{id}", read)
    app.router.add_get("/notes", text if fault == "no json" else count)
    app.router.add_delete("/notes/{id}", remove)
    return app


def broken(fault=""):
    """Return the clauses that the checker finds broken."""
    contract = parse_model(Contract, NOTES, "notes.yml").model_dump()
    with in_thread(notes(fault)) as (address,):
        ask = exchange.asker({"notes": {"here": address, "another": address}})
        results = list(Check(contract, ask, "u").results())
    return [(one.operation, one.outcome, one.clause) for one in results if one.mismatches]


def test_a_service_that_keeps_it_passes():
    assert broken() == []
    assert broken("shows late") == []


@pytest.mark.parametrize(
    ("fault", "clauses"),
    [
        ("no json", [("count", "ok", "media type")]),
        (
            "problem as json",
            [("write", "refused", f"{how}: media type") for how in ("no text", "a cut off body")],
        ),
        (
            "another problem",
            [("write", "refused", f"{how}: problem document") for how in ("no text", "a cut off body")],
        ),
        (
            "writes what it refuses",
            [("write", "refused", f"{how}: count is unchanged") for how in ("no text", "a cut off body")],
        ),
        ("id as text", [("write", "ok", "answer")]),
        ("forgets", [("write", "ok", "it is shown")]),
        ("hangs up", [("remove", "ok", "status")]),
        ("hangs", [("remove", "ok", "status")]),
        ("body with 204", [("remove", "ok", "status"), ("remove", "ok", "media type")]),
    ],
)
def test_a_service_that_breaks_one_clause_is_found(fault, clauses, monkeypatch):
    monkeypatch.setattr(exchange, "TIMEOUT_S", 0.5)
    assert broken(fault) == clauses


def test_a_service_that_is_not_there_breaks_it():
    contract = parse_model(Contract, NOTES, "notes.yml").model_dump()
    ask = exchange.asker({"notes": {"here": "http://127.0.0.1:9", "another": "http://127.0.0.1:9"}})
    (first, *_rest) = list(Check(contract, ask, "u").results())
    assert "no answer" in first.mismatches[0].given
