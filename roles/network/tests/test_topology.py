# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The topology is real: it is laid out on every node, and packets go the ways that were asked."""

from __future__ import annotations

import json
import shlex

import pytest

testinfra_hosts = ["ansible://nodes"]

AGENT = "/usr/local/lib/foundation-testbed/agent.pyz"
MEASURE = "ansible_collections.foundation.testbed.plugins.module_utils.network.measure"
TIMEOUT_S = 10


def test_the_topology_is_laid_out(host):
    """Its unit runs and its rules are there; of a full mesh without latency there is neither."""
    wanted = bool(host.ansible.get_variables()["testbed_links"])
    assert host.run("systemctl is-active foundation-testbed-topology.service").succeeded == wanted
    assert ("foundation_topology" in host.check_output("nft list tables")) == wanted


def test_ways_are_as_asked(host, record_testsuite_property, capsys):
    """Answers of every other node come over as many links as asked, and as late within a tenth or 2 ms."""
    variables = host.ansible.get_variables()
    expected = variables.get("testbed_expected")
    if not expected:
        pytest.skip("a full mesh without latency")
    asked = f"{shlex.quote(json.dumps(expected))} {TIMEOUT_S}"
    ways = json.loads(host.check_output(f"PYTHONPATH={AGENT} python3 -m {MEASURE} {asked}"))
    for peer, way in ways.items():
        name = f"{variables['inventory_hostname']} to {peer}"
        told = (
            f"asked {way['asked_ms']:g} ms over {way['asked_hops']}, "
            f"measured {way['measured_ms']} ms over {way['hops']} of {way['answers']} answers"
        )
        record_testsuite_property(name, told)
        with capsys.disabled():
            print(f"{name}: {told}{'' if way['right'] else '  <- deviates'}")
    assert [peer for peer, way in ways.items() if not way["right"]] == []
