# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workload of auctions on the service itself, with an etcd of one process: from requests to verdicts."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client, numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.schedule import Choice
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.auctions import MIX, Auctions
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import TELLING, Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import SETTINGS
from mabeam_service import __main__ as service
from mabeam_service.economics import payments
from testbed_service.etcd import Indeterminate

mabeam = load_client(Path(__file__).parents[3] / "roles/mabeam/files/client.py")


class Doubtful(FakeEtcd):
    """A store that often does a change and does not say so, or does not do it and does not say so either."""

    rng = random.Random(7)
    share = 0.0

    async def ask(self, path, body, timeout_s, writes):
        drawn = self.rng.random() if writes and path.endswith("txn") else 1.0
        if drawn < self.share / 2:
            raise Indeterminate("timeout")
        answer = await super().ask(path, body, timeout_s, writes)
        if drawn < self.share:
            raise Indeterminate("timeout")
        return answer


async def loaded(share, faulty, count=700):
    """The history of a load, as the engine would write and a controller read it."""
    etcd, rng, history = Doubtful(), random.Random(3), []
    built = service.build({**SETTINGS, "faulty": faulty}, etcd, check_answers=True)
    tasks = [asyncio.ensure_future(each) for each in built.background]
    workload, choice = Auctions(MIX, *numbering({"index": 0, "generators": 1})), Choice(MIX, "mix")
    async with TestClient(TestServer(built.application)) as served:
        client = mabeam.Client({"n1": f"127.0.0.1:{served.port}"}, 5.0, {})
        while (await client.invoke("open", "probe", 1)).type != "ok":
            await asyncio.sleep(0.01)
        etcd.share = share

        async def do(number, f, key, value, phase="main"):
            start = len(history) * 1000
            done = await client.invoke(f, f"run-1/{key}", value)
            told = f in workload.tells_value and says_something(done.type, done.error)
            said = json.loads(json.dumps(done.value if told else value))
            workload.observe(f, key, said, done.type)
            kept = said if f in TELLING and told else value
            history.append(
                Operation("o", number, 0, "any", f, key, kept, start, start + 500, start, "n1", done.type,
                          done.error, phase)
            )  # fmt: skip
            return done

        for number in range(count):
            key = f"r{number // 120}-{rng.randrange(5)}"
            f, value = workload.prepare(number, choice.draw(rng), key)
            await do(number, f, key, value)
        etcd.share = 0.0
        for number, (f, key) in enumerate(workload.final_reads(), count):
            assert (await do(number, f, key, None, "final")).type == "ok"
        await client.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return history


def verdicts(history):
    return {record["name"]: record for record in (check(history, 0) for check in CHECKERS["auctions"])}


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_load_on_the_service_goes_through_everything_and_passes(share):
    history = asyncio.run(loaded(share, []))
    found = verdicts(history)
    assert {name: each["verdict"] for name, each in found.items()} == {
        "money-conserved": "pass", "auction-winner": "pass",
    }, found  # fmt: skip
    done = {(one.f, one.outcome) for one in history}
    assert {(f, "ok") for f in MIX} | {("open", "ok")} <= done
    assert found["auction-winner"]["detail"]["closed"] > 10
    if share:
        assert {("pay", "info"), ("settle", "info"), ("bid", "info"), ("close", "info")} <= done
        again = [one.value[0] for one in history if one.f == "pay" and isinstance(one.value, list)]
        assert len(set(again)) < len(again)  # what was in doubt was asked for again
    unanswered = [one for one in history if not says_something(one.outcome, one.error)]
    assert bool(unanswered) == bool(share)


def test_a_payment_that_is_retried_without_its_key_is_found_by_the_checker_of_money(monkeypatch):
    monkeypatch.setattr(payments, "PAUSE_S", 0.01)
    found = verdicts(asyncio.run(loaded(0.3, ["payment_retried_without_key"])))
    assert found["money-conserved"]["verdict"] == "fail"
    assert found["auction-winner"]["verdict"] == "pass", found["auction-winner"]


def test_generators_name_payments_apart_and_agree_on_terms():
    one, two = (Auctions(MIX, *numbering({"index": index, "generators": 2})) for index in (0, 1))
    named = []
    for workload in (one, two):
        for key in ("a", "b"):
            assert workload.prepare(0, "bid", key)[0] == "open"
            workload.observe("open", key, "already_exists", "fail")
        assert workload.prepare(1, "bid", "a") == one.prepare(1, "create", "a")
        named += [workload.prepare(number, "pay", "a")[1][0] for number in range(9)]
    assert len(set(named)) == 18
    with pytest.raises(ValueError, match=r"\['write'\]; allowed are"):
        Auctions({"write": 1.0}, 0, 1)


def problem(kind, **more):
    return json.dumps({"type": f"urn:foundation:problem:{kind}", **more})


@pytest.mark.parametrize(
    ("f", "status", "text", "expected"),
    [
        ("open", 409, problem("already-exists"), ("fail", "already_exists", "already_exists")),
        ("bid", 409, problem("bid-too-low", minimum=7), ("fail", 7, "too_low")),
        ("bid", 409, problem("auction-closed"), ("fail", "closed", "closed")),
        ("pay", 409, problem("insufficient-funds"), ("fail", "insufficient_funds", "insufficient_funds")),
        ("pay", 409, problem("key-reused"), ("fail", 5, "key-reused")),
        ("pay", 504, problem("indeterminate"), ("info", 5, "indeterminate")),
        ("pay", 503, problem("unavailable"), ("fail", 5, "unavailable")),
        ("pay", 201, "<html>", ("info", 5, "bad-answer")),
        ("settle", 201, "{}", ("info", 5, "bad-answer")),
        ("payment", 404, problem("not-found", revision=4), ("ok", {"absent_at": 4}, None)),
        ("auction", 404, problem("not-found"), ("ok", None, None)),
        ("accounts", 503, problem("no-majority"), ("fail", 5, "no-majority")),
        ("accounts", 200, '{"complete": false}', ("fail", 5, "bad-answer")),
    ],
)
def test_an_answer_is_what_it_says(f, status, text, expected):
    assert mabeam.answer_of(f, 5, status, text, "n1", "run/r0-1") == (*expected, "n1")
