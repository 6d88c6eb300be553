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
import subprocess
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
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    flag,
    many,
    name,
    not_allowed,
)

TRACE_PREFIX = "foundation_testbed_name_service_"
# What is left where the mount is there and no record says whose it is.
MOUNT_TRACE = f"{TRACE_PREFIX}mount"
FOLDER = Path("/run/foundation-testbed/name_service")
HOSTS, RESOLVER, NSSWITCH = Path("/etc/hosts"), Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf")
# 192.0.2.0/24 is kept for documentation: no server answers there.
DEAD_RESOLVER = "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n"
# How many names are looked up to see the effect, and how long an answer may take.
WATCHED, LOOKUP_S = 3, 2.5
# How long the answers of before may take: the start must not wait for them.
BEFORE_S = 0.4
# Seconds within which names have to resolve as before.
RECOVERY_S = 5.0

Told = Mapping[str, Optional[str]]
# What a name resolves to; None where nobody knows.
Answers = dict[str, Optional[list[str]]]


def without(line: str, names: Iterable[str]) -> str:
    """Return a line of a hosts file without some names; nothing where no name is left."""
    entry, mark, comment = line.partition("#")
    parts = entry.split()
    lowered = {name.lower() for name in names}
    kept = [part for part in parts[1:] if part.lower() not in lowered]
    if len(kept) == len(parts[1:]):
        return line
    return " ".join([parts[0], *kept]) + (f" {mark}{comment}" if mark else "") if kept else ""


def compose(base: str, told: Sequence[Told]) -> str:
    """Return a hosts file in which names are what the faults say, later ones above earlier ones. Pure."""
    answers: dict[str, Optional[str]] = {}
    for one in told:
        answers.update({name.lower(): address for name, address in one.items()})
    lines = [without(line, answers) if line.strip() else line for line in base.splitlines()]
    kept = [line for line, before in zip(lines, base.splitlines()) if line or not before]
    wrong = [f"{address} {name}" for name, address in answers.items() if address is not None]
    return "".join(f"{line}\n" for line in [*wrong, *kept])


def sources(nsswitch: str) -> list[str]:
    """Return where this node looks for hosts, in order; glibc's own order where nothing is said."""
    for line in nsswitch.splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        if key.strip() == "hosts":
            return re.sub(r"\[[^]]*\]", "", value).split()
    return ["dns", "files"]


def parse_answers(output: str) -> list[str]:
    """Return the addresses out of `getent ahosts`, each once."""
    return list(dict.fromkeys(line.split()[0] for line in output.splitlines() if line.strip()))


def addresses_in(hosts: str, name: str) -> list[str]:
    """Return the addresses that a hosts file gives a name. Pure."""
    lines = [line.partition("#")[0].split() for line in hosts.splitlines()]
    found = (parts[0] for parts in lines if name.lower() in [part.lower() for part in parts[1:]])
    return list(dict.fromkeys(found))


def same(found: Optional[Sequence[str]], wanted: Optional[Sequence[str]]) -> bool:
    """Whether two answers are known and the same, in whichever order. Pure."""
    return found is not None and wanted is not None and set(found) == set(wanted)


class Lookups:
    """Names that are being resolved, each in a fresh process, all at once."""

    def __init__(self, names: Iterable[str]):
        self.processes = {
            one: subprocess.Popen(
                ["getent", "ahosts", one], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            for one in names
        }
        self.deadline = time.monotonic() + LOOKUP_S

    def done(self) -> bool:
        """Whether all have ended, or have had time enough; does not block."""
        ended = all(process.poll() is not None for process in self.processes.values())
        return ended or time.monotonic() > self.deadline

    def answers(self) -> Answers:
        """What the names resolve to; None for one that has taken too long: that is no answer."""
        found: Answers = {}
        for one, process in self.processes.items():
            ended = process.poll() is not None
            process.kill()  # does nothing to one that has ended
            output, _ = process.communicate()
            found[one] = (parse_answers(output) if process.returncode == 0 else []) if ended else None
        return found


def lookups(names: Iterable[str], timeout_s: float = LOOKUP_S) -> Answers:
    """Resolve names and wait for the answers; None for those that take longer."""
    running = Lookups(names)
    deadline = time.monotonic() + timeout_s
    while not running.done() and time.monotonic() < deadline:
        time.sleep(0.005)
    return running.answers()


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
        self.trace = TRACE_PREFIX + re.sub(r"[^a-z0-9_]", "_", f"{context.run}_{context.fault_id}".lower())
        self.told: dict[str, Optional[str]] = dict(self.program["names"])
        self.watched = sorted(self.told)[:WATCHED]
        self.before: Optional[Answers] = None
        self.running: Optional[Lookups] = None
        self.last: Answers = {}
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
        if not HOSTS.is_file():
            reasons.append(f"there is no {HOSTS} to cover")
        looked = sources(NSSWITCH.read_text(encoding="utf-8") if NSSWITCH.is_file() else "")
        if "files" not in looked:
            reasons.append(f"{NSSWITCH} does not look for hosts in files, but in {', '.join(looked)}")
        if program["dns"] and not RESOLVER.is_file():
            reasons.append(f"there is no {RESOLVER} to cover, so no DNS server of its own to cut off")
        own = {socket.gethostname().lower(), socket.gethostname().split(".")[0].lower()}
        mine = sorted(own & {one.lower() for one in program["names"]})
        return reasons + [f"{one} is this node's own name" for one in mine]

    def undo(self) -> dict[str, Any]:
        """The record by its name; the answers of before are for the proof alone."""
        if self.before is None:
            busy = {one for record in _records() for one in record["names"]}
            found = lookups((one for one in self.watched if one not in busy), BEFORE_S)
            known = known_before(self.watched, found, _base())
            self.before = {one: known[one] for one in known if known[one] is not None or one not in busy}
        return {"trace": self.trace}

    def apply(self) -> None:
        """Write down what is told, and compose the files anew; raises RuntimeError."""
        with mounts.alone_in(FOLDER):
            record = {
                "trace": self.trace,
                "names": self.told,
                "dns": self.program["dns"],
                "since_ns": time.monotonic_ns(),
            }
            write_json(_record(self.trace), record)
            _bring_about()

    def observe(self) -> None:
        """Have some names looked up, as by a process that starts now; a dead resolver takes its time."""
        if self.running is None:
            self.running = Lookups(self.watched)
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
            and not same(before, self._expected(one))
            and self._outcome(one, addresses) == "as_told"
        )

    def _expected(self, one: str) -> list[str]:
        address = self.told[one]
        return [] if address is None else [address]

    def evidence(self) -> dict[str, Any]:
        """Whether our files are what is seen at their places, and what the lookups said."""
        self._count()
        return {
            "present": self._present(),
            "effective": self.counts["changed"] > 0,
            "lookups": dict(self.counts),
            "answers": {"before": self.before or {}, "during": self.last},
        }

    def _present(self) -> bool:
        with mounts.alone_in(FOLDER):
            records = _records()
            wanted = compose(_base(), [record["names"] for record in records])
            return (
                any(record["trace"] == self.trace for record in records)
                and _covered(HOSTS)
                and HOSTS.read_text(encoding="utf-8").rstrip("\n") == wanted.rstrip("\n")
                and (not self.program["dns"] or _covered(RESOLVER))
            )

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Take one fault's answers out; the mounts go with the last one. Raises RuntimeError."""
        with mounts.alone_in(FOLDER):
            _record(undo["trace"]).unlink(missing_ok=True)
            _bring_about()

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every record, and mounts of ours that no record accounts for."""
        records = _records()
        if not records and (_covered(HOSTS) or _covered(RESOLVER)):
            return [{"trace": MOUNT_TRACE}]
        return [{"trace": record["trace"]} for record in records]

    def traces(self) -> list[str]:
        """What is left of this fault: its record, or its mount where it was the last one."""
        left = [undo["trace"] for undo in self.leftovers()]
        return [trace for trace in left if trace in (self.trace, MOUNT_TRACE)]

    async def recovered(self) -> bool:
        """Whether names resolve as before; those of another fault are its own affair."""
        return await asyncio.get_running_loop().run_in_executor(None, self._recovered)

    def _recovered(self) -> bool:
        if self.running is not None:
            self.running.answers()
        deadline = time.monotonic() + RECOVERY_S
        while True:
            busy = {one for record in _records() for one in record["names"]}
            wanted = {one: found for one, found in (self.before or {}).items() if one not in busy}
            if as_before(wanted, lookups(wanted)):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


def known_before(names: Iterable[str], found: Answers, hosts: str) -> Answers:
    """Return what names resolved to before: as looked up, else what the hosts file says, else None. Pure."""
    return {
        one: found[one] if found.get(one) is not None else addresses_in(hosts, one) or None for one in names
    }


def as_before(wanted: Answers, found: Answers) -> bool:
    """Whether names resolve as before; of one that nobody knows nothing can be said, so it does not. Pure."""
    return all(same(found.get(one), addresses) for one, addresses in wanted.items())


def _address(to: str, known: Mapping[str, str]) -> str:
    if to in known:
        return known[to]
    try:
        return str(ipaddress.ip_address(to))
    except ValueError:
        raise ValueError(f"to: {not_allowed(to, known)}; or an address") from None


def _record(trace: str) -> Path:
    return FOLDER / f"{trace}.json"


def _records() -> list[dict[str, Any]]:
    """What is active here, in the order in which it began."""
    return sorted(read_all(FOLDER, f"{TRACE_PREFIX}*.json"), key=lambda record: int(record["since_ns"]))


def _ours(path: Path) -> Path:
    return FOLDER / path.name


def _covered(path: Path) -> bool:
    """Whether our own file is what is seen at a path."""
    top = mounts.on_top(mounts.mounts(), str(path.resolve()))
    return (
        top is not None
        and re.search(f"/name_service/{re.escape(path.name)}(//deleted)?$", top.root) is not None
    )


def _base() -> str:
    """Return the hosts file as it is without us."""
    kept = FOLDER / "hosts.before"
    return (kept if kept.exists() and _covered(HOSTS) else HOSTS).read_text(encoding="utf-8")


def _bring_about() -> None:
    """Bring about what the records say; the caller is alone in the folder."""
    records = _records()
    base = _base()
    if records and not _covered(HOSTS):
        (FOLDER / "hosts.before").write_text(base, encoding="utf-8")
    _cover(HOSTS, compose(base, [record["names"] for record in records]) if records else None)
    _cover(RESOLVER, DEAD_RESOLVER if any(record["dns"] for record in records) else None)
    if not records:
        (FOLDER / "hosts.before").unlink(missing_ok=True)


def _cover(path: Path, content: Optional[str]) -> None:
    """Have a path show this content, or itself again where there is none."""
    ours, covered = _ours(path), _covered(path)
    if content is not None:
        _overwrite(ours, content)
        if not covered:
            mounts.bind(str(ours), str(path.resolve()))
        return
    if covered:
        mounts.unmount(str(path.resolve()))
    elif any(_is_ours(mount, path) for mount in mounts.mounts()):
        raise RuntimeError(f"somebody else has mounted something over our {path}: take that away first")
    ours.unlink(missing_ok=True)


def _is_ours(mount: mounts.Mount, path: Path) -> bool:
    return mount.point == str(path.resolve()) and "/name_service/" in mount.root


def _overwrite(path: Path, content: str) -> None:
    """Write over a file that may be mounted, in one piece and never shorter: no reader sees half of it."""
    data = content.encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.fchmod(handle, 0o644)
        size = os.fstat(handle).st_size
        os.pwrite(handle, data.ljust(size, b"\n"), 0)
    finally:
        os.close(handle)


FAULT = NameService
