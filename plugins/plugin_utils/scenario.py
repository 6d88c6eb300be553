# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scenario: everything a user says about a run, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Broken, Condition
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import (
    Duration,
    Instant,
    Scalar,
    Strict,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.promises import (
    AbortCondition,
    Criteria,
    SteadyState,
    criteria_problems,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.schedule import schedule_problems
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.specification import translated
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    Mistakes,
    Source,
    parse_model,
    told,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.workload import Workload
from pydantic import Field, PrivateAttr, model_validator

SCENARIOS_DIR = Path(__file__).resolve().parents[2] / "scenarios"
# What conditions are checked against while the duration itself is wrong.
_SOME_DURATION_S = 3600.0
# Not the name of a scenario: it stands for every one of a folder.
ALL = "all"


class Scenario(Strict):
    """One scenario file."""

    name: Annotated[str, Field(min_length=1, max_length=100, description="Title in the report.")]
    description: Annotated[str, Field(description="Shown in the report.")] = ""
    system: Annotated[str, Field(description="A system that some node of the cluster runs.")]
    options: Annotated[
        dict[str, Scalar], Field(description="Options of the system, by names that it declares.")
    ] = Field(default={})
    node_count: Annotated[int, Field(ge=2, description="For a cluster of exactly so many nodes.")] | None = (
        None
    )
    seed: Annotated[int, Field(ge=0, description="All that is random is drawn from it.")] = 1
    duration: Annotated[Duration, Field(description="Length of the load, from the start instant.")]
    workload: Annotated[Workload, Field(description="The load.")]
    conditions: Annotated[list[Condition], Field(description="What is broken.")] = Field(default=[])
    steady_state: Annotated[
        list[SteadyState], Field(description="How the system has to be before the run, and again after it.")
    ] = Field(default=[])
    recovery_wait: Annotated[
        Instant, Field(description="How long after the end one waits for the steady state to be back.")
    ] = 30.0
    abort_conditions: Annotated[
        list[AbortCondition], Field(description="What ends the run early, with every fault taken back.")
    ] = Field(default=[])
    success_criteria: Criteria

    _source: Source | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _in_our_words(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("conditions"), list):
            return data
        try:
            duration_s = parse_duration(data.get("duration"))
        except ValueError:  # said by the key itself
            duration_s = _SOME_DURATION_S
        return {**data, "conditions": [_translated(entry, duration_s) for entry in data["conditions"]]}

    @model_validator(mode="after")
    def _sound(self) -> Scenario:
        problems = [
            *schedule_problems(self.conditions, self.duration),
            *criteria_problems(self.success_criteria),
        ]
        if problems:
            raise Mistakes(problems)
        return self

    def source(self, scenario_id: str) -> Source:
        """Return the file that it was read from, for the words of errors."""
        return self._source or Source(f"{scenario_id}.yml")


def _translated(entry: Any, duration_s: float) -> Any:
    try:
        return translated(entry, duration_s)
    except ValueError as error:
        return Broken(tuple(told(error)))


def find_scenario(name: str, folder: Path = SCENARIOS_DIR) -> Path:
    """Return the file of a scenario given by name or by path; raises InputError with the names there are."""
    path = Path(name)
    if path.suffix in (".yml", ".yaml", ".json") and path.is_file():
        return path.resolve()
    known = {file.stem: file for file in sorted(folder.glob("*.yml")) if file.stem != ALL}
    if name not in known:
        allowed = f"{not_allowed(name, known)}; or the path of a .yml, plan.json or experiment's file"
        raise InputError([f"scenario: {allowed}"])
    return known[name]


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; raises InputError with one line for each mistake."""
    data, source = read_source(path, path.name)
    scenario = parse_model(Scenario, data, source)
    scenario._source = source
    return scenario
