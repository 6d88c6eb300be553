# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Peers that a fault is about, by name or by address."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping, Sequence

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed


def peer_address(peer: str, known: Mapping[str, str], management: Sequence[str], own: str = "") -> str:
    """Return the address of a peer given by name or by address; raises ValueError.

    `own` is that of the node which is to be cut from it.
    """
    address = known.get(peer) or _ipv4(peer, known)
    reason = _beyond_reach(address)
    if address in management:
        reason = "the management address: the controller would lose its nodes"
    elif address == own:
        reason = "the node's own address"
    if reason:
        raise ValueError(f"peers: given {peer!r}, {reason}; allowed: any other")
    return address


def _ipv4(peer: str, known: Mapping[str, str]) -> str:
    try:
        return str(ipaddress.IPv4Address(peer))
    except ValueError:
        raise ValueError(f"peers: {not_allowed(peer, known)}; or an IPv4 address") from None


@functools.lru_cache(maxsize=1024)
def _beyond_reach(address: str) -> str:
    """Return why no single peer has such an address, empty where one may."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # an inventory may know a host by name alone
        return ""
    kinds = {
        "a loopback address": parsed.is_loopback,
        "the unspecified address": parsed.is_unspecified,
        "a multicast address": parsed.is_multicast,
    }
    return next((kind for kind, given in kinds.items() if given), "")
