# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pressure: a resource of the node, or of one of its units, is used up to what it may have of it.

What presses on the node itself is a child of the agent, which dies with it; a unit's limits are lowered and
given back. A marker in /run holds the undo record while the fault holds; a boot leaves nothing of it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import service_units
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
    parse_size,
    percentage,
    text,
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _load,
    _press,
    _press_descriptors,
    _press_oom,
    _press_unit,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._process_words import unit

PRESSES: Mapping[str, type[_press.Press]] = {
    "memory": _press.MemoryPress,
    "cpu": _press.CpuPress,
    "io": _press.IoPress,
    "pids": _press.PidsPress,
    "descriptors": _press_descriptors.DescriptorPress,
    "oom": _press_oom.OomPress,
}
# Which parameters a resource knows, and what they are where they are not given.
KNOWN: Mapping[str, Mapping[str, Any]] = {
    "memory": {"target": None},
    "cpu": {"target": 100.0, "workers": None},
    "io": {"target": 100.0, "workers": None, "rate": 32 * 2**20, "path": None},
    "pids": {"left": 16},
    "descriptors": {"target": 100.0, "unit": None},
    "oom": {"unit": None},
}
# At more, the kernel would kill the holder of the memory again and again.
MOST_MEMORY = 98.0
DEFAULT_PATH = "/var/lib"
# Seconds after its planned end at which a program of ours ends by itself; in which a unit has to run again.
LEASE_MARGIN_S, RECOVERY_S = 1.0, 15.0


def fault_name(run: str, fault: str) -> str:
    """Name of a fault in its marker's name, and in the environment of its processes."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{run}.{fault}")


class Pressure(Fault):
    """One resource under pressure. Program: `resource`, and what `KNOWN` says of it, all with values."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "resource": Parameter(choice(*PRESSES), "what is used up", required=True),
        "target": Parameter(
            percentage,
            "percentage of the node's own limit that is used (memory: required, at most 98; cpu), of the "
            "time that the disk is busy (io), of the limit of open files (descriptors); 100 by default",
        ),
        "workers": Parameter(
            whole(1, 256), "processes that load (cpu: one a processor of the limit; io: one)"
        ),
        "rate": Parameter(parse_size, "bytes a second that io writes at most; 32M by default"),
        "path": Parameter(
            text(r"/[^\0\n]*", "an absolute path on the node"),
            "folder on the disk that io loads; the data of the node's own system by default",
        ),
        "left": Parameter(whole(4, 4194304), "tasks that can still begin (pids); 16 by default"),
        "unit": Parameter(unit, "service (descriptors, oom); the first of the node's own system by default"),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "pressure: memory to a percentage",
            "resource: memory, target: 90",
            "a holder takes and gives back pages twice a second; the first that the kernel kills",
            "bytes and percent of the node's own limit before, lowest, highest, now; bytes held; PSI",
        ),
        Row(
            "pressure: CPU",
            "resource: cpu, target: 80",
            "stress-ng, stopped and continued so that the node's whole usage is at the target",
            "processor time of ours and of the whole node, in percent of the limit; PSI",
        ),
        Row(
            "pressure: disk I/O",
            "resource: io, rate: 32M",
            "writes of 64K, each synced, in a file without a name",
            "bytes and syncs, share of the time in which one was under way; PSI",
        ),
        Row(
            "pressure: pids",
            "resource: pids, left: 16",
            "threads of ours that sleep",
            "tasks in use, ours among them, and left of the node's own limit",
        ),
        Row(
            "pressure: file descriptors of a unit",
            "resource: descriptors, unit: etcd.service",
            "prlimit lowers the limit of the running processes to what they have open",
            "share of the limit in use; connections of ours that the unit does not accept",
        ),
        Row(
            "pressure: OOM kill of a unit",
            "resource: oom, unit: etcd.service",
            "the unit's own memory.max where it has one; else its process is made the first victim and the "
            "node's memory is used up to its limit",
            "the process gone, the kernel's own count of kills, the result that systemd gives",
        ),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.name = fault_name(context.run, context.fault_id)
        self.marker = _press_unit.MARKERS / f"{self.name}.json"
        left_s = context.end_wall_ns / 1e9 - time.time() + LEASE_MARGIN_S
        self.resource: str = self.program["resource"]
        self.press = PRESSES[self.resource](self.name, self.program, max(left_s, LEASE_MARGIN_S))
        self._undo: Optional[dict[str, Any]] = None

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Each resource knows some parameters; memory needs its target."""
        resource = params["resource"]
        for key in params:
            if key != "resource" and key not in KNOWN[resource]:
                owners = ", ".join(name for name, known in KNOWN.items() if key in known)
                yield f"{key}: given for {resource}; allowed: for {owners}"
        if resource == "memory" and not params.get("target", 101) <= MOST_MEMORY:
            given = f"given {params['target']:g}" if "target" in params else "is required but missing"
            yield (
                f"target: {given}; allowed: a percentage up to {MOST_MEMORY:g} for memory "
                "(resource: oom has the kernel kill)"
            )

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every node's own unit and data path, where none are named."""
        cluster, programs = targets.cluster, {}
        resource = params["resource"]
        given = {key: params.get(key, default) for key, default in KNOWN[resource].items()}
        for name in targets.chosen:
            systems = cluster.systems.get(name, ())
            units = [each for system in systems for each in cluster.units.get(system, ())]
            paths = [path for system in systems for path in cluster.data_paths.get(system, ())]
            own = dict(given)
            if "unit" in own and own["unit"] is None:
                if not units:
                    raise ValueError(
                        f"unit: given none, and no system with units runs on {name}; allowed: a unit"
                    )
                own["unit"] = units[0]
            if "path" in own and own["path"] is None:
                own["path"] = (paths or [DEFAULT_PATH])[0]
            programs[name] = {"resource": resource, **{k: v for k, v in own.items() if v is not None}}
        return programs

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Ask the resource's own kind."""
        return PRESSES[program["resource"]].capable(program)

    @property
    def evidence_kind(self) -> str:
        """The resource's own kind knows."""
        return self.press.evidence_kind

    def undo(self) -> dict[str, Any]:
        """Return the name, and what was before; the first call looks, later ones remember."""
        if self._undo is None:
            self._undo = {
                "trace": f"pressure on {self.resource} ({self.name})",
                "name": self.name,
                "resource": self.resource,
                **self.press.before(),
            }
        return self._undo

    def apply(self) -> None:
        """Begin to press; raises RuntimeError when it cannot."""
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.marker, self.undo())
        self.press.apply()

    def observe(self) -> None:
        """Look once, and keep what has to be kept up."""
        self.press.observe()

    def evidence(self) -> dict[str, Any]:
        """What was measured of the resource."""
        return {"resource": self.resource, **self.press.evidence()}

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """End what presses, give back what was taken; raises RuntimeError when it cannot."""
        PRESSES[undo["resource"]].revert(undo)
        (_press_unit.MARKERS / f"{undo['name']}.json").unlink(missing_ok=True)

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """The record of every marker, and of processes of ours that no marker knows."""
        found = _press_unit.records()
        known = {undo["name"] for undo in found}
        stray = sorted(set(_load.marked().values()) - known)
        return found + [
            {"trace": f"pressure by processes ({name})", "name": name, "resource": "cpu"} for name in stray
        ]

    def traces(self) -> list[str]:
        """What is left of this fault: its marker, or a process of ours."""
        return [undo["trace"] for undo in self.leftovers() if undo["name"] == self.name]

    async def recovered(self) -> bool:
        """Whether the unit that the kernel killed runs again."""
        undo = self.undo()
        if not undo.get("was_wanted"):
            return True
        deadline_s = time.monotonic() + RECOVERY_S
        while time.monotonic() < deadline_s:
            states = await asyncio.get_running_loop().run_in_executor(
                None, service_units.show, [undo["unit"]]
            )
            if states[0].up:
                return True
            await asyncio.sleep(0.1)
        return False


FAULT = Pressure
