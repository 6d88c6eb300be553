# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The registry through its API, every answer held against its own description."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import ROLES_DIR, read_system
from ansible_collections.foundation.testbed.tests.support.served import kind
from ansible_collections.foundation.testbed.tests.support.served_foundation import served
from foundation_service import __main__ as service
from foundation_service.registry import PREFIX as NAMES_KEPT
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from testbed_service.etcd import Indeterminate, Refused

NAMES = "/v1/registry/names/"
LEASES = "/v1/registry/leases"


def test_the_contract_of_the_registry():
    """S6.1: ok or already_registered; the owner or not_found; ok or not_found; and an event for each."""

    async def scenario(ask, etcd):
        start = (await ask("GET", "/v1/status")).body["revision"]
        assert kind(await ask("GET", NAMES + "a")) == "not-found"
        done = await ask("PUT", NAMES + "a", {"owner": "one", "metadata": {"role": "worker"}})
        assert done.status == 201
        taken = await ask("PUT", NAMES + "a", {"owner": "two"})
        assert (taken.status, kind(taken), taken.body["owner"]) == (409, "already-registered", "one")
        found = await ask("GET", NAMES + "a")
        assert (found.status, found.body) == (200, done.body)
        gone = await ask("DELETE", NAMES + "a")
        assert (gone.status, gone.body["owner"]) == (200, "one")
        again = await ask("DELETE", NAMES + "a")
        assert (again.status, kind(again)) == (404, "not-found")
        changes = await ask("GET", f"/v1/registry/changes?after={start}&wait_s=5")
        while len(changes.body["changes"]) < 2:
            changes = await ask("GET", f"/v1/registry/changes?after={start}&wait_s=5")
        told = [(each["change"], each["name"], each["owner"]) for each in changes.body["changes"]]
        assert told == [("registered", "a", "one"), ("unregistered", "a", "one")]

    served(scenario)


def test_names_vanish_with_their_lease():
    async def scenario(ask, etcd):
        lease = (await ask("POST", LEASES, {"ttl_s": 5})).body["lease"]
        assert (await ask("PUT", NAMES + "a", {"owner": "one", "lease": lease})).body["lease"] == lease
        assert (await ask("POST", f"{LEASES}/{lease}/keepalive")).body == {"lease": lease, "ttl_s": 5}
        assert (await ask("DELETE", f"{LEASES}/{lease}")).status == 204
        assert (await ask("GET", NAMES + "a")).status == 404
        for method, path in (("DELETE", f"{LEASES}/{lease}"), ("POST", f"{LEASES}/{lease}/keepalive")):
            ended = await ask(method, path)
            assert (ended.status, kind(ended)) == (404, "lease-not-found")
        late = await ask("PUT", NAMES + "b", {"owner": "one", "lease": lease})
        assert (late.status, kind(late)) == (404, "lease-not-found")
        assert (await ask("GET", NAMES + "b")).status == 404
        assert (await ask("DELETE", f"{LEASES}/{2**63}")).status == 404

    served(scenario)


def test_local_lookups_are_an_option_and_a_planted_bug_makes_them_the_default():
    async def scenario(ask, etcd):
        await ask("PUT", NAMES + "a", {"owner": "one"})
        while (await ask("GET", NAMES + "a?consistency=local")).status != 200:
            await asyncio.sleep(0.001)
        before = len(etcd.asked)
        assert (await ask("GET", NAMES + "a?consistency=local")).body["owner"] == "one"
        local = len(etcd.asked) - before
        await ask("GET", NAMES + "a")
        return local, len(etcd.asked) - before

    assert served(scenario) == (0, 1)
    assert served(scenario, faulty=["registry_local_reads"]) == (0, 0)


@pytest.mark.parametrize(
    ("error", "write", "read"),
    [
        (Indeterminate("timeout"), (504, "indeterminate"), (503, "unavailable")),
        (Refused("no-leader"), (503, "unavailable"), (503, "unavailable")),
    ],
)
def test_each_operation_says_what_became_of_it(error, write, read):
    async def scenario(ask, etcd):
        for method, body, expected in (
            ("PUT", {"owner": "one"}, write),
            ("DELETE", None, write),
            ("GET", None, read),
        ):
            etcd.fail(error, NAMES_KEPT)
            answer = await ask(method, NAMES + "a", body)
            assert (answer.status, kind(answer)) == expected
        etcd.fail(error, "/lease/grant")
        assert (await ask("POST", LEASES, {"ttl_s": 5})).status == write[0]

    served(scenario)


def test_a_node_without_a_majority_refuses_and_says_so():
    async def scenario(ask, etcd):
        etcd.ask = unreachable
        while (await ask("GET", "/v1/status")).body["mode"] != "safe_mode":
            await asyncio.sleep(0.01)
        for method, body in (("PUT", {"owner": "one"}), ("DELETE", None), ("GET", None)):
            refused = await ask(method, NAMES + "a", body)
            assert (refused.status, kind(refused), refused.body["mode"]) == (503, "no-majority", "safe_mode")
        assert (await ask("GET", NAMES + "a?consistency=local")).status == 404
        del etcd.ask
        end = time.monotonic() + 5
        while (await ask("GET", "/v1/status")).body["mode"] != "normal":
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert (await ask("PUT", NAMES + "a", {"owner": "one"})).status == 201

    async def unreachable(*_arguments, **_more):
        raise Refused("timeout")

    served(scenario, detect_s=0.1, safe_s=0.2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
REGISTERING = st.fixed_dictionaries({"owner": JSON}, optional={"lease": st.text(), "metadata": JSON})
PART = st.text(min_size=1, max_size=20) | st.integers(0, 2**70).map(str)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    ("PUT", NAMES + "{}"),
                    ("GET", NAMES + "{}"),
                    ("DELETE", NAMES + "{}"),
                    ("POST", LEASES),
                    ("DELETE", LEASES + "/{}"),
                    ("POST", LEASES + "/{}/keepalive"),
                    ("GET", "/v1/registry/changes?after={}"),
                    ("GET", NAMES + "a?consistency={}"),
                ]
            ),
            PART,
            st.none()
            | JSON
            | st.fixed_dictionaries({"owner": JSON}, optional={"lease": PART, "metadata": JSON}),
        ),
        max_size=8,
    )
)
def test_nothing_that_is_asked_is_a_defect(requests):
    """Whatever comes is answered as the description says; what the service did not foresee would be a 500."""

    async def scenario(ask, etcd):
        for (method, path), part, body in requests:
            answer = await ask(method, path.format(quote(part, safe="", errors="surrogatepass")), body)
            assert answer.status < 500

    served(scenario)


def test_the_description_is_served_and_its_schemas_are_schemas():
    async def scenario(ask, etcd):
        document = (await ask("GET", "/v1/openapi.json")).body
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        return document

    assert served(scenario) == service.description().document


def test_the_bugs_that_can_be_planted_are_those_that_the_role_knows():
    system = read_system("foundation")
    assert tuple(system.options["faulty"].words) == service.FAULTY
    specs = (ROLES_DIR / "foundation/meta/argument_specs.yml").read_text()
    assert f"choices: [{', '.join(service.FAULTY)}]" in specs
