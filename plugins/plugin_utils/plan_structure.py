# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The structure of `plan.json` (docs/records.md), for a saved plan that is read again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    fault_class,
    fault_id,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import Query, Scalar, Strict
from ansible_collections.foundation.testbed.plugins.plugin_utils.promises import AbortCondition, SteadyState
from pydantic import BeforeValidator, Field, model_validator

Seconds = Annotated[float, Field(ge=0, le=365 * 24 * 3600)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Program = dict[str, Any]


class PlannedAbout(Strict):
    """What the plan says of its scenario."""

    name: Name
    title: str
    description: str
    system: str
    options: dict[str, Scalar]


class PlannedHost(Strict):
    """A node or an observer."""

    name: Name
    address: str


class PlannedLink(Strict):
    """A link, and how long each end holds what it sends over it."""

    between: Annotated[list[Name], Field(min_length=2, max_length=2)]
    latency_ms: Annotated[float, Field(ge=0)]
    back_ms: Annotated[float, Field(ge=0)]


class PlannedTopology(Strict):
    """Who shares a link with whom; no links for a full mesh without latency."""

    kind: str | None = None
    hub: Name | None = None
    links: list[PlannedLink] = Field(default=[])


class PlannedFault(Strict):
    """One fault, with the program of each host."""

    id: Annotated[str, BeforeValidator(fault_id)]
    type: str
    start_s: Seconds
    end_s: Seconds
    for_s: Seconds
    targets: list[Name]
    params: dict[str, Any]
    takes_down: bool
    nodes: dict[str, Program]
    power: dict[str, Program] = Field(default={})
    when: dict[str, Any] | None = None
    where: dict[str, Any] | None = None
    until: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _ends_after_its_begin(self) -> PlannedFault:
        if self.type not in fault_kinds():
            raise ValueError(f"type: {not_allowed(self.type, fault_kinds())}")
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s: given {self.end_s:g}; allowed: more than start_s, {self.start_s:g}")
        if bool(self.power) == fault_class(self.type).on_node:
            raise ValueError(f"power: given {len(self.power)} programs for {self.type}; allowed: as compiled")
        return self


class PlannedClient(Strict):
    """A group of clients."""

    name: Name
    pinned: bool
    endpoints: dict[str, str]
    weight: Annotated[float, Field(gt=0)]
    options: dict[str, Any]


class PlannedLoad(Strict):
    """What one generator does."""

    observer: Name
    generator: Name
    system: str
    workload: str
    seed: Annotated[int, Field(ge=0)]
    index: Annotated[int, Field(ge=0)]
    generators: Annotated[int, Field(ge=1)]
    rate_per_s: Annotated[float, Field(ge=0, le=20000)]
    asked_rate_per_s: Annotated[float, Field(ge=0, le=20000)] | None = None
    duration_s: Seconds
    operation_timeout_s: Seconds
    asked_operation_timeout_s: Seconds | None = None
    max_in_flight: Annotated[int, Field(ge=1)]
    keys: Annotated[int, Field(ge=1)]
    operations_per_key: Annotated[int, Field(ge=1)]
    mix: dict[str, Annotated[float, Field(ge=0)]]
    final_read_timeout_s: Seconds
    clients: Annotated[list[PlannedClient], Field(min_length=1)]


class PlannedCriterion(Strict):
    """A success criterion."""

    name: str
    threshold: float
    comparison: Literal[">=", "<=", ">", "<", "=="]
    query: Query = None
    unit: str = ""

    @model_validator(mode="after")
    def _known(self) -> PlannedCriterion:
        if self.query is None and self.name not in CRITERIA:
            raise ValueError(f"name: {not_allowed(self.name, CRITERIA)}")
        return self


class PlannedAbort(Strict):
    """A measure that ends the run early."""

    measure: str
    above: float | None = None
    below: float | None = None
    for_s: Seconds

    @model_validator(mode="after")
    def _known(self) -> PlannedAbort:
        if self.measure not in AbortCondition.model_fields:
            raise ValueError(f"measure: {not_allowed(self.measure, AbortCondition.model_fields)}")
        if (self.above is None) == (self.below is None):
            raise ValueError("given both or neither; allowed: one of above, below")
        return self


class MinimumLoad(Strict):
    """The load without which nothing is judged."""

    operations: int
    rate_share: float


class PlannedSeries(Strict):
    """One series that is kept of a run."""

    name: str
    title: str
    unit: str
    query: str
    criterion: str | None


class PlannedMonitor(Strict):
    """Whom the first observer probes, and what it asks Prometheus at the end."""

    system: str
    endpoints: dict[str, str]
    probe_every_s: Annotated[float, Field(gt=0)] | None = None
    prometheus: str
    series: list[PlannedSeries]


class Plan(Strict):
    """The structure of `plan.json` (docs/records.md)."""

    format: Literal[1]
    scenario: PlannedAbout
    seed: Annotated[int, Field(ge=0)]
    duration_s: Annotated[float, Field(gt=0, le=365 * 24 * 3600)]
    sample_every_s: Annotated[float, Field(gt=0)] = 1.0
    testbed_id: str
    role_variables: dict[str, int | list[str]] = Field(default={})
    topology: PlannedTopology = PlannedTopology()
    nodes: Annotated[list[PlannedHost], Field(min_length=1)]
    observers: Annotated[list[PlannedHost], Field(min_length=1)]
    faults: list[PlannedFault]
    load: list[PlannedLoad]
    criteria: Annotated[list[PlannedCriterion], Field(min_length=1)]
    steady_state: list[SteadyState]
    recovery_wait_s: Seconds
    abort_conditions: list[PlannedAbort]
    minimum_load: MinimumLoad
    monitor: PlannedMonitor
