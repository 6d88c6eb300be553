# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must hold: success criteria, the steady state before and after, and when a run is ended early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    DURATION_PATTERN,
    not_allowed,
    parse_duration,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Answer
from ansible_collections.foundation.testbed.plugins.plugin_utils.criteria import CRITERIA
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import (
    Duration,
    Figure,
    Query,
    Strict,
    figure,
    said_of,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes, problems_of
from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

BOUNDS: Mapping[str, str] = {"at_most": "<=", "at_least": ">=", "below": "<", "above": ">"}
# Every system tells this one beside its own states.
HEALTHY = "healthy"


def _one_of(model: Strict, words: tuple[str, ...], what: str = "") -> str:
    """Return the one word of several that is said; raises ValueError."""
    said = said_of(model.model_dump(by_alias=True), words)
    if len(said) != 1:
        raise ValueError(f"given {' and '.join(said) or 'nothing'}{what}; allowed: one of {', '.join(words)}")
    return said[0]


class QueryCriterion(Strict):
    """A success criterion that PromQL measures: `promql` and one of the bounds."""

    promql: Query
    at_most: Figure = None
    at_least: Figure = None
    above: Figure = None
    below: Figure = None
    unit: str = ""

    @model_validator(mode="after")
    def _one_bound(self) -> QueryCriterion:
        _one_of(self, ("promql",))
        _one_of(self, tuple(BOUNDS))
        return self


def _criterion(value: object) -> float | str | QueryCriterion:
    """Return a threshold, or a criterion that PromQL measures."""
    if isinstance(value, Mapping):
        try:
            return QueryCriterion.model_validate(dict(value))
        except ValidationError as error:
            raise Mistakes(problems_of(QueryCriterion, error)) from None
    allowed = "a number, a duration such as 15s, or a mapping with promql and one of " + ", ".join(BOUNDS)
    if isinstance(value, str):
        return value
    try:
        if value is not None:
            return float(figure(value))
    except ValueError:
        pass
    raise ValueError(f"given {shown(value)}; allowed: {allowed}")


CRITERIA_SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "description": "What the run must reach: a criterion's threshold, or a PromQL expression and its bound.",
    "properties": {
        name: {
            "description": f"{criterion.definition} ({criterion.unit}, {criterion.comparison})",
            **(
                {"type": ["number", "string"], "pattern": f"^{DURATION_PATTERN}$"}
                if criterion.unit in ("s", "ms")
                else {"type": "number"}
            ),
        }
        for name, criterion in CRITERIA.items()
    },
    "additionalProperties": {
        "type": "object",
        "required": ["promql"],
        "properties": {
            "promql": {"type": "string", "minLength": 1, "description": "What is measured."},
            **{bound: {"type": "number"} for bound in BOUNDS},
            "unit": {"type": "string"},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [bound]} for bound in BOUNDS],
    },
}
Criterion = Annotated[float | str | QueryCriterion, PlainValidator(_criterion)]
Criteria = Annotated[dict[str, Criterion], Field(min_length=1), WithJsonSchema(CRITERIA_SCHEMA)]


def criteria_problems(criteria: Mapping[str, float | str | QueryCriterion]) -> Iterator[str]:
    """Say which criteria there are not, and which thresholds are in no unit of theirs."""
    for name, given in criteria.items():
        key = f"success_criteria.{name}"
        if name in CRITERIA:
            try:
                threshold(name, given)
            except ValueError as error:
                yield f"{key}: {error}"
        elif not isinstance(given, QueryCriterion):
            yield f"{key}: {not_allowed(name, CRITERIA)}; or any name, with a mapping of promql and a bound"
        elif not name.isprintable() or not 0 < len(name) <= 60:
            yield f"success_criteria: given {shown(name)}; allowed: names of 1 to 60 printable characters"


def threshold(name: str, given: float | str | QueryCriterion) -> float:
    """Return a criterion's threshold in its own unit; a text is a duration. Raises ValueError."""
    unit = CRITERIA[name].unit
    if isinstance(given, QueryCriterion):
        raise ValueError(f"given promql; allowed: a number ({unit}), as the testbed measures it itself")
    if not isinstance(given, str):
        return float(given)
    if unit not in ("s", "ms"):
        raise ValueError(f"given {given!r}; allowed: a number ({unit})")
    return parse_duration(given) * (1000.0 if unit == "ms" else 1.0)


def planned_criterion(name: str, given: float | str | QueryCriterion) -> dict[str, Any]:
    """Return a criterion as it stands in the plan."""
    if isinstance(given, QueryCriterion):
        bound = _one_of(given, tuple(BOUNDS))
        limit = {"threshold": float(getattr(given, bound)), "comparison": BOUNDS[bound]}
        return {"name": name, **limit, "query": given.promql, "unit": given.unit}
    return {"name": name, "threshold": threshold(name, given), "comparison": CRITERIA[name].comparison}


class SteadyState(Strict):
    """A state in which the system has to be before and after: a word of its own, or a PromQL expression."""

    state: str | None = None
    promql: Query = None
    is_: Annotated[Answer, Field(alias="is")] = None
    above: Figure = None
    below: Figure = None
    at_most: Figure = None
    at_least: Figure = None
    nodes: Literal["any", "all"] | None = None

    @model_validator(mode="after")
    def _one(self) -> SteadyState:
        _one_of(self, ("state", "promql"))
        if self.promql is None:
            _one_of(self, ("is", "above", "below"))
            wrong = said_of(self.model_dump(), ("at_most", "at_least"))
        else:
            _one_of(self, tuple(BOUNDS))
            wrong = said_of(self.model_dump(by_alias=True), ("is", "nodes"))
        for key in wrong:
            raise ValueError(
                f"{key}: given beside {'state' if self.promql is None else 'promql'}; allowed: "
                + ("is, above, below" if self.promql is None else ", ".join(BOUNDS))
            )
        return self

    def planned(self) -> dict[str, Any]:
        """Return it as it stands in the plan."""
        said = self.model_dump(by_alias=True, exclude_none=True)
        return said if self.state is None else {"nodes": "all", **said}


class AbortBound(Strict):
    """How far a measure may go, and how long it must be beyond before the run is ended."""

    above: Figure = None
    below: Figure = None
    for_: Annotated[Duration, Field(alias="for")]

    @model_validator(mode="after")
    def _one_bound(self) -> AbortBound:
        _one_of(self, ("above", "below"))
        return self


class AbortCondition(Strict):
    """One measure of the running system beyond a bound for some time."""

    error_rate: AbortBound | None = None
    throughput: AbortBound | None = None
    unhealthy_nodes: AbortBound | None = None

    @model_validator(mode="after")
    def _one(self) -> AbortCondition:
        _one_of(self, tuple(type(self).model_fields))
        return self

    def planned(self) -> dict[str, Any]:
        """Return it as it stands in the plan."""
        measure = _one_of(self, tuple(type(self).model_fields))
        bound: AbortBound = getattr(self, measure)
        side = _one_of(bound, ("above", "below"))
        return {"measure": measure, side: getattr(bound, side), "for_s": bound.for_}
