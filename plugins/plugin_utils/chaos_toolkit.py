# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Chaos Toolkit experiment, put into a scenario. Pure: what it is about comes in, a scenario goes out.

The toolkit does one activity after the other; here each fault has its begin and its end on the run's clock.
What ends a fault there, an activity or a rollback, is where it ends here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_activities import (
    activity,
    healthy_probe,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import (
    Begin,
    End,
    Surroundings,
    Unmapped,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.promises import HEALTHY as HEALTHY_STATE
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, as_duration

# Seconds of load before the method, after it, and the shortest fault that can prove itself.
LEAD_S, SETTLE_S, SHORTEST_S = 5, 20, 5

# What says nothing about what is done.
DESCRIPTIVE = {"version", "title", "description", "tags", "contributions", "extensions", "secrets", "runtime"}
HANDLED = {"steady-state-hypothesis", "method", "rollbacks", "configuration"}


@dataclass
class _Fault:
    condition: dict[str, Any]
    name: str
    undo: str
    at_s: int
    end_s: int | None = None


@dataclass
class Translation:
    """A scenario, and a line for everything that has no counterpart in it."""

    scenario: dict[str, Any]
    unmapped: list[str] = field(default_factory=list)


def is_experiment(data: object) -> bool:
    """Say whether parsed data is an experiment of the toolkit rather than a scenario."""
    return isinstance(data, Mapping) and "title" in data and isinstance(data.get("method"), list)


def translate(experiment: Mapping[str, Any], system: str, around: Surroundings) -> Translation:
    """Return the scenario of an experiment; raises InputError where nothing of it can be run."""
    walk = _Walk(experiment, around)
    walk.method()
    end_s = walk.rollbacks()
    walk.hypothesis()
    walk.rest()
    if not walk.faults:
        raise InputError(["method: given no action that breaks anything here", *walk.unmapped])
    last_s = max([end_s, *(fault.end_s or 0 for fault in walk.faults)])
    scenario = {
        "name": str(experiment["title"])[:100] or "experiment",
        "description": " ".join(str(experiment.get("description", "")).split()),
        "system": system,
        "duration": as_duration(last_s + SETTLE_S),
        "workload": {"rate": 100},
        "conditions": list(_conditions(walk.faults)),
        **({"steady_state": [{"state": HEALTHY_STATE, "is": True}]} if walk.steady else {}),
        "success_criteria": {"data_consistency": 1.0, "recovery_time": as_duration(SETTLE_S - SHORTEST_S)},
    }
    return Translation(scenario, walk.unmapped)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is; of anything else, an empty one."""
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _conditions(faults: list[_Fault]) -> Iterator[dict[str, Any]]:
    ids: list[str] = []
    for fault in faults:
        stem = re.sub(r"[^a-z0-9]+", "-", fault.name.lower()).strip("-")[:18].rstrip("-")
        stem = stem if re.match("[a-z]", stem) else f"a-{stem}"[:18].rstrip("-")
        numbers = (stem, *(f"{stem}-{number}" for number in range(2, 100)))
        ids.append(next(name for name in numbers if name not in ids))
        times = {"at": as_duration(fault.at_s), "for": as_duration((fault.end_s or 0) - fault.at_s)}
        yield {"type": fault.condition["type"], "id": ids[-1], **times, **fault.condition}


class _Walk:
    """Goes through the experiment in its order, and keeps the time."""

    def __init__(self, experiment: Mapping[str, Any], around: Surroundings):
        self.experiment, self.around = experiment, around
        self.faults: list[_Fault] = []
        self.unmapped: list[str] = []
        self.steady = False
        self.now_s = float(LEAD_S)
        self.configuration = self._configuration()
        self.probes = _list(_mapping(experiment.get("steady-state-hypothesis")).get("probes"))
        every = [*self.probes, *experiment["method"], *_list(experiment.get("rollbacks"))]
        self.by_name = {str(one["name"]): one for one in every if isinstance(one, Mapping) and "name" in one}

    def _configuration(self) -> dict[str, Any]:
        """Return what is given in place; what comes from elsewhere counts by its default."""
        found = {}
        for name, value in _mapping(self.experiment.get("configuration")).items():
            if not isinstance(value, Mapping):
                found[name] = value
            elif "default" in value:
                found[name] = value["default"]
        return found

    def method(self) -> None:
        """Do the activities of the method one after the other."""
        for i, entry in enumerate(self.experiment["method"]):
            self._one(f"method[{i}]", entry)

    def rollbacks(self) -> int:
        """Do the rollbacks, and end what nothing has ended; returns when all is over."""
        for i, entry in enumerate(_list(self.experiment.get("rollbacks"))):
            self._one(f"rollbacks[{i}]", entry)
        end_s = math.ceil(self.now_s)
        for fault in self.faults:
            fault.end_s = max(end_s if fault.end_s is None else fault.end_s, fault.at_s + SHORTEST_S)
        return end_s

    def hypothesis(self) -> None:
        """Look at the probes of the steady state: one that maps asks whether the system is healthy."""
        for i, probe in enumerate(self.probes):
            known = len(self.unmapped)
            self._one(f"steady-state-hypothesis.probes[{i}]", probe)
            self.steady = self.steady or len(self.unmapped) == known
        self._controls("steady-state-hypothesis", _mapping(self.experiment.get("steady-state-hypothesis")))

    def rest(self) -> None:
        """Name what stands beside all that."""
        self._controls("", self.experiment)
        for key in self.experiment:
            if key not in DESCRIPTIVE | HANDLED | {"controls"}:
                self.unmapped.append(f"{key}: it has no counterpart")

    def _controls(self, where: str, holder: Mapping[str, Any]) -> None:
        for i, _control in enumerate(_list(holder.get("controls"))):
            self.unmapped.append(f"{where}{'.' if where else ''}controls[{i}]: it has no counterpart")

    def _one(self, where: str, entry: Any) -> None:
        if isinstance(entry, Mapping) and "ref" in entry:
            entry = self.by_name.get(str(entry["ref"]))
        if not isinstance(entry, Mapping) or not isinstance(entry.get("provider"), Mapping):
            self.unmapped.append(f"{where}: it is no activity")
            return
        pauses = _mapping(entry.get("pauses"))
        self._controls(where, entry)
        try:
            self.now_s += self._pause(pauses, "before")
            provider = self._filled(entry["provider"])
            if entry.get("type") == "probe":
                healthy_probe(provider, self._filled(entry.get("tolerance")), self.around)
            else:
                self._do(str(entry.get("name", "")), activity(provider, self.around), entry)
            self.now_s += self._pause(pauses, "after")
        except Unmapped as error:
            self.unmapped.append(f"{where}.{error.where}: {error.why}")

    def _pause(self, pauses: Mapping[str, Any], key: str) -> float:
        value = self._filled(pauses.get(key, 0))
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = -1
        if not 0 <= seconds <= 6 * 3600:
            raise Unmapped(f"pauses.{key}", f"{value!r} is no number of seconds up to six hours")
        return seconds

    def _do(self, name: str, done: Begin | End | None, entry: Mapping[str, Any]) -> None:
        now_s = math.ceil(self.now_s)
        if isinstance(done, End):
            for fault in self.faults:
                if fault.end_s is None and f"{fault.undo} ".startswith(f"{done.undo} "):
                    fault.end_s = now_s
        elif isinstance(done, Begin):
            end_s = None if done.lasts_s is None else now_s + math.ceil(done.lasts_s)
            self.faults.append(
                _Fault(done.condition, name or done.condition["type"], done.undo, now_s, end_s)
            )
            if done.lasts_s is not None and not entry.get("background"):
                self.now_s += done.lasts_s

    def _filled(self, value: Any) -> Any:
        """Put the configuration's values in place of `${name}`."""
        if isinstance(value, Mapping):
            return {key: self._filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        if (whole := re.fullmatch(r"\$\{(\w+)\}", value)) and whole[1] in self.configuration:
            return self.configuration[whole[1]]
        missing = [name for name in re.findall(r"\$\{(\w+)\}", value) if name not in self.configuration]
        if missing:
            raise Unmapped("provider", f"${{{missing[0]}}} comes from outside the experiment")
        return re.sub(r"\$\{(\w+)\}", lambda found: str(self.configuration[found[1]]), value)
