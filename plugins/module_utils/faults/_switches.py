# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each power switch of a node can do, so that a plan asks for no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# A node that nobody can switch.
NONE = "none"
OWN_KERNEL = "this provider's nodes share the host's kernel: a panic would end the host with all nodes"


@dataclass(frozen=True)
class Ability:
    """What a switch can do; `refused` says for an action why it cannot."""

    title: str
    actions: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)


SWITCHES: Mapping[str, Ability] = {
    "container": Ability("the container provider", ("crash", "off", "reboot"), {"panic": OWN_KERNEL}),
    "vm": Ability("libvirt", ("crash", "off", "panic", "reboot")),
    "redfish": Ability("a management controller, by Redfish", ("crash", "off", "panic", "reboot")),
    "ipmi": Ability("a management controller, by IPMI", ("crash", "off", "panic", "reboot")),
    "sysrq": Ability(
        "the host's own kernel",
        ("crash", "panic", "reboot"),
        {"off": "it has no management controller that would switch it on again"},
    ),
    NONE: Ability("none", ()),
}
NO_SWITCH = "the inventory names no power switch for it (key power of the node)"


def lacks(action: str, switch: str) -> str:
    """Say why a switch cannot do something, empty where it can. Pure."""
    ability = SWITCHES.get(switch, SWITCHES[NONE])
    if action in ability.actions:
        return ""
    return ability.refused.get(action, NO_SWITCH)


def refusal(action: str, switches: Mapping[str, str]) -> str:
    """Say of all nodes that cannot do an action what is missing, and what all can; empty where all can."""
    missing = {node: reason for node, switch in switches.items() if (reason := lacks(action, switch))}
    if not missing:
        return ""
    shared = set.intersection(*(set(SWITCHES.get(one, SWITCHES[NONE]).actions) for one in switches.values()))
    told = "; ".join(f"{node}: {reason}" for node, reason in missing.items())
    return (
        f"action: given {action!r} for {', '.join(missing)}; "
        f"allowed: {', '.join(sorted(shared)) or 'nothing'}, as {told}"
    )
