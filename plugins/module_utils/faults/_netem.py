# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Link impairment by tc netem: one tree of our own at the root of the device, where nobody else has one."""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.faults._impairment import Impairment

# Handles of ours: 7000: to 7fff:, by the name of the fault.
_FIRST_HANDLE, _HANDLES = 0x7000, 0x1000
# The tree that holds the latencies of a topology.
TOPOLOGY_HANDLE = "6f00:"
_NETEM_CLASS, _OTHERS_CLASS = 2, 1


def handle_of(table: str) -> str:
    """Return the handle of a fault's root qdisc."""
    return f"{_FIRST_HANDLE + zlib.crc32(table.encode()) % _HANDLES:x}:"


def is_ours(handle: str) -> bool:
    """Tell whether a handle lies in our range."""
    try:
        return 0 <= int(handle.rstrip(":"), 16) - _FIRST_HANDLE < _HANDLES
    except ValueError:
        return False


def netem_arguments(asked: Impairment) -> list[str]:
    """Return what to tell netem."""
    said = ["limit", str(asked.limit)]
    if asked.delay_s:
        said += ["delay", f"{asked.delay_s * 1e6:.0f}us"]
        if asked.jitter_s:
            said += [f"{asked.jitter_s * 1e6:.0f}us"]
            said += [] if asked.distribution == "uniform" else ["distribution", asked.distribution]
    if asked.loss and asked.loss_burst:
        said += ["loss", "gemodel", _percent(asked.burst_begin), _percent(asked.burst_end)]
    elif asked.loss:
        said += ["loss", "random", _percent(asked.loss)]
    for key in ("duplicate", "corrupt", "reorder"):
        share = getattr(asked, key)
        said += [key, _percent(share)] if share else []
    return said + (["rate", f"{asked.rate_bps:.0f}bit"] if asked.rate_bps else [])


def _percent(share: float) -> str:
    return f"{share * 100:.6f}%"


def selectors(protocol: Optional[str], ports: Sequence[int]) -> list[list[str]]:
    """Return what a packet must be beside its address: one u32 filter each."""
    if not protocol:
        return [[]]
    number = {"icmp": "1", "tcp": "6", "udp": "17"}[protocol]
    of_protocol = ["match", "ip", "protocol", number, "0xff"]
    if not ports:
        return [of_protocol]
    sides = ("dport", "sport")
    return [[*of_protocol, "match", "ip", side, str(port), "0xffff"] for side in sides for port in ports]


def commands(device: str, handle: str, program: dict[str, Any]) -> list[list[str]]:
    """Return the tc commands of a fault; only the last ones, the filters, make it felt.

    What no filter chooses goes through a plain queue of the first class.
    """
    on = ["dev", device]
    netem = ["parent", f"{handle}{_NETEM_CLASS}", "netem", *netem_arguments(Impairment.of(program))]
    first = ["filter", "add", *on, "parent", handle, "protocol", "ip", "prio", "1", "u32"]
    chosen = selectors(program.get("protocol"), program.get("ports", []))
    return [
        ["qdisc", "add", *on, "root", "handle", handle, "prio", "bands", "2", "priomap", *["0"] * 16],
        ["qdisc", "add", *on, *netem],
        *(
            [*first, "match", "ip", "dst", f"{peer}/32", *selector, "flowid", f"{handle}{_NETEM_CLASS}"]
            for peer in sorted(program["affected"].values())
            for selector in chosen
        ),
    ]


def reasons(program: dict[str, Any]) -> list[str]:
    """Why the kernel cannot do this very fault by netem; tried in a network namespace of its own."""
    for tool in ("tc", "unshare"):
        if shutil.which(tool) is None:
            return [f"{tool} is not installed"]
    done = _batch(["unshare", "--net"], commands("lo", "7fff:", program))
    if done.returncode == 0:
        return []
    said = [
        line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Command failed")
    ]
    return [f"tc netem does not work here: {'; '.join(said) or 'no reason given'}"]


def occupied(device: str) -> Optional[str]:
    """Return what holds the root of a device, None when it is the kernel's own default."""
    roots = [qdisc for qdisc in _qdiscs(device) if qdisc.get("root")]
    for root in roots:
        if root["handle"] != "0:":
            whose = "another link fault" if is_ours(root["handle"]) else "the user"
            whose = "the topology" if root["handle"] == TOPOLOGY_HANDLE else whose
            return f"{root['kind']} {root['handle']} of {whose} is at the root of {device}"
    return None


def install(device: str, handle: str, program: dict[str, Any]) -> None:
    """Put the tree in place; raises RuntimeError, and leaves nothing then."""
    root, *rest = commands(device, handle, program)
    done = _tc(*root)
    if done.returncode != 0:
        raise RuntimeError(f"tc: {done.stderr.strip()}")
    done = _batch([], rest)
    if done.returncode != 0:
        remove(handle)
        raise RuntimeError(f"tc: {done.stderr.strip()}")


def remove(handle: str) -> None:
    """Remove the tree of a fault from whatever device it is on; the kernel puts its own default back."""
    for qdisc in _qdiscs():
        if qdisc.get("root") and qdisc["handle"] == handle and qdisc["kind"] == "prio":
            done = _tc("qdisc", "del", "dev", qdisc["dev"], "root", "handle", handle)
            if done.returncode != 0 and handle in {one["handle"] for one in _qdiscs(qdisc["dev"])}:
                raise RuntimeError(f"tc: {done.stderr.strip()}")


def trees() -> list[tuple[str, str]]:
    """Return the handle and the device of every tree of ours."""
    return [
        (qdisc["handle"], qdisc["dev"])
        for qdisc in _qdiscs()
        if qdisc.get("root") and qdisc["kind"] == "prio" and is_ours(qdisc["handle"])
    ]


def look(device: str, handle: str, filters: int) -> dict[str, Any]:
    """Return whether the tree and so many filters are in place, and what netem has counted."""
    parent = f"{handle}{_NETEM_CLASS}"
    netem = [one for one in _qdiscs(device) if one["kind"] == "netem" and one.get("parent") == parent]
    listed = _tc("filter", "show", "dev", device, "parent", handle).stdout
    found = sum(f"flowid {parent}" in line for line in listed.splitlines())
    counted = netem[0] if netem else {}
    return {
        "present": bool(netem) and found == filters,
        "seen": counted.get("packets", 0) + counted.get("drops", 0),
        "bytes": counted.get("bytes", 0),
        "dropped": counted.get("drops", 0),
        "holding": counted.get("qlen", 0),
    }


def _qdiscs(device: str = "") -> list[dict[str, Any]]:
    if shutil.which("tc") is None:
        return []
    done = _tc("-s", "-json", "qdisc", "show", *(["dev", device] if device else []))
    listed = json.loads(done.stdout or "[]")
    return [{"dev": device, **qdisc} for qdisc in listed if qdisc]


def _tc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False, timeout=20)


def _batch(before: Sequence[str], lines: Sequence[Sequence[str]]) -> subprocess.CompletedProcess[str]:
    text = "".join(" ".join(line) + "\n" for line in lines)
    return subprocess.run(
        [*before, "tc", "-batch", "-"], input=text, capture_output=True, text=True, check=False, timeout=20
    )
