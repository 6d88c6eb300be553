# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions of a scenario: what is broken, on which nodes, when and for how long.

What all kinds of fault share is the model here; what one kind may be told, its own file says
(`module_utils/faults`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    ClusterView,
    Fault,
    fault_class,
    fault_kinds,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    many,
    name,
    not_allowed,
    number,
    parse_duration,
    parse_lease,
    percentage,
    read_parameters,
    shown,
    whole,
)
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FaultClass = type[Fault]


def _instant(value: object) -> float:
    return 0.0 if value == "0s" else parse_duration(value)


Duration = Annotated[float, BeforeValidator(parse_duration)]
Lease = Annotated[float, BeforeValidator(parse_lease)]
Instant = Annotated[float, BeforeValidator(_instant)]
Percentage = Annotated[float, BeforeValidator(percentage)]


class Strict(BaseModel):
    """A model that knows its keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class StateCondition(Strict):
    """A state of a node's own system: `state` and one of `is`, `above`, `below`, `changed`."""

    state: str
    is_: Annotated[bool | int | float | str | None, Field(alias="is")] = None
    above: float | int | None = None
    below: float | int | None = None
    changed: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> StateCondition:
        said = list(self.model_dump(by_alias=True, exclude_none=True, exclude={"state"}))
        if len(said) != 1:
            raise ValueError(
                f"given {' and '.join(said) or 'nothing'}; allowed: one of is, above, below, changed"
            )
        return self


class Selection(Strict):
    """Nodes drawn from the seed: so many, or a share of them."""

    random: Annotated[int, Field(ge=1)] | None = None
    percentage: Percentage | None = None

    @model_validator(mode="after")
    def _one(self) -> Selection:
        if (self.random is None) == (self.percentage is None):
            raise ValueError("given neither or both; allowed: one of random, percentage")
        return self


def _nodes(value: object) -> object:
    if isinstance(value, str):
        return value if value in ("all", "leader", "followers") else many(name)(value)
    return value


class Condition(BaseModel):
    """One condition; keys beside these belong to its kind and are in `params` once it is checked."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, populate_by_name=True)

    type: str
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")] | None = None
    at: Instant
    for_: Annotated[Lease, Field(alias="for")]
    nodes: Annotated[
        Literal["all", "leader", "followers"] | list[str] | Selection | None, BeforeValidator(_nodes)
    ] = None
    affected_percentage: Percentage | None = None
    when: StateCondition | None = None
    within: Duration | None = None
    until: StateCondition | None = None
    every: Duration | None = None
    count: Annotated[int, Field(ge=1, le=100)] | None = None
    max_down: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_kind(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("type") not in fault_kinds():
            allowed = [*fault_kinds(), *SPECIFICATION]
            raise ValueError(f"type: {not_allowed(data.get('type'), allowed)}")
        return data

    @model_validator(mode="after")
    def _sound(self) -> Condition:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        problems = []
        if (self.when is None) != (self.within is None):
            problems.append("within: belongs to when; allowed: both, or neither")
        if (self.every is None) != (self.count is None):
            problems.append("count: belongs to every; allowed: both, or neither")
        if self.affected_percentage is not None and self.nodes is not None:
            problems.append("affected_percentage: given beside nodes; allowed: one of them")
        params, wrong = read_parameters(self.kind.parameters, self.model_extra or {})
        problems += [self._with_shared_keys(line) for line in wrong]
        if not wrong:
            problems += self.kind.problems(params)
            named_by = self.kind.names_nodes(params)
            chosen = [key for key in ("nodes", "affected_percentage") if getattr(self, key) is not None]
            problems += [
                f"{key}: given beside {named_by}; allowed: one of them" for key in chosen if named_by
            ]
        return problems

    def _with_shared_keys(self, line: str) -> str:
        """Name the shared keys as well where a key is unknown: the user sees one list, not two."""
        key, _, rest = line.partition(": ")
        if not rest.startswith("unknown key"):
            return line
        shared = [field.alias or name for name, field in type(self).model_fields.items()]
        return f"{key}: unknown key; {not_allowed(key, [*shared, *self.kind.parameters])}"

    @property
    def kind(self) -> FaultClass:
        """Class of the kind of fault."""
        return fault_class(self.type)

    @property
    def params(self) -> dict[str, Any]:
        """What the kind is told, parsed, with its defaults."""
        return read_parameters(self.kind.parameters, self.model_extra or {})[0]

    def schedule_problems(self, duration_s: float) -> Iterator[str]:
        """Say what is wrong with its times in a scenario that lasts so many seconds."""
        if self.kind.whole_seconds and self.when is None:
            times = {"at": self.at, "for": self.for_, "every": self.every or 0.0}
            for key, value in times.items():
                if value != int(value):
                    yield f"{key}: given {value:g} s; allowed: whole seconds (as the kernel compares)"
        if self.last_s > duration_s:
            yield f"given an end at {self.last_s:g} s; allowed: at most the duration, {duration_s:g} s"

    @property
    def last_s(self) -> float:
        """The latest end of its last repetition, seconds from the start instant."""
        repeats = ((self.count or 1) - 1) * (self.every or 0.0)
        return self.at + repeats + (self.within or 0.0) + self.for_

    def chosen(self, cluster: ClusterView, draw: random.Random) -> list[str]:
        """Return the nodes that it is about, in the inventory's order; raises ValueError."""
        everyone = list(cluster.nodes)
        nodes = self.nodes
        if self.affected_percentage is not None:
            nodes = Selection(percentage=self.affected_percentage)
        if isinstance(nodes, list):
            for node in nodes:
                if node not in cluster.nodes:
                    raise ValueError(f"nodes: {not_allowed(node, cluster.nodes)}")
                if nodes.count(node) > 1:
                    raise ValueError(f"nodes: given {node!r} {nodes.count(node)} times; allowed: each once")
            return [node for node in everyone if node in nodes]
        if isinstance(nodes, Selection):
            wanted = nodes.random or max(1, round(len(everyone) * (nodes.percentage or 0) / 100))
            if wanted > len(everyone):
                raise ValueError(f"nodes.random: given {wanted}; allowed: at most {len(everyone)} nodes")
            drawn = draw.sample(everyone, wanted)
            return [node for node in everyone if node in drawn]
        return everyone


def _milliseconds(value: object) -> float:
    """Seconds of a duration, or of a bare number of milliseconds, as the specification writes them."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(number(0.001, 3.6e6)(value)) / 1000.0
    return parse_duration(value)


def _text(seconds: float) -> str:
    return f"{round(seconds * 1000, 3):f}ms"


def _node_failure(params: dict[str, Any], duration_s: float) -> dict[str, Any]:
    """Every `interval` one more node fails, until `count` are down; they stay down until the end."""
    ends = params.get("for") or duration_s - params["interval"] * params["count"]
    return {
        "type": "power", "action": "off", "nodes": {"random": 1}, "at": _text(params["interval"]),
        "every": _text(params["interval"]), "count": params["count"], "for": _text(max(ends, 0.001)),
    }  # fmt: skip


def _network_latency(params: dict[str, Any], duration_s: float) -> dict[str, Any]:
    middle, half = (params["min"] + params["max"]) / 2, (params["max"] - params["min"]) / 2
    jitter = {"jitter": _text(half), "distribution": "uniform"} if half > 0 else {}
    return {
        "type": "link", "delay": _text(middle), **jitter,
        "affected_percentage": params["affected_percentage"],
    }  # fmt: skip


def _resource_exhaustion(params: dict[str, Any], duration_s: float) -> dict[str, Any]:
    return {"type": "pressure", "resource": params["type"], "target": params["target_percentage"]}


def _message_loss(params: dict[str, Any], duration_s: float) -> dict[str, Any]:
    rest: dict[str, Any] = {
        key: params[key] for key in ("peers", "ports", "affected_percentage") if key in params
    }
    return {"type": "link", "loss": params["percentage"], **rest}


_SHARED = {
    "at": Parameter(_milliseconds, "begin, from the start instant"),
    "for": Parameter(_milliseconds, "length; to the end of the scenario by default"),
}
SPECIFICATION: Mapping[
    str, tuple[Mapping[str, Parameter], Callable[[dict[str, Any], float], dict[str, Any]]]
] = {
    "node_failure": (
        {
            "type": Parameter(choice("random"), "which nodes", "random"),
            "interval": Parameter(_milliseconds, "between two failures", required=True),
            "count": Parameter(whole(1, 100), "how many nodes", required=True),
            "for": _SHARED["for"],
        },
        _node_failure,
    ),
    "network_latency": (
        {
            "min": Parameter(_milliseconds, "least delay", required=True),
            "max": Parameter(_milliseconds, "greatest delay", required=True),
            "affected_percentage": Parameter(percentage, "share of the nodes", 100.0),
            **_SHARED,
        },
        _network_latency,
    ),
    "resource_exhaustion": (
        {
            "type": Parameter(choice("memory", "cpu"), "which resource", required=True),
            "target_percentage": Parameter(percentage, "of the node's own limit", required=True),
            **_SHARED,
        },
        _resource_exhaustion,
    ),
    "message_loss": (
        {
            "percentage": Parameter(percentage, "share of the packets", required=True),
            "peers": Parameter(many(name), "towards these peers only"),
            "ports": Parameter(many(whole(1, 65535)), "of these ports only"),
            "affected_percentage": Parameter(percentage, "share of the nodes"),
            **_SHARED,
        },
        _message_loss,
    ),
}


def translated(entry: Any, duration_s: float) -> Any:
    """Return a condition written in the specification's words (S3.1) in the testbed's own.

    It is a mapping of one name to its parameters, `{network_latency: {min: 100, max: 1000,
    affected_percentage: 30}}`, bare numbers of time being milliseconds. Anything else is returned as it is.
    Raises ValueError.
    """
    if not isinstance(entry, Mapping) or len(entry) != 1 or next(iter(entry)) not in SPECIFICATION:
        return entry
    ((word, given),) = entry.items()
    parameters, translate = SPECIFICATION[word]
    if not isinstance(given, Mapping):
        raise ValueError(f"{word}: given {shown(given)}; allowed: a mapping with {', '.join(parameters)}")
    params, problems = read_parameters(parameters, given)
    if not problems and word == "network_latency" and params["min"] > params["max"]:
        problems = [f"min: given {shown(given['min'])}; allowed: at most max, {shown(given['max'])}"]
    if problems:
        raise ValueError(f"{word}.{problems[0]}")
    at_s = params.get("at", 0.0)
    times = {"at": "0s" if at_s == 0 else _text(at_s), "for": _text(params.get("for", duration_s - at_s))}
    return {**times, **translate(params, duration_s)}
