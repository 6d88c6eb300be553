# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Process: processes of a unit, or those that a pattern finds, are killed, ended, stopped or started anew.

Every fault keeps a marker in /run, which holds its undo record. What has to go on until the end (stopping
processes that appear, killing again) is done by a thread of the agent, and only while the marker is there; a
unit that is to stay down has a drop-in there that forbids its start for as long as the marker is there.
A boot leaves nothing of either.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import processes, service_units
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.processes import Process
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    flag,
    many,
    not_allowed,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _paused, _start_ban
from ansible_collections.foundation.testbed.plugins.module_utils.faults._process_hits import Hits
from ansible_collections.foundation.testbed.plugins.module_utils.faults._process_markers import (
    Keeper,
    held,
    marker_name,
    marker_of,
    others,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._process_words import (
    interval,
    pattern,
    unit,
)

ACTIONS = ("kill", "terminate", "pause", "restart", "crash_loop")
# What may be said of some actions only.
ONLY_FOR = {"hold": ("kill", "terminate"), "interval": ("crash_loop",)}
DEFAULT_INTERVAL_S = 1.0
# Seconds between two looks for processes that have appeared and are to be stopped.
PAUSE_LOOK_S = 0.05
# Processes that the ledger names; it counts all.
NAMED = 10
# Seconds in which every unit that ran before has to run again after the end.
RECOVERY_S = 15.0


def own_unit(process: Process) -> bool:
    """Whether a service holds a process that can bring it back."""
    return process.unit.endswith(".service") and not processes.PROTECTED_UNITS.fullmatch(process.unit)


class ProcessFault(Fault):
    """What is done to processes of this node.

    Program: `action`; `units`, or `pattern`; `hold`, `interval_s`.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "action": Parameter(choice(*ACTIONS), "what is done to the processes", required=True),
        "unit": Parameter(many(unit), "systemd services; those of the node's own systems by default"),
        "pattern": Parameter(pattern, "regular expression over command lines, instead of units"),
        "hold": Parameter(flag, "keep a killed or terminated unit down until the end", False),
        "interval": Parameter(interval, "time between two kills of a crash loop; 1s by default"),
    }
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "process: kill",
            "action: kill, unit: etcd.service",
            "SIGKILL through pid file descriptors; `hold`: systemctl stop, a drop-in that forbids a start",
            "pids with start times, all dead; restarts that systemd counts; seconds until active again",
        ),
        Row("process: terminate", "action: terminate", "SIGTERM, else the same", "the same"),
        Row(
            "process: pause",
            "action: pause",
            "SIGSTOP, also to processes that appear; SIGCONT at the end",
            "state T of every process, 20 times a second; those that somebody let go on",
        ),
        Row(
            "process: restart",
            "action: restart",
            "systemctl restart",
            "a new invocation of the unit, the old processes dead",
        ),
        Row(
            "process: crash loop",
            "action: crash_loop, interval: 2s",
            "SIGKILL at every interval",
            "rounds, pids with start times, restarts that systemd counts",
        ),
        Row(
            "process: by pattern",
            "action: kill, pattern: 'java .*QuorumPeerMain'",
            "the same, on processes whose command line matches",
            "the same; how many have no unit and cannot be brought back",
        ),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.action: str = self.program["action"]
        self.pattern: Optional[str] = self.program.get("pattern")
        self.hold = bool(self.program.get("hold", False))
        self.name = marker_name(context.run, context.fault_id)
        self.marker = marker_of(self.name)
        self.before: dict[str, service_units.UnitState] = {}
        self.hits = Hits(self._targets)
        self.began_s = 0.0
        self.keeper: Optional[Keeper] = None
        self._undo: Optional[dict[str, Any]] = None

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Units or a pattern, which has no unit to restart or to hold; some words belong to one action."""
        action = params["action"]
        if "unit" in params and "pattern" in params:
            yield "pattern: given beside unit; allowed: one of them"
        for key, actions in ONLY_FOR.items():
            if params.get(key) and action not in actions:
                yield f"{key}: given for {action}; allowed: for {' and '.join(actions)}"
        if "pattern" in params and (action == "restart" or params["hold"]):
            word = "restart" if action == "restart" else "hold"
            yield f"pattern: given with {word}; allowed: unit, as only a unit can be kept down or restarted"

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every node's own units, where none are named."""
        common: dict[str, Any] = {"action": params["action"]}
        if params["hold"]:
            common["hold"] = True
        if params["action"] == "crash_loop":
            common["interval_s"] = params.get("interval", DEFAULT_INTERVAL_S)
        if "pattern" in params:
            return {name: {**common, "pattern": params["pattern"]} for name in targets.chosen}
        cluster, programs = targets.cluster, {}
        for name in targets.chosen:
            own = [each for system in cluster.systems.get(name, ()) for each in cluster.units.get(system, ())]
            units = params.get("unit") or own
            if not units:
                raise ValueError(
                    f"unit: given none, and no system with units runs on {name}; allowed: unit or pattern"
                )
            programs[name] = {**common, "units": list(units)}
        return programs

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Whether systemd knows the units, or any process matches the pattern."""
        if "pattern" in program:
            if processes.matching(program["pattern"]):
                return []
            return [
                f"pattern: given {program['pattern']!r}, found in no command line here; allowed: a regular "
                "expression found in that of a process (ssh, systemd's own and the testbed's do not count)"
            ]
        states = service_units.show(program["units"])
        unknown = [
            name for name, state in zip(program["units"], states) if state.load not in ("loaded", "merged")
        ]
        if not unknown:
            return []
        allowed = [name for name in service_units.services() if not processes.PROTECTED_UNITS.fullmatch(name)]
        return [f"unit: {not_allowed(name, allowed)}" for name in unknown]

    def undo(self) -> dict[str, Any]:
        """Return what ran before, and what was stopped already; the first call looks, later ones remember."""
        if self._undo is None:
            self._undo = self._look_before()
        return self._undo

    def _look_before(self) -> dict[str, Any]:
        targets = self._targets()
        names = self.program.get("units") or sorted(
            {process.unit for process in targets if own_unit(process)}
        )
        states = service_units.show(names)
        self.before = {state.name: state for state in states}
        brought_back = {name for other in others(self.name) for name, ran in other["units"].items() if ran}
        what = self.pattern or ", ".join(names)
        return {
            "trace": f"{self.action} of {what} ({self.name})",
            "name": self.name,
            "action": self.action,
            "hold": self.hold,
            "pattern": self.pattern,
            "units": {state.name: state.wanted or state.name in brought_back for state in states},
            "stopped_before": sorted(_paused.stopped(targets) - _paused.stopped_by(others(self.name))),
        }

    def _targets(self) -> list[Process]:
        """Processes that it is about, right now."""
        if self.pattern is not None:
            return processes.matching(self.pattern)
        return processes.of_units(self.before or self.program["units"])

    def apply(self) -> None:
        """Do it, and see to it that what has to go on goes on."""
        undo = self.undo()
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.marker, undo)
        self.began_s = time.monotonic()
        if self.action == "pause":
            self.hits.stop_all()
            self._keep(self.hits.stop_all, PAUSE_LOOK_S)
        elif self.action == "restart":
            self._restart()
        elif self.action == "terminate":
            self.hits.signal_all(signal.SIGTERM)
        else:
            self.hits.kill_all()
        if self.action == "crash_loop":
            self._keep(self.hits.kill_all, float(self.program["interval_s"]))
        if self.hold:
            self._keep_down()

    def _keep(self, step: Callable[[], None], interval_s: float) -> None:
        self.keeper = Keeper(self.marker, step, interval_s)
        self.keeper.start()

    def _restart(self) -> None:
        for process in self._targets():
            self.hits.note(process)
        done = service_units.systemctl("restart", "--no-block", "--", *self.before)
        if done.returncode != 0:
            raise RuntimeError(f"systemctl restart: {done.stderr.strip()}")

    def _keep_down(self) -> None:
        """Have systemd stop the units, so that it does not restart them, and see to it that nobody does."""
        service_units.systemctl("stop", "--no-block", "--", *self.before)
        threading.Thread(target=self._forbid_start, daemon=True).start()

    def _forbid_start(self) -> None:
        """Put the ban in place; a revert waits until systemd has read it."""
        with held(self.marker) as there:
            if not there:
                return
            _start_ban.ban(self.name, self.before, self.marker)
            # Those that systemd started anew before it was told to stop.
            if self.action == "kill" and self.hits.signal_all(signal.SIGKILL):
                service_units.systemctl("stop", "--no-block", "--", *self.before)

    def evidence(self) -> dict[str, Any]:
        """Return what became of the processes and of their units."""
        now = {state.name: state for state in service_units.show(list(self.before))}
        hit, alive = self.hits.latest(), self.hits.alive()
        found: dict[str, Any] = {
            "hit": self.hits.count,
            "alive": alive,
            "without_unit": sum(not own_unit(process) for process in hit),
            "processes": [process.shown() for process in hit[-NAMED:]],
            "units": {name: self._figures(self.before[name], state) for name, state in now.items()},
        }
        judge = {"pause": self._paused, "crash_loop": self._looping, "restart": self._restarted}
        if self.hold:
            found.update(self._held_down(now))
        elif self.action in judge:
            found.update(judge[self.action](now))
        else:
            done = self.hits.count > 0 and not alive
            found.update({"present": done or self.action == "terminate", "effective": done})
        found["present"] = found["present"] and self.marker.exists()
        return found

    def _figures(self, before: service_units.UnitState, now: service_units.UnitState) -> dict[str, Any]:
        back_s = now.active_at_s - (self.hits.last_round_s or self.began_s)
        restarts = now.restarts - before.restarts
        return {
            "state": f"{now.active} ({now.sub})",
            "main_pid": now.main_pid,
            "restarts": restarts if restarts >= 0 else now.restarts,
            "back_s": round(back_s, 3) if back_s > 0 and now.active == "active" else None,
        }

    def _held_down(self, now: Mapping[str, service_units.UnitState]) -> dict[str, Any]:
        guarded = _start_ban.is_banned(self.name, now)
        down = not any(state.wanted for state in now.values())
        return {"present": guarded and down, "effective": not self._targets(), "guarded": guarded}

    def _paused(self, now: Mapping[str, service_units.UnitState]) -> dict[str, Any]:
        """Look once more than the keeper does; a process that has just appeared has until its next look."""
        started_s = time.clock_gettime(time.CLOCK_BOOTTIME) - 4 * PAUSE_LOOK_S
        running = [p for p in self._targets() if not p.stopped and p.started_s < started_s]
        set_going = self.hits.take_set_going()
        keeps = self.keeper is not None and self.keeper.is_alive()
        return {
            "present": keeps and not running and not set_going,
            "effective": bool(self.hits.seen_stopped),
            "stopped": len(self.hits.seen_stopped),
            "set_going": set_going,
            "looks": dict(self.hits.looks),
        }

    def _looping(self, now: Mapping[str, service_units.UnitState]) -> dict[str, Any]:
        late_s = time.monotonic() - self.hits.last_round_s - float(self.program["interval_s"])
        keeps = self.keeper is not None and self.keeper.is_alive() and late_s < 1.0
        return {"present": keeps, "effective": self.hits.count > 0, "rounds": self.hits.rounds}

    def _restarted(self, now: Mapping[str, service_units.UnitState]) -> dict[str, Any]:
        anew = {name: state.invocation != self.before[name].invocation for name, state in now.items()}
        under_way = all(anew[name] or state.job for name, state in now.items())
        return {"present": under_way, "effective": all(anew.values()) and not self.hits.alive()}

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Let go on what is stopped, allow what is kept down, and have what ran before start."""
        marker = marker_of(undo["name"])
        with held(marker):
            marker.unlink(missing_ok=True)
        rest = others(undo["name"])
        if undo["action"] == "pause":
            _paused.let_go_on(undo, rest)
        kept = {name for other in rest if other["hold"] for name in other["units"]}
        ran = [name for name, ran_before in undo["units"].items() if ran_before and name not in kept]
        down = [state for state in service_units.show(ran) if not state.up]
        failed = [state.name for state in down if state.active == "failed"]
        if failed:
            service_units.systemctl("reset-failed", "--", *failed)
        service_units.start([state.name for state in down])
        _start_ban.lift(undo["name"])

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every marker, and every drop-in of ours that has none."""
        found = others("")
        known = {undo["name"] for undo in found}
        banned = _start_ban.units_by_name()
        return found + [_stray(name, units) for name, units in banned.items() if name not in known]

    def traces(self) -> list[str]:
        """Return its marker, its drop-ins, and the processes that are still stopped for no other fault."""
        wanted = _paused.stopped_by(others(self.name))
        mine = [p for p in self.hits.latest() if self.action == "pause" and p.key not in wanted]
        now = [processes.read_process(process.pid) for process in mine]
        stopped = [p for p, q in zip(mine, now) if q is not None and q.key == p.key and q.stopped]
        return [
            *super().traces(),
            *(str(path) for path in _start_ban.drop_ins(self.name)),
            *(f"{process.name} ({process.pid}) is stopped" for process in stopped),
        ]

    async def recovered(self) -> bool:
        """Whether every unit that ran before runs again, or is kept down by another fault, in 15 s."""
        deadline_s = time.monotonic() + RECOVERY_S
        while True:
            kept = {name for other in others(self.name) if other["hold"] for name in other["units"]}
            ran = [name for name, before in self.undo()["units"].items() if before and name not in kept]
            states = await asyncio.get_running_loop().run_in_executor(None, service_units.show, ran)
            if all(state.up for state in states):
                return True
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(0.1)


def _stray(name: str, units: Sequence[str]) -> dict[str, Any]:
    return {
        "trace": f"{_start_ban.PREFIX}{name}.conf of {', '.join(units)}",
        "name": name,
        "action": "kill",
        "hold": True,
        "pattern": None,
        "units": dict.fromkeys(units, True),
        "stopped_before": [],
    }


FAULT = ProcessFault
