# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checker finds a service that breaks any clause of any contract that is shipped, and says which.

The services themselves keep them, on an etcd of one process; what they answered is then answered again with
one thing changed, in every way that the contract forbids.
"""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.check import Check
from ansible_collections.foundation.testbed.plugins.module_utils.contracts.exchange import asker
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import (
    contract_files,
    load_contract,
)
from ansible_collections.foundation.testbed.tests.support.contract_mutants import Recording, mutants
from ansible_collections.foundation.testbed.tests.support.running_services import running
from foundation_service import __main__ as foundation
from mabeam_service import __main__ as mabeam

MODULES = {"foundation": foundation, "mabeam": mabeam}
FILES = contract_files(list(MODULES))
UNIQUE = "test"


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def kept(request):
    """A contract, and what services answered to it."""
    contract = load_contract(request.param).model_dump()
    recording = Recording()
    with running(MODULES) as services:
        results = list(Check(contract, recording.recording(asker(services)), UNIQUE).results())
    assert [result for result in results if result.mismatches] == []
    return contract, recording, results


def clause(result):
    return (result.case, result.operation, result.outcome, result.clause)


def test_the_services_keep_it_and_every_outcome_was_shown(kept):
    contract, recording, results = kept
    shown = {(result.operation, result.outcome) for result in results}
    steps = {(step["operation"], step["outcome"]) for case in contract["cases"] for step in case["steps"]}
    assert shown == steps
    assert [clause(one) for one in recording.results(contract, UNIQUE)] == [clause(one) for one in results]


def test_every_mutant_is_caught_by_its_clause_and_every_clause_has_one(kept):
    contract, recording, results = kept
    killed, escaped = set(), []
    for mutant in mutants(contract, recording):
        found = recording.results(contract, UNIQUE, mutant.about, mutant.answer)
        broken = {clause(one) for one in found if one.mismatches}
        if mutant.clause in broken:
            killed.add(mutant.clause)
        else:
            escaped.append((mutant.clause, mutant.how))
    assert not escaped, escaped[:5]
    assert killed == {clause(one) for one in results}
