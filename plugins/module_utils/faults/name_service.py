# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name service: names of other hosts resolve to nothing, or to a wrong node.

A composed hosts file lies over /etc/hosts as a bind mount from memory, and one that names no living server
over /etc/resolv.conf: nothing on the disk changes, and a reboot ends it. All faults of this kind on a node
share the two mounts: the file is composed anew from those that are active; the last one takes them away.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    flag,
    many,
    name,
    not_allowed,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _hosts_files, _lookups

NSSWITCH = Path("/etc/nsswitch.conf")
# How many names are looked up to see the effect.
WATCHED = 3
# How long the answers of before may take: the start must not wait for them.
BEFORE_S = 0.4
# Seconds within which names have to resolve as before.
RECOVERY_S = 5.0


def sources(nsswitch: str) -> list[str]:
    """Return where this node looks for hosts, in order; glibc's own order where nothing is said."""
    for line in nsswitch.splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        if key.strip() == "hosts":
            return re.sub(r"\[[^]]*\]", "", value).split()
    return ["dns", "files"]


def draw_wrong(names: Sequence[str], targets: Targets, known: Mapping[str, str]) -> dict[str, Optional[str]]:
    """Return for each name the address of a node that is not its own; raises ValueError."""
    found: dict[str, Optional[str]] = {}
    for one in names:
        others = [address for address in targets.cluster.nodes.values() if address != known.get(one)]
        if not others:
            raise ValueError(f"to: is required but missing: there is no other node that {one!r} could be")
        found[one] = targets.draw.choice(others)
    return found


class NameService(Fault):
    """Names that resolve wrongly on this node. Program: `names` (address by name, null for none), `dns`."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(
            choice("nothing", "wrong"), "whether names resolve to nothing or to a wrong node", required=True
        ),
        "names": Parameter(many(name), "names that are affected; all other nodes' where not given"),
        "to": Parameter(name, "node or address that the names resolve to; drawn from the seed if not given"),
        "dns": Parameter(flag, "whether DNS is cut off as well, for all names", False),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "name service: names resolve to nothing",
            "action: nothing, names: [n2]",
            "a composed hosts file bind-mounted over /etc/hosts; with `dns: true` a dead resolver over "
            "/etc/resolv.conf",
            "lookups in fresh processes before, during and after; our mount on top",
        ),
        Row("name service: names resolve to a wrong node", "action: wrong, to: n3", "the same", "the same"),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.trace = _hosts_files.TRACE_PREFIX + re.sub(
            r"[^a-z0-9_]", "_", f"{context.run}_{context.fault_id}".lower()
        )
        self.told: dict[str, Optional[str]] = dict(self.program["names"])
        self.watched = sorted(self.told)[:WATCHED]
        self.before: Optional[_lookups.Answers] = None
        self.running: Optional[_lookups.Lookups] = None
        self.last: _lookups.Answers = {}
        self.counts = {"asked": 0, "as_told": 0, "changed": 0, "otherwise": 0, "slow": 0}

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Only what is wrong goes anywhere; localhost stays right."""
        if "to" in params and params["action"] == "nothing":
            yield "to: given for 'nothing'; allowed: for wrong only"
        for one in params.get("names", []):
            if one.lower().startswith("localhost"):
                yield f"names: given {one!r}; allowed: names of other hosts, as every system needs this one"

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node is told its own answers; no node is told anything of itself."""
        known = {**targets.cluster.nodes, **targets.cluster.observers}
        given = params.get("names", list(targets.cluster.nodes))
        for one in given:
            if one not in known and "." not in one:
                raise ValueError(f"names: {not_allowed(one, known)}; or a name with a domain")
        to = _address(params["to"], known) if "to" in params else None
        programs = {}
        for node in targets.chosen:
            names = [one for one in given if one != node and (to is None or known.get(one) != to)]
            told: Mapping[str, Optional[str]] = dict.fromkeys(names, to)
            if params["action"] == "wrong" and to is None:
                told = draw_wrong(names, targets, known)
            if told:
                programs[node] = {"names": dict(told), "dns": params["dns"]}
        if not programs:
            raise ValueError("names: no name would resolve otherwise than before; allowed: others")
        return programs

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Whether this node looks into the files that are to be covered, and may mount."""
        reasons = []
        if os.geteuid() != 0:
            reasons.append("mounting needs root")
        if not _hosts_files.HOSTS.is_file():
            reasons.append(f"there is no {_hosts_files.HOSTS} to cover")
        looked = sources(NSSWITCH.read_text(encoding="utf-8") if NSSWITCH.is_file() else "")
        if "files" not in looked:
            reasons.append(f"{NSSWITCH} does not look for hosts in files, but in {', '.join(looked)}")
        if program["dns"] and not _hosts_files.RESOLVER.is_file():
            reasons.append(
                f"there is no {_hosts_files.RESOLVER} to cover, so no DNS server of its own to cut off"
            )
        own = {socket.gethostname().lower(), socket.gethostname().split(".")[0].lower()}
        mine = sorted(own & {one.lower() for one in program["names"]})
        return reasons + [f"{one} is this node's own name" for one in mine]

    def undo(self) -> dict[str, Any]:
        """The record by its name; the answers of before are for the proof alone."""
        if self.before is None:
            busy = {one for record in _hosts_files.records() for one in record["names"]}
            found = _lookups.look_up((one for one in self.watched if one not in busy), BEFORE_S)
            known = _lookups.known_before(self.watched, found, _hosts_files.base())
            self.before = {one: known[one] for one in known if known[one] is not None or one not in busy}
        return {"trace": self.trace}

    def apply(self) -> None:
        """Write down what is told, and compose the files anew; raises RuntimeError."""
        with mounts.alone_in(_hosts_files.FOLDER):
            record = {
                "trace": self.trace,
                "names": self.told,
                "dns": self.program["dns"],
                "since_ns": time.monotonic_ns(),
            }
            write_json(_hosts_files.record_path(self.trace), record)
            _hosts_files.bring_about()

    def observe(self) -> None:
        """Have some names looked up, as by a process that starts now; a dead resolver takes its time."""
        if self.running is None:
            self.running = _lookups.Lookups(self.watched)
        else:
            self._count()

    def _count(self) -> None:
        """Count the answers of the lookups under way if they have ended."""
        if self.running is None or not self.running.done():
            return
        self.last, self.running = self.running.answers(), None
        for one, addresses in self.last.items():
            self.counts["asked"] += 1
            self.counts[self._outcome(one, addresses)] += 1
            self.counts["changed"] += self._changed(one, addresses)

    def _outcome(self, one: str, addresses: Optional[list[str]]) -> str:
        """Whether an answer is what was told; a dead resolver may answer nothing for longer than we wait."""
        if addresses is None and not self.program["dns"]:
            return "slow"
        return "as_told" if (addresses or []) == self._expected(one) else "otherwise"

    def _changed(self, one: str, addresses: Optional[list[str]]) -> bool:
        """Whether a name resolves as told and is known to have resolved otherwise before."""
        before = (self.before or {}).get(one)
        return (
            before is not None
            and not _lookups.same(before, self._expected(one))
            and self._outcome(one, addresses) == "as_told"
        )

    def _expected(self, one: str) -> list[str]:
        address = self.told[one]
        return [] if address is None else [address]

    def evidence(self) -> dict[str, Any]:
        """Whether our files are what is seen at their places, and what the lookups said."""
        self._count()
        return {
            "present": _hosts_files.shown(self.trace, self.program["dns"]),
            "effective": self.counts["changed"] > 0,
            "lookups": dict(self.counts),
            "answers": {"before": self.before or {}, "during": self.last},
        }

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Take one fault's answers out; the mounts go with the last one. Raises RuntimeError."""
        with mounts.alone_in(_hosts_files.FOLDER):
            _hosts_files.record_path(undo["trace"]).unlink(missing_ok=True)
            _hosts_files.bring_about()

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every record, and mounts of ours that no record accounts for."""
        return [{"trace": trace} for trace in _hosts_files.traces()]

    def traces(self) -> list[str]:
        """What is left of this fault: its record, or its mount where it was the last one."""
        return [trace for trace in _hosts_files.traces() if trace in (self.trace, _hosts_files.MOUNT_TRACE)]

    async def recovered(self) -> bool:
        """Whether names resolve as before; those of another fault are its own affair."""
        return await asyncio.get_running_loop().run_in_executor(None, self._recovered)

    def _recovered(self) -> bool:
        if self.running is not None:
            self.running.answers()
        deadline = time.monotonic() + RECOVERY_S
        while True:
            busy = {one for record in _hosts_files.records() for one in record["names"]}
            wanted = {one: found for one, found in (self.before or {}).items() if one not in busy}
            if _lookups.as_before(wanted, _lookups.look_up(wanted)):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


def _address(to: str, known: Mapping[str, str]) -> str:
    if to in known:
        return known[to]
    try:
        return str(ipaddress.ip_address(to))
    except ValueError:
        raise ValueError(f"to: {not_allowed(to, known)}; or an address") from None


FAULT = NameService
