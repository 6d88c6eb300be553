# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packets that tell whether a rule blocks them."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import Probe, checksum, segment
from hypothesis import given
from hypothesis import strategies as st


class FakeSocket:
    def __init__(self, problem=None):
        self.problem, self.sent = problem, []

    def sendto(self, payload, address):
        self.sent.append((payload, address))
        if self.problem:
            raise self.problem


@pytest.mark.parametrize(
    ("problem", "passes"), [(None, True), (PermissionError(), False), (OSError(105, "no buffer"), True)]
)
def test_only_a_rule_blocks_a_probe(problem, passes):
    probe = Probe.__new__(Probe)
    probe.socket, probe.packet = FakeSocket(problem), segment("udp", 9)
    assert probe.passes("10.0.0.1") is passes


@given(st.binary(max_size=60).filter(lambda data: len(data) % 2 == 0))
def test_a_packet_with_its_checksum_sums_up_to_nothing(data):
    """RFC 1071: that is how a peer tells that it is whole."""
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


@pytest.mark.parametrize(("protocol", "length"), [("tcp", 20), ("udp", 8), ("icmp", 8)])
def test_a_probe_names_its_port_where_rules_look_for_it(protocol, length):
    packet = segment(protocol, 2380)
    assert len(packet) == length
    assert protocol == "icmp" or int.from_bytes(packet[2:4], "big") == 2380
