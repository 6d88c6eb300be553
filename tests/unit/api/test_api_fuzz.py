# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each service, asked whatever its own OpenAPI description allows and forbids, made by schemathesis.

Nothing is a 5xx, every answer is as described, what the description forbids is refused, every refusal is a
problem document (RFC 9457), and a refused request has changed nothing.
"""

from __future__ import annotations

import pytest
import requests
import schemathesis
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.running_services import running
from foundation_service import __main__ as foundation
from hypothesis import HealthCheck, Phase, given, settings
from mabeam_service import __main__ as mabeam
from schemathesis import GenerationMode, checks

SERVICES = {"foundation": foundation, "mabeam": mabeam}
OWN_WORK = (
    "/mabeam/coordination/",
    "/foundation/events/",
    "/foundation/telemetry/",
    "/mabeam/economics/auctions/",
)
"""Where mabeam itself goes on with what it was asked earlier: it decides, shares, closes, and tells of it."""
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
QUICK = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=sorted(SERVICES))
def service(request):
    """A service's description, where it is, and its store."""
    etcd = FakeEtcd()
    with running({request.param: SERVICES[request.param]}, etcd) as services:
        address = services[request.param]["here"]
        schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
        yield request.param, address, schema, etcd


def stored(name, etcd):
    """What is stored that only requests change."""
    kept = dict(etcd.kvs)
    return {key: kv for key, kv in kept.items() if name == "foundation" or not key.startswith(OWN_WORK)}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_whatever_is_asked_is_answered_as_described(service, mode):
    name, address, schema, etcd = service
    asked, refused = 0, 0
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            if mode is GenerationMode.NEGATIVE and not has_inputs(operation):
                continue

            @QUICK
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case):
                nonlocal asked, refused
                before = stored(name, etcd)
                response = case.call(base_url=address, session=session, timeout=20)
                case.validate_response(response, checks=CHECKS)
                asked += 1
                if response.status_code >= 400:
                    refused += 1
                    assert_problem(response)
                    assert stored(name, etcd) == before, (case.method, case.path, response.json())

            ask()
    assert asked > 100 and refused > 10


def has_inputs(operation):
    """Whether there is anything that a request could have wrong."""
    return any([*operation.path_parameters, *operation.query, *operation.body])


def assert_problem(response):
    """A refusal is one problem document."""
    document = response.json()
    assert response.headers["content-type"][0].startswith("application/problem+json")
    assert document["status"] == response.status_code
    assert document["type"].startswith("urn:foundation:problem:")
    assert document["title"] and document["detail"]
