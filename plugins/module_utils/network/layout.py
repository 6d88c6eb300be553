# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lay a node's part of the topology out in the kernel, take it back, and tell what is missing of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_json, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _netem,
    _netlink,
    _nft,
    _queue_rules,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import LIMIT
from ansible_collections.foundation.testbed.plugins.module_utils.network import part as parts
from ansible_collections.foundation.testbed.plugins.module_utils.network import rules
from ansible_collections.foundation.testbed.plugins.module_utils.network.part import NETEM, NFQUEUE, Part

# Seconds after a boot in which the network device has to have its address.
_DEVICE_S = 30.0
_SYSCTL = Path("/proc/sys/net/ipv4/conf")


def device_of(address: str) -> dict[str, Any]:
    """Return the network device that has an address, as `{"device", "mac"}`, empty where none has it."""
    done = _run("ip", "-json", "address", "show")
    for link in json.loads(done.stdout or "[]"):
        for one in link.get("addr_info", []):
            if one.get("local") == address:
                return {"device": str(link["ifname"]), "mac": str(link.get("address", ""))}
    return {}


def await_device(address: str) -> str:
    """Return the device of this node's address once it is there; raises RuntimeError."""
    deadline = time.monotonic() + _DEVICE_S
    while time.monotonic() < deadline:
        found = device_of(address)
        if found:
            return str(found["device"])
        time.sleep(0.1)
    raise RuntimeError(f"no network device has the address {address}")


def choose_backend(device: str) -> str:
    """Return what can hold packets here: tc netem where the kernel has it and the device is free."""
    taken = _netem.occupied(device)
    if (taken is None or rules.HANDLE in taken) and not netem_refused():
        return NETEM
    return NFQUEUE


def netem_refused() -> str:
    """Return why the kernel cannot hold packets by netem, empty where it can; tried in a network apart."""
    done = _run(
        "unshare", "--net", "tc", "-batch", "-", stdin=_lines(rules.tree("lo", {"192.0.2.1": 1.0}, 1))
    )
    return done.stderr.strip() if done.returncode != 0 else ""


def frames_of(part: Part, device: str, alone: bool) -> str:
    """Return the rules that refuse frames of nodes without a link."""
    linked = [part.macs[name] for name in part.neighbours]
    others = [mac for name, mac in part.macs.items() if name != part.node and mac not in linked]
    return rules.frames(device, part.addresses.values(), linked, others, alone)


def sysctls(device: str) -> dict[str, str]:
    """Return what has to be set: forward what comes from the device, and send nobody a shorter way."""
    return {
        f"{device}/forwarding": "1",
        f"{device}/send_redirects": "0",
        "all/send_redirects": "0",
        f"{device}/accept_redirects": "0",
        "all/accept_redirects": "0",
    }


def up(part: Part) -> None:
    """Lay it all out; what is there of an earlier one goes first. Raises RuntimeError or OSError."""
    down()
    device = await_device(part.own)
    before: dict[str, Any] = {"device": device, "sysctls": {}}
    if not part.complete:
        wanted = sysctls(device)
        before["sysctls"] = {name: (_SYSCTL / name).read_text(encoding="ascii").strip() for name in wanted}
    parts.BEFORE.parent.mkdir(parents=True, exist_ok=True)
    write_json(parts.BEFORE, before)
    if not part.complete:
        alone = before["sysctls"][f"{device}/forwarding"] == "0"
        _nft.load(frames_of(part, device, alone))
        for name, value in wanted.items():
            (_SYSCTL / name).write_text(value, encoding="ascii")
        set_ways(part, device, part.ways(), {})
    if part.held_ms():
        hold(part, device)


def hold(part: Part, device: str) -> None:
    """Have the kernel hold packets for each next hop, or hand them to the queues of `latency`."""
    held = part.held_ms()
    hops = list(held)
    if part.backend == NETEM:
        root, *rest = rules.tree(device, held, LIMIT)
        _checked("tc", *root)
        _checked("tc", "-batch", "-", stdin=_lines(rest))
        chosen = {hop: f"meta priority set {name}" for hop, name in rules.classes(hops).items()}
        _nft.load(rules.delays(device, hops, chosen))
        return
    queues = queues_of(part)
    by_statement = _queue_rules.knows_queue_statement()
    said = {hop: _queue_rules.queue_statement(queue) for hop, queue in queues.items()} if by_statement else {}
    _nft.load(rules.delays(device, hops, said))
    if not by_statement:
        for at, queue in enumerate(queues.values()):
            _netlink.add_queue_rule(rules.LATENCY_TABLE, f"via_{at}", queue)


def queues_of(part: Part) -> dict[str, int]:
    """Return the queue of each next hop whose link has a latency."""
    return {hop: rules.FIRST_QUEUE + at for at, hop in enumerate(part.held_ms())}


def set_ways(part: Part, device: str, ways: dict[str, str], before: dict[str, str]) -> None:
    """Have the routes lead as `ways` say, and tell who asks."""
    lines = rules.routes(device, part.own, ways, before)
    if lines:
        _run("ip", "-force", "-batch", "-", stdin="\n".join(lines) + "\n")
    write_json(parts.WAYS, ways)


def down() -> None:
    """Take everything back that is ours; does nothing where nothing is."""
    before = read_json(parts.BEFORE) or {}
    _run("ip", "route", "flush", "proto", str(rules.PROTOCOL))
    for family, table in (("inet", rules.TABLE), ("ip", rules.LATENCY_TABLE)):
        if _nft.listing(family, table):
            _nft.delete(family, table)
    device = str(before.get("device", ""))
    if device and rules.HANDLE in (_netem.occupied(device) or ""):
        _checked("tc", "qdisc", "del", "dev", device, "root")
    for name, value in before.get("sysctls", {}).items():
        if (_SYSCTL / name).exists():
            (_SYSCTL / name).write_text(value, encoding="ascii")
    for path in (parts.BEFORE, parts.WAYS):
        path.unlink(missing_ok=True)


def missing(part: Part) -> list[str]:
    """Return what is not in place of it, in words; empty where all is."""
    device = str(device_of(part.own).get("device", ""))
    if not device:
        return [f"no network device has the address {part.own}"]
    lacks = []
    if not part.complete:
        if not _has_rules("inet", rules.TABLE, 4):
            lacks.append(f"the rules of the table inet {rules.TABLE}")
        lacks += [
            f"net.ipv4.conf.{name.replace('/', '.')} = {value}"
            for name, value in sysctls(device).items()
            if (_SYSCTL / name).read_text(encoding="ascii").strip() != value
        ]
        wanted = {to: via for to, via in (parts.ways_now() or part.ways()).items() if to != via}
        there = routes_now()
        lacks += [f"the route to {to} through {via}" for to, via in wanted.items() if there.get(to) != via]
    if part.held_ms() and not _has_rules("ip", rules.LATENCY_TABLE, 1):
        lacks.append(f"the rules of the table ip {rules.LATENCY_TABLE}")
    if part.held_ms() and part.backend == NETEM and rules.HANDLE not in (_netem.occupied(device) or ""):
        lacks.append(f"the tree of netem at the root of {device}")
    return lacks


def routes_now() -> dict[str, str]:
    """Return the next hop of every route of ours."""
    done = _run("ip", "-json", "route", "show", "proto", str(rules.PROTOCOL))
    return {route["dst"]: str(route.get("gateway")) for route in json.loads(done.stdout or "[]")}


def _has_rules(family: str, table: str, least: int) -> bool:
    return sum("rule" in item for item in _nft.listing(family, table)) >= least


def _lines(commands: Sequence[Sequence[str]]) -> str:
    return "".join(" ".join(command) + "\n" for command in commands)


def _checked(*command: str, stdin: str = "") -> None:
    done = _run(*command, stdin=stdin)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")


def _run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=20)


def main() -> int:
    """Do what the unit asks: `up` or `down`."""
    if sys.argv[1:] == ["down"]:
        down()
        return 0
    part = parts.read()
    if part is None:
        print(f"there is no topology: {parts.CONFIG} does not exist", file=sys.stderr)
        return 1
    up(part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
