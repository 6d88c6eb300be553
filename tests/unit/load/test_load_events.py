# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workload of events, from the program to the history, and what the client makes of answers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client, numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.events import MIX, Events
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import is_answered
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import read_history
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from load_support import Records, make_program

foundation = load_client(Path(__file__).parents[3] / "roles/foundation/files/client.py")

CLIENT = """
from typing import NamedTuple
class Done(NamedTuple):
    type: str
    value: object
    error: object
    node: str
class Client:
    log, drops, deaf = {}, DROPS, DEAF
    def __init__(self, endpoints, timeout_s, options):
        self.node = next(iter(endpoints))
    async def invoke(self, f, key, value):
        log = self.log.setdefault(key, [])
        if f == "publish":
            log.append(value)
            return Done("ok", value, None, self.node)
        if f == "subscribe":
            return Done("ok", {**value, "revision": len(log)}, None, self.node)
        if self.deaf:
            return Done("ok", {**value, "events": [], "revision": value["after"]}, None, self.node)
        found = log[value["after"]:]
        if self.drops and self.node == "n1" and len(found) > 1:
            found = found[1:]
        return Done("ok", {**value, "events": found, "revision": len(log)}, None, self.node)
    async def close(self):
        pass
"""


def told(tmp_path, drops=False, deaf=False, **program):
    """Run a load against a log in memory; the checker's record and the generator's summary."""
    adapter = tmp_path / "client.py"
    adapter.write_text(CLIENT.replace("DROPS", str(drops)).replace("DEAF", str(deaf)))
    made = make_program(workload="events", mix=MIX, rate_per_s=400.0, operations_per_key=1000, **program)
    assert run_load(made, time.time_ns(), str(tmp_path / "out"), adapter) == 0
    operations = read_history(tmp_path / "out/history.observer1-0.jsonl")
    assert all(map(is_answered, operations))
    return CHECKERS["events"](operations, 0), Records(tmp_path / "out").summary


def test_a_load_leaves_a_history_that_its_checker_accepts(tmp_path):
    """Two client groups are two subscribers to each of three topics, and all of them read to the end."""
    record, summary = told(tmp_path)
    assert (record["verdict"], record["reason"]) == ("pass", "")
    assert record["detail"]["keys"] == 3 and record["detail"]["deliveries"] > record["detail"]["events"]
    assert summary["final_read"] == {"keys": 3 + 2 * 3, "read": 3 + 2 * 3, "unread": []}


def test_a_node_that_drops_events_is_found_by_who_reads_there(tmp_path):
    record, _ = told(tmp_path, drops=True)
    assert record["verdict"] == "fail" and "never got" in record["reason"]


def test_a_system_that_delivers_nothing_leaves_the_last_read_incomplete(tmp_path):
    record, summary = told(tmp_path, deaf=True, final_read_timeout_s=0.5)
    assert record["verdict"] == "unknown" and len(summary["final_read"]["unread"]) == 6


def test_a_subscriber_has_one_poll_at_a_time_and_keeps_its_place():
    workload = Events(MIX, *numbering({"index": 1, "generators": 3}))
    assert workload.prepare(0, "poll", "a", "n1") == ("subscribe", {"subscriber": "n1-1"})
    assert workload.prepare(1, "poll", "a", "n1") == ("publish", 7)
    assert workload.prepare(2, "poll", "a", "n2") == ("subscribe", {"subscriber": "n2-1"})
    workload.observe("subscribe", "a", {"subscriber": "n1-1", "revision": 5}, "ok")
    workload.observe("subscribe", "a", {"subscriber": "n2-1"}, "info")
    assert workload.prepare(3, "poll", "a", "n2")[0] == "subscribe"
    asked = workload.prepare(4, "poll", "a", "n1")
    assert asked == ("poll", {"subscriber": "n1-1", "after": 5})
    workload.observe("poll", "a", asked[1], "fail")
    assert workload.prepare(5, "poll", "a", "n1") == asked
    workload.observe("poll", "a", {**asked[1], "events": [7], "revision": 9}, "ok")
    assert workload.prepare(6, "poll", "a", "n1")[1]["after"] == 9
    assert workload.final_reads() == [("publish", "a"), ("poll", "a", "n1"), ("poll", "a", "n2")]
    with pytest.raises(ValueError, match=r"\['read'\]; allowed are"):
        Events({"read": 1.0}, 0, 1)


def test_the_last_number_may_come_before_its_answer():
    workload = Events(MIX, 0, 1)
    reader = {"subscriber": "n1-0", "after": 1}
    workload.prepare(0, "publish", "a", "n1")
    workload.final_reads()
    workload.observe("poll", "a", {**reader, "events": [8], "revision": 2}, "ok")
    assert not workload.ended("poll", "a", "n1")
    workload.observe("publish", "a", 8, "ok")
    assert workload.ended("poll", "a", "n1") and not workload.ended("poll", "a", "n2")


POLLED = {"subscriber": "n1-0", "after": 3}
PAGE = json.dumps({"events": [{"payload": {"value": 7}}, {"payload": {"value": 8}}], "revision": 9})
MADE = json.dumps({"name": "s", "subscriber": "n1-0", "pattern": "t.#", "revision": 4})


def problem(kind):
    return json.dumps({"type": f"urn:foundation:problem:{kind}"})


@pytest.mark.parametrize(
    ("f", "value", "status", "text", "expected"),
    [
        ("poll", POLLED, 200, PAGE, ("ok", {**POLLED, "events": [7, 8], "revision": 9}, None)),
        ("poll", POLLED, 410, problem("gone"), ("fail", POLLED, "gone")),
        ("poll", POLLED, 404, problem("not-found"), ("fail", POLLED, "not-found")),
        ("poll", POLLED, 200, "{}", ("fail", POLLED, "bad-answer")),
        ("subscribe", {"subscriber": "s"}, 200, MADE, ("ok", {"subscriber": "s", "revision": 4}, None)),
        (
            "subscribe",
            {"subscriber": "s"},
            504,
            problem("indeterminate"),
            ("info", {"subscriber": "s"}, "indeterminate"),
        ),
        ("publish", 7, 201, json.dumps({"topic": "t", "revision": 4}), ("ok", 7, None)),
        ("publish", 7, 503, problem("no-majority"), ("fail", 7, "no-majority")),
        ("publish", 7, 504, problem("indeterminate"), ("info", 7, "indeterminate")),
    ],
)
def test_an_answer_is_what_it_says(f, value, status, text, expected):
    assert foundation.answer_of(f, value, status, text, "n1") == (*expected, "n1")


def test_keys_of_a_load_are_topics():
    asked = foundation.events_request("publish", "20261128-run/r0-1", 7)
    assert (asked.method, asked.path) == ("POST", "/v1/events")
    assert asked.body == {"topic": "20261128-run.r0-1", "payload": {"value": 7}}
    asked = foundation.events_request("poll", "run/r0-1", POLLED)
    assert asked.path == "/v1/events/subscriptions/run.r0-1:n1-0/events" and asked.query["after"] == "3"
