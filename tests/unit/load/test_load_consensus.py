# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workload of consensus, and what the client of mabeam asks and makes of answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ansible_collections.foundation.testbed.plugins.module_utils.load.answers import says_something
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import load_client, numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.consensus import (
    CHOICES,
    MEMBERS,
    MIX,
    Consensus,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.consensus import check_consensus
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.tests.support import services
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import SETTINGS

services.on_path()
mabeam = load_client(Path(__file__).parents[3] / "roles/mabeam/files/client.py")


def test_every_member_votes_either_way_in_turn():
    """So that proposals are approved and rejected, and several clients vote for one member at once."""
    workload = Consensus(MIX, *numbering({"index": 1, "generators": 2}))
    votes = {tuple(workload.prepare(number, "vote", "a")[1]) for number in range(100)}
    assert votes == {(member, choice) for member in range(MEMBERS) for choice in CHOICES}
    assert workload.prepare(0, "propose", "b") == ("propose", MEMBERS)
    assert workload.prepare(0, "read", "c") == ("read", None)
    assert workload.final_reads() == [("read", "a"), ("read", "b"), ("read", "c")]
    with pytest.raises(ValueError, match=r"\['write'\]; allowed are"):
        Consensus({"write": 1.0}, 0, 1)


PROBLEM = "urn:foundation:problem:"


@pytest.mark.parametrize(("f", "status", "kind", "expected"), [
    ("read", 404, "not-found", ("ok", None, None)),
    ("vote", 404, "not-found", ("fail", [1, "approve"], "not_found")),
    ("vote", 409, "already-voted", ("fail", [1, "approve"], "already_voted")),
    ("vote", 409, "closed", ("fail", [1, "approve"], "closed")),
    ("vote", 503, "no-majority", ("fail", [1, "approve"], "no-majority")),
    ("vote", 504, "indeterminate", ("info", [1, "approve"], "indeterminate")),
    ("read", 504, "indeterminate", ("fail", [1, "approve"], "indeterminate")),
    ("propose", 409, "already-exists", ("fail", [1, "approve"], "already_exists")),
    ("write", 409, "already-exists", ("ok", [1, "approve"], None)),
])  # fmt: skip
def test_what_problems_say_of_an_operation(f, status, kind, expected):
    text = json.dumps({"type": PROBLEM + kind})
    done = mabeam.answer_of(f, [1, "approve"], status, text, "n1")
    assert done[:3] == expected


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"outcome": 1}'])
def test_an_answer_that_is_none_leaves_a_write_in_doubt(text):
    assert mabeam.answer_of("vote", 1, 500, text, "n1").type == "info"
    assert mabeam.answer_of("read", None, 200, text, "n1").type == "fail"


def test_the_client_and_the_service_agree():
    """A proposal from its first vote to its decision, as a history that the checker accepts."""

    async def scenario():
        from mabeam_service import __main__ as service

        built = service.build(SETTINGS, FakeEtcd(), check_answers=True)
        tasks = [asyncio.ensure_future(each) for each in built.background]
        async with TestClient(TestServer(built.application)) as served:
            endpoint = {"n1": f"127.0.0.1:{served.port}"}
            client = mabeam.Client(endpoint, 5.0, {})
            done = []

            async def do(f, value=None):
                answer = await client.invoke(f, "t/c0-0", value)
                assert says_something(answer.type, answer.error), answer
                at = len(done) * 10
                done.append(
                    Operation(
                        "o-0", at, 0, "any", f, "c0-0", answer.value, at, at + 5, at, "n1", answer.type,
                        answer.error, "main",
                    )
                )  # fmt: skip
                return answer

            while (await client.invoke("write", "probe", 1)).type != "ok":
                await asyncio.sleep(0.01)
            assert (await do("read")).value is None
            assert (await do("vote", [0, "approve"])).error == "not_found"
            assert (await do("propose", MEMBERS)).type == "ok"
            for member in (0, 1, 2):
                assert (await do("vote", [member, "approve"])).type == "ok"
            while (await do("read")).value["outcome"] is None:
                await asyncio.sleep(0.01)
            await client.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return done

    done = asyncio.run(scenario())
    assert done[-1].value["outcome"]["decision"] == "approved"
    assert check_consensus(done).verdict == "pass"


def test_a_node_says_how_it_is_and_whether_it_coordinates():
    async def scenario():
        from mabeam_service import __main__ as service

        built = service.build(SETTINGS, FakeEtcd(), check_answers=True)
        tasks = [asyncio.ensure_future(each) for each in built.background]
        async with TestClient(TestServer(built.application)) as served:
            address, said = f"127.0.0.1:{served.port}", {}
            while not said.get("leader"):
                said = await asyncio.to_thread(mabeam.status, address, 5.0)
            version = await asyncio.to_thread(mabeam.version, address)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return said, version

    said, version = asyncio.run(scenario())
    assert (said["healthy"], said["mode"], said["error"], version) == (True, "normal", None, "1")
    silent = mabeam.status("127.0.0.1:1", 0.2)
    assert (silent["healthy"], silent["error"]) == (False, "refused")
