# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workload of a registry, from the program to the history, and what the client makes of answers."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client, numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.registry import Registry
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import is_answered
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import read_history
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from load_support import Records, make_program

foundation = load_client(Path(__file__).parents[3] / "roles/foundation/files/client.py")
MIX = {"lookup": 0.5, "register": 0.3, "unregister": 0.2}

CLIENT = """
from typing import NamedTuple
class Done(NamedTuple):
    type: str
    value: object
    error: object
    node: str
class Client:
    held = {}
    def __init__(self, endpoints, timeout_s, options):
        self.node = next(iter(endpoints))
    async def invoke(self, f, key, value):
        held = self.held.get(key)
        if f == "lookup":
            return Done("ok", held, None, self.node)
        if f == "register" and held is not None:
            return Done("fail", held, "already_registered", self.node)
        if f == "unregister" and held is None:
            return Done("fail", None, "not_found", self.node)
        self.held[key] = value
        return Done("ok", value if f == "register" else held, None, self.node)
    async def close(self):
        pass
"""


def test_every_owner_is_another_and_other_operations_bring_none():
    workload = Registry(MIX, *numbering({"index": 1, "generators": 3}))
    owners = [workload.prepare(number, "register", "a")[1] for number in range(500)]
    assert len(set(owners)) == 500 and all(owner % 3 == 1 for owner in owners)
    assert workload.prepare(500, "unregister", "b") == ("unregister", None)
    assert workload.final_reads() == [("lookup", "a"), ("lookup", "b")]
    with pytest.raises(ValueError, match=r"\['write'\]; allowed are"):
        Registry({"write": 1.0}, 0, 1)


def test_a_load_leaves_a_history_that_its_checker_understands(tmp_path):
    adapter = tmp_path / "client.py"
    adapter.write_text(CLIENT)
    program = make_program(workload="registry", mix=MIX, rate_per_s=400.0)
    assert run_load(program, time.time_ns(), str(tmp_path / "out"), adapter) == 0
    operations = read_history(tmp_path / "out/history.observer1-0.jsonl")
    record = CHECKERS["registry"](operations, 0)
    assert record["verdict"] == "pass" and record["detail"]["operations"] == len(operations)
    kinds = {(one.f, one.error) for one in operations}
    assert {("register", "already_registered"), ("unregister", "not_found"), ("unregister", None)} <= kinds
    assert all(map(is_answered, operations))
    taken = [one for one in operations if one.error == "already_registered"]
    assert all(isinstance(one.value, int) for one in taken)
    summary = Records(tmp_path / "out").summary
    assert summary["final_read"]["unread"] == [] and summary["fail"] > 0


def problem(kind: str, **more: Any) -> str:
    return json.dumps(
        {"type": f"urn:foundation:problem:{kind}", "title": "t", "status": 0, "detail": "d", **more}
    )


OWNED = json.dumps({"name": "k", "owner": "7", "metadata": {}, "lease": None, "revision": 3})
ANSWERS = [
    ("lookup", 200, OWNED, ("ok", 7, None)),
    ("lookup", 404, problem("not-found"), ("ok", None, None)),
    ("lookup", 503, problem("no-majority"), ("fail", 5, "no-majority")),
    ("lookup", 500, problem("internal"), ("fail", 5, "internal")),
    ("register", 201, OWNED, ("ok", 5, None)),
    ("register", 409, problem("already-registered", owner="9"), ("fail", 9, "already_registered")),
    ("register", 503, problem("no-majority"), ("fail", 5, "no-majority")),
    ("register", 400, problem("invalid-request"), ("fail", 5, "invalid-request")),
    ("register", 504, problem("indeterminate"), ("info", 5, "indeterminate")),
    ("register", 500, problem("internal"), ("info", 5, "internal")),
    ("register", 201, "<html>", ("info", 5, "bad-answer")),
    ("register", 502, "<html>", ("info", 5, "bad-answer")),
    ("unregister", 200, OWNED, ("ok", 7, None)),
    ("unregister", 404, problem("not-found"), ("fail", None, "not_found")),
    ("unregister", 404, problem("unknown-path"), ("fail", 5, "unknown-path")),
    ("unregister", 504, problem("indeterminate"), ("info", 5, "indeterminate")),
    ("write", 409, problem("already-registered", owner="9"), ("ok", 5, None)),
    ("read", 404, problem("not-found"), ("ok", None, None)),
]


@pytest.mark.parametrize(("f", "status", "text", "expected"), ANSWERS)
def test_an_answer_is_what_it_says(f, status, text, expected):
    assert foundation.answer_of(f, 5, status, text, "n1") == (*expected, "n1")


@pytest.mark.parametrize(
    ("f", "error", "kind"),
    [
        ("lookup", "timeout", "fail"),
        ("register", "timeout", "info"),
        ("register", "refused", "fail"),
        ("unregister", "connection-lost", "info"),
    ],
)
def test_without_an_answer_a_change_is_in_doubt_once_it_was_sent(f, error, kind):
    assert foundation.unanswered(f, 1, error, "n1").type == kind


def test_keys_of_a_load_are_names_and_nobody_there_is_no_answer():
    assert foundation.name_of("20261128-run/r0-1") == "20261128-run:r0-1"
    client = foundation.Client({"n1": "127.0.0.1:9", "n2": "127.0.0.1:9"}, 1.0, {})

    async def go():
        done = await client.invoke("register", "k", 1)
        await client.close()
        return done

    assert asyncio.run(go()) == ("fail", 1, "refused", "n1") and client.node == "n2"
    assert foundation.status("127.0.0.1:9")["error"] == "refused"
    assert foundation.version("127.0.0.1:9") is None
