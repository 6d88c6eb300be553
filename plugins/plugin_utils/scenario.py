# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scenario: everything a user says about a run, checked before anything is touched."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import (
    Condition,
    Duration,
    Strict,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA
from ansible_collections.foundation.testbed.plugins.plugin_utils.specification import translated
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    joined,
    parse_model,
    read_yaml,
)
from pydantic import BeforeValidator, Field, model_validator

SCENARIOS_DIR = Path(__file__).resolve().parents[2] / "scenarios"
# Not the name of a scenario: it stands for every one of a folder.
ALL = "all"


def _criterion(value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"given {shown(value)}; allowed: a number, or a duration such as 15s")
    if isinstance(value, str):
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"given {shown(value)}; allowed: a finite number, or a duration such as 15s")
    return number


def _plain(value: object) -> object:
    """Options go into plan.json as they are: nothing but what JSON can hold."""
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(
            f"given {shown(value)}; allowed: text, finite number, true, false, null, list or mapping of them"
        ) from None
    return value


Threshold = Annotated[float | str, BeforeValidator(_criterion)]


class Mix(Strict):
    """Shares of the kinds of operation; they need not add up to one."""

    read: Annotated[float, Field(ge=0)] = 0.5
    write: Annotated[float, Field(ge=0)] = 0.3
    cas: Annotated[float, Field(ge=0)] = 0.2

    @model_validator(mode="after")
    def _something(self) -> Mix:
        if self.read + self.write + self.cas <= 0:
            raise ValueError("given shares that are all 0; allowed: at least one above 0")
        return self


class ClientGroup(Strict):
    """Clients that talk to one node (`to: n1`), to each its own (`to: each`), or to any (`to: any`)."""

    to: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    options: dict[str, Annotated[Any, BeforeValidator(_plain)]] = Field(default={})


class Workload(Strict):
    """The load: an open loop at a given rate."""

    type: Literal["register"] = "register"
    rate: Annotated[float, Field(ge=0, le=20000)]
    keys: Annotated[int, Field(ge=1, le=10000)] = 10
    operations_per_key: Annotated[int, Field(ge=10, le=100000)] = 200
    operation_timeout: Duration = 1.0
    max_in_flight: Annotated[int, Field(ge=1, le=100000)] | None = None
    mix: Mix = Mix()
    clients: Annotated[list[ClientGroup], Field(min_length=1)] = Field(
        default=[ClientGroup(to="each", weight=1.0), ClientGroup(to="any", weight=5.0)]
    )
    final_read_timeout: Duration = 30.0
    minimum_operations: Annotated[int, Field(ge=1)] = 100
    minimum_rate_share: Annotated[float, Field(gt=0, le=1)] = 0.9

    @model_validator(mode="after")
    def _apart(self) -> Workload:
        targets = [group.to for group in self.clients]
        for to in targets:
            if targets.count(to) > 1:
                raise ValueError(
                    f"clients: given {to!r} {targets.count(to)} times; allowed: every target once"
                )
        if "each" in targets and set(targets) - {"each", "any"}:
            raise ValueError(
                f"clients: given 'each' beside {min(set(targets) - {'each', 'any'})!r}; "
                "allowed: 'each', or single nodes"
            )
        return self


class Scenario(Strict):
    """One scenario file."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    system: str
    node_count: Annotated[int, Field(ge=2)] | None = None
    seed: Annotated[int, Field(ge=0)] = 1
    duration: Duration
    workload: Workload
    conditions: list[Condition] = Field(default=[])
    success_criteria: Annotated[dict[str, Threshold], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _in_our_words(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("conditions"), list):
            return data
        try:
            duration_s = parse_duration(data.get("duration"))
        except ValueError:  # said by the key itself
            return data
        conditions = []
        for i, entry in enumerate(data["conditions"]):
            try:
                conditions.append(translated(entry, duration_s))
            except ValueError as error:
                raise ValueError(f"conditions[{i}].{error}") from None
        return {**data, "conditions": conditions}

    @model_validator(mode="after")
    def _within_duration(self) -> Scenario:
        for i, condition in enumerate(self.conditions):
            for problem in condition.schedule_problems(self.duration):
                raise ValueError(joined(f"conditions[{i}]", problem))
        for name in self.success_criteria:
            if name not in CRITERIA:
                raise ValueError(f"success_criteria: {not_allowed(name, CRITERIA)}")
        return self


def threshold(name: str, given: float | str) -> float:
    """Return a criterion's threshold in its own unit; a text is a duration. Raises ValueError."""
    if not isinstance(given, str):
        return float(given)
    unit = CRITERIA[name].unit
    if unit not in ("s", "ms"):
        raise ValueError(f"success_criteria.{name}: given {given!r}; allowed: a number ({unit})")
    try:
        return parse_duration(given) * (1000.0 if unit == "ms" else 1.0)
    except ValueError as error:
        raise ValueError(f"success_criteria.{name}: {error}") from None


def find_scenario(name: str, folder: Path = SCENARIOS_DIR) -> Path:
    """Return the file of a scenario given by name or by path; raises InputError with the names there are."""
    path = Path(name)
    if path.suffix in (".yml", ".yaml", ".json") and path.is_file():
        return path.resolve()
    known = {file.stem: file for file in sorted(folder.glob("*.yml")) if file.stem != ALL}
    if name not in known:
        raise InputError([f"scenario: {not_allowed(name, known)}; or the path of a .yml or .json file"])
    return known[name]


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; raises InputError with one line for each mistake."""
    scenario = parse_model(Scenario, read_yaml(path), path.name)
    try:
        for name, given in scenario.success_criteria.items():
            threshold(name, given)
    except ValueError as error:
        raise InputError([f"{path.name}: {error}"]) from None
    return scenario
