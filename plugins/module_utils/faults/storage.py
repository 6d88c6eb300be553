# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Storage: a path becomes read-only, a file is cut short, bits of a file are flipped.

What lies on the disk is damaged in place after a durable backup, and restored in place. A path is read-only
by a bind mount on itself. A unit may be stopped meanwhile, so that it meets the change as it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts, service_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    parse_bytes,
    text,
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _file_damage,
    _process_markers,
    _process_words,
    _read_only,
)

TRACE_PREFIX = "foundation_testbed_storage_"
# Seconds within which a unit that ran before has to run again.
RECOVERY_S = 15.0
# One folder a unit: whoever stops it has it to himself until it is started again.
UNITS = Path("/run/foundation-testbed/storage-units")

# The system's own and the testbed's own: no fault touches what lies there, or what they lie in.
KEPT = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run"),
    *("/sbin", "/sys", "/usr", "/var/lib/dpkg", "/var/lib/foundation-testbed", "/var/lib/systemd"),
)
# What each action must be told, one of each group, and what it may be told besides.
NEEDS: Mapping[str, Sequence[Sequence[str]]] = {
    "read_only": [["path"]],
    "truncate": [["file"], ["size", "bytes"]],
    "bit_flip": [["file"]],
}
MAY: Mapping[str, Sequence[str]] = {
    "read_only": ["path", "unit"],
    "truncate": ["file", "size", "bytes", "restore", "unit"],
    "bit_flip": ["file", "bits", "unit"],
}
# Words of the field that are no actions here, and what does it.
NOT_HERE = {
    "slow": "the fault disk does that, as action: slow",
    "errors": "the fault disk does that, as action: fail",
    "lost_writes": "the fault power does that, as action: crash, lose_unsynced: true",
}


def kept_by(path: str) -> Optional[str]:
    """Return the folder because of which a path must not be touched, None where it may be. Pure."""
    own = f"{path.rstrip('/')}/"
    return next((kept for kept in KEPT if own.startswith(f"{kept}/") or f"{kept}/".startswith(own)), None)


def absolute(value: object) -> str:
    """Return an absolute path or pattern without detours; raises ValueError."""
    path: str = text(r"/[^\x00-\x1f]*", "an absolute path")(value)
    if os.path.normpath(path) != path or path.startswith("//"):
        raise ValueError(f"given {path!r}; allowed: an absolute path without //, . or ..")
    return path


class Storage(Fault):
    """One change of a node's storage.

    Program: `action` and what belongs to it: `path`, or `file` with `size` or `bytes` and `restore`, or
    `file` with `bits` and `seed`; and `unit`.
    """

    survives_reboot: ClassVar[bool] = True
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(
            choice("read_only", "truncate", "bit_flip", *NOT_HERE), "what becomes of it", required=True
        ),
        "path": Parameter(absolute, "read_only: folder or file that becomes read-only"),
        "file": Parameter(absolute, "truncate, bit_flip: the file, or a pattern that matches exactly one"),
        "size": Parameter(parse_bytes, "truncate: bytes that are left of it, such as 4K"),
        "bytes": Parameter(parse_bytes, "truncate: bytes that are cut off its end"),
        "bits": Parameter(whole(1, 4096), "bit_flip: how many bits, drawn from the seed; 1 if not given"),
        "restore": Parameter(
            choice("always", "unwritten"),
            "truncate: whether it is restored even where others have written since; always if not given",
        ),
        "unit": Parameter(
            _process_words.unit,
            "unit that is stopped before the change and started after it, and again around the way back",
        ),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "storage: a path becomes read-only",
            "action: read_only, path: /var/lib/etcd",
            "a bind mount of the path on itself, remounted read-only",
            "attempts to write answered with EROFS, also as the unit sees the path; our mount on top",
        ),
        Row(
            "storage: a file is cut short",
            "action: truncate, file: /var/lib/etcd/testbed/member/wal/*.wal, bytes: 64K",
            "truncation in place after a durable backup",
            "the file read again through a fresh descriptor",
        ),
        Row(
            "storage: bits of a file are flipped",
            "action: bit_flip, file: /var/lib/etcd/testbed/member/snap/db, bits: 8",
            "bytes overwritten in place after a durable backup of them",
            "the same",
        ),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        name = re.sub(r"[^a-z0-9_]", "_", f"{context.run}_{context.fault_id}".lower())
        self.trace = TRACE_PREFIX + name
        self.action: str = self.program["action"]
        self.unit: Optional[str] = self.program.get("unit")
        self.unit_was_up = False
        self._undo: Optional[dict[str, Any]] = None
        self.counts = {"looked": 0, "seen": 0}
        self.refused_unit = 0

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Each action has its own parameters; nothing of the system's or the testbed's own."""
        action = params["action"]
        if action in NOT_HERE:
            yield f"action: given {action!r}; allowed: {', '.join(sorted(NEEDS))}; {NOT_HERE[action]}"
            return
        for group in NEEDS[action]:
            said = [key for key in group if key in params]
            if len(said) != 1:
                yield f"{group[0]}: given {len(said)} of {' and '.join(group)} for {action}; allowed: one"
        for key in params:
            if key != "action" and key not in MAY[action]:
                yield f"{key}: given for {action}; allowed: {', '.join(MAY[action])}"
        for key in ("path", "file"):
            if key in params and (kept := kept_by(params[key])):
                yield f"{key}: given {params[key]!r}; allowed: nothing of {kept}, which the node itself needs"

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every chosen node does the same; which bits are flipped each draws for itself."""
        program = dict(params)
        if params["action"] == "bit_flip":
            program.setdefault("bits", 1)
            return {name: {**program, "seed": targets.draw.getrandbits(48)} for name in targets.chosen}
        return dict.fromkeys(targets.chosen, program)

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Whether the file or path is there and may be changed, and the unit exists."""
        reasons = []
        if program["action"] == "read_only":
            reasons += _unmountable(program["path"])
        else:
            reasons += _file_damage.obstacles(program) or _kept_file(program["file"])
        if "unit" in program and service_units.show([program["unit"]])[0].load != "loaded":
            reasons.append(f"there is no unit {program['unit']}")
        return reasons

    def undo(self) -> dict[str, Any]:
        """Return its name and its unit; the first call looks whether that ran, later ones remember.

        What else there is to take back lies beside the backup, or with the mounts: written when it is done.
        """
        if self._undo is None:
            self.unit_was_up = self.unit is not None and (_runs(self.unit) or _to_run(self.unit))
            about = {"unit": self.unit, "unit_was_up": self.unit_was_up} if self.unit else {}
            self._undo = {"trace": self.trace, "action": self.action, **about}
        return self._undo

    def apply(self) -> None:
        """Stop the unit, do it, start the unit; raises RuntimeError or OSError."""
        with _stopped(self.undo()) as extra:
            self.unit_was_up = extra.get("unit_was_up", False)
            if self.action == "read_only":
                path = str(Path(self.program["path"]).resolve())
                _read_only.begin({"trace": self.trace, "path": path, **extra})
            else:
                if problems := _kept_file(self.program["file"]):
                    raise RuntimeError(problems[0])
                _file_damage.damage(self.program, self.trace, extra)

    def observe(self) -> None:
        """Try to write, or read the damage again."""
        self.counts["looked"] += 1
        if self.action != "read_only":
            meta = _file_damage.read_meta(self.trace)
            self.counts["seen"] += meta is not None and bool(_file_damage.look(meta)["present"])
            return
        path = str(Path(self.program["path"]).resolve())
        self.counts["seen"] += _read_only.refuses(path) is True
        if self.unit is not None and (pid := service_units.show([self.unit])[0].main_pid):
            self.refused_unit += _read_only.refuses(path, pid) is True

    def evidence(self) -> dict[str, Any]:
        """Whether it is in place, and how often it was seen: writes refused, or damage read."""
        # What runs now is stopped on the way back, and has to run again after it.
        self.unit_was_up = self.unit_was_up or (self.unit is not None and _runs(self.unit))
        seen: dict[str, Any] = {"effective": self.counts["seen"] > 0}
        if self.action == "read_only":
            entry = _read_only.record(self.trace)
            present = entry is not None and _read_only.holds(entry["path"])
            tries = {"tried": self.counts["looked"], "refused": self.counts["seen"]}
            as_unit = {"refused_as_unit": self.refused_unit} if self.unit else {}
            return {"present": present, **seen, "writes": {**tries, **as_unit}}
        meta = _file_damage.read_meta(self.trace)
        found = {"present": False} if meta is None else {"file": meta["path"], **_file_damage.look(meta)}
        return {**found, **seen, "looks": dict(self.counts)}

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Take it back where it was done; raises RuntimeError or OSError when it cannot."""
        trace = undo["trace"]
        if undo["action"] == "read_only":
            entry = _read_only.record(trace)
            with _stopped(entry) if entry else _started(undo):
                _read_only.end(trace)
            return
        meta = _file_damage.read_meta(trace)
        with _stopped(meta) if meta else _started(undo):
            if meta is not None:
                _file_damage.restore(meta)
            _file_damage.forget(trace)

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every backup, every record of a read-only path, and mounts of ours that no record wants."""
        found = [{"trace": meta["trace"], "action": meta["action"]} for meta in _file_damage.metas()]
        records = _read_only.records()
        found += [{"trace": entry["trace"], "action": "read_only"} for entry in records]
        wanted = {entry["path"] for entry in records}
        stray = [entry["path"] for entry in _read_only.mounted() if entry["path"] not in wanted]
        return found + [{"trace": f"{TRACE_PREFIX}mount_{path}", "action": "read_only"} for path in stray]

    def traces(self) -> list[str]:
        """What is left of this fault."""
        return [undo["trace"] for undo in self.leftovers() if undo["trace"] == self.trace]

    async def recovered(self) -> bool:
        """Whether the unit runs again that ran before."""
        if self.unit is None or not self.unit_was_up:
            return True
        return await asyncio.get_running_loop().run_in_executor(None, _up_within, self.unit, RECOVERY_S)


def _unmountable(path: str) -> list[str]:
    """Reasons why a path cannot be made read-only."""
    resolved = str(Path(path).resolve())
    if not Path(path).exists():
        return [f"there is no {path}"]
    if os.geteuid() != 0:
        return ["mounting needs root"]
    if kept := kept_by(resolved):
        return [f"{path} is {resolved}, and the node itself needs {kept}"]
    ours = {entry["path"] for entry in _read_only.mounted()}
    inner = [point for point in mounts.below(mounts.mounts(), resolved) if point not in ours]
    return [f"{', '.join(inner)} below {path} would stay writable: name it instead"] if inner else []


def _kept_file(pattern: str) -> list[str]:
    """Reasons why the file that a path or pattern leads to must not be touched."""
    path = str(_file_damage.find_file(pattern))
    kept = kept_by(path)
    return [f"{pattern} is {path}, and the node itself needs {kept}"] if kept else []


def _runs(unit: str) -> bool:
    """Whether a unit runs, or is about to: at a boot its start may still wait."""
    (state,) = service_units.show([unit])
    return state.wanted or (state.job and state.active in ("inactive", "failed"))


def _to_run(unit: str) -> bool:
    """Whether a unit that does not run is to run again once another fault has ended."""
    others = [*_file_damage.metas(), *_read_only.records()]
    return any(other.get("unit") == unit and other.get("unit_was_up") for other in others) or any(
        other["units"].get(unit) for other in _process_markers.others("")
    )


def _kept_down(unit: str) -> bool:
    """Whether another fault keeps a unit down."""
    return any(other["hold"] and unit in other["units"] for other in _process_markers.others(""))


@contextlib.contextmanager
def _stopped(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Keep an entry's unit stopped meanwhile; whatever happens it is started again if it ran, then or now.

    Gives what is to be written down of it.
    """
    unit = entry.get("unit")
    if unit is None:
        yield {}
        return
    with mounts.alone_in(UNITS / unit):
        about = {"unit": unit, "unit_was_up": bool(entry.get("unit_was_up")) or _runs(unit)}
        with _started(about):
            done = service_units.systemctl("stop", "--", unit)
            if done.returncode != 0:
                raise RuntimeError(f"systemctl stop {unit}: {done.stderr.strip()}")
            yield about


@contextlib.contextmanager
def _started(entry: Mapping[str, Any]) -> Iterator[None]:
    """Have an entry's unit run afterwards if it ran."""
    try:
        yield
    finally:
        if entry.get("unit_was_up"):
            service_units.systemctl("reset-failed", "--", entry["unit"])
            service_units.start([entry["unit"]])


def _up_within(unit: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not service_units.show([unit])[0].up and not _kept_down(unit):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


FAULT = Storage
