# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bridge that joins the nodes of one lab to each other and to this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import socket
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, run, wait_until


def bridge_name(testbed_id: str) -> str:
    """Name of a lab's bridge; a testbed id has at most 11 characters, a link name 15."""
    return f"tb-{testbed_id}"


def conflicting_route(routes: list[dict[str, Any]], subnet: str, own_link: str) -> Optional[str]:
    """Return what already uses the subnet on this machine, or None."""
    wanted = ipaddress.ip_network(subnet)
    for route in routes:
        if route.get("dst", "default") == "default" or route.get("dev") == own_link:
            continue
        if wanted.overlaps(ipaddress.ip_network(route["dst"], strict=False)):
            return f"{route['dst']} on {route.get('dev', '?')}"
    return None


def present(name: str) -> bool:
    """Tell whether the link exists."""
    return Path("/sys/class/net", name).exists()


def is_bridge(name: str) -> bool:
    """Tell whether there is a bridge of this name."""
    return Path("/sys/class/net", name, "bridge").is_dir()


def ensure(testbed_id: str, gateway: str, subnet: str) -> bool:
    """Make the bridge with this machine's address; returns whether anything changed. Raises LabError."""
    name = bridge_name(testbed_id)
    prefix = ipaddress.ip_network(subnet).prefixlen
    used = conflicting_route(json.loads(run(["ip", "-j", "-4", "route"]) or "[]"), subnet, name)
    if used:
        raise LabError(
            f"subnet: given {subnet}; this machine already uses {used}; allowed: a network that is free here"
        )
    if present(name):
        addresses = json.loads(run(["ip", "-j", "-4", "address", "show", "dev", name]))[0]["addr_info"]
        if any(a["local"] == gateway and a["prefixlen"] == prefix for a in addresses):
            return False
        raise LabError(
            f"the link {name} exists but is not this lab's bridge ({gateway}/{prefix}); "
            "remove it or choose another testbed_id"
        )
    _refuse_dropping_firewall(name)
    run(["ip", "link", "add", name, "type", "bridge"])
    run(["ip", "address", "add", f"{gateway}/{prefix}", "dev", name])
    run(["ip", "link", "set", name, "up"])
    return True


def remove(testbed_id: str) -> bool:
    """Remove the bridge; returns whether it was there."""
    name = bridge_name(testbed_id)
    if not present(name):
        return False
    run(["ip", "link", "delete", name])
    return True


def remove_port(index: int, patience_s: float = 5.0) -> None:
    """Wait until the link of a killed node is gone, and remove it where it stays."""

    def gone() -> bool:
        return _name_of(index) is None

    if not wait_until(gone, patience_s):
        with contextlib.suppress(LabError):  # it may go in this very moment
            run(["ip", "link", "delete", str(_name_of(index))])


def cut_port(index: int) -> None:
    """Remove the link of a node that runs: it is off the network at once."""
    with contextlib.suppress(LabError):  # it may go in this very moment
        run(["ip", "link", "delete", str(_name_of(index))])


def _name_of(index: int) -> Optional[str]:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


def _refuse_dropping_firewall(name: str) -> None:
    """Say so, and change nothing, where the machine's own FORWARD chain would drop bridged packets."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if (
        not switch.exists()
        or switch.read_text(encoding="utf-8").strip() != "1"
        or not shutil.which("iptables")
    ):
        return
    rules = run(["iptables", "-S", "FORWARD"]).splitlines()
    if "-P FORWARD DROP" in rules and not any(name in rule and "ACCEPT" in rule for rule in rules):
        raise LabError(
            "this machine's firewall drops forwarded packets (FORWARD policy DROP) and is asked about "
            "bridged ones too (net.bridge.bridge-nf-call-iptables=1): nodes could not reach each other. "
            f"Allow the lab first: iptables -I FORWARD -i {name} -o {name} -j ACCEPT"
        )
