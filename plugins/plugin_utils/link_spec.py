# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user writes of links and of their latency: the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import parse_duration, shown
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Kind = Literal["ring", "star", "mesh", "custom"]
Pair = tuple[str, str]

_UNITS_MS = {"microsecond": 0.001, "millisecond": 1.0, "second": 1000.0}
# The longest latency of a link.
MAX_MS = 10_000.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _held_ms(value: object) -> object:
    if value == 0 and not isinstance(value, bool):
        return 0.0
    held_ms = parse_duration(value) * 1000
    if held_ms > MAX_MS:
        raise ValueError(f"given {shown(value)}; allowed: at most {MAX_MS / 1000:g}s")
    return held_ms


def _link(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return {"between": value}
    if not isinstance(value, (Mapping, BaseModel)):
        raise ValueError(
            f"given {shown(value)}; allowed: two nodes such as [n1, n2], or a mapping with between, latency "
            "and back"
        )
    return value


def _ends(value: object) -> object:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(isinstance(one, str) for one in value)
    ):
        raise ValueError(f"given {shown(value)}; allowed: the names of two nodes, such as [n1, n2]")
    return tuple(value)


HeldMs = Annotated[float, BeforeValidator(_held_ms)]


class LinkSpec(_Strict):
    """One link of a custom topology; `back` is the latency from the second node to the first."""

    between: Annotated[Pair, BeforeValidator(_ends)]
    latency: HeldMs | None = None
    back: HeldMs | None = None

    @model_validator(mode="after")
    def _whole(self) -> LinkSpec:
        if self.back is not None and self.latency is None:
            raise ValueError("back: given without latency; allowed: beside latency")
        return self


class NetworkLatency(_Strict):
    """Latency of every link: drawn between min and max, or a matrix, from the row's node to the column's."""

    min: Annotated[float, Field(ge=0)] | None = None
    max: Annotated[float, Field(ge=0)] | None = None
    unit: Literal["microsecond", "millisecond", "second"]
    symmetrical: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    matrix: list[list[float | None]] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> NetworkLatency:
        beside = [key for key in ("min", "max", "symmetrical", "seed") if key in self.model_fields_set]
        if self.matrix is not None:
            if beside:
                raise ValueError(f"{beside[0]}: given beside matrix; allowed: one of the two")
            return self
        if self.min is None or self.max is None:
            key = "min" if self.min is None else "max"
            raise ValueError(f"{key}: is required but missing")
        if self.min > self.max:
            raise ValueError(f"given min {self.min} and max {self.max}; allowed: min <= max")
        if self.max * self.factor_ms > MAX_MS:
            raise ValueError(
                f"max: given {self.max:g} {self.unit}s; allowed: at most {MAX_MS / 1000:g} seconds"
            )
        return self

    @property
    def factor_ms(self) -> float:
        """Milliseconds of the unit."""
        return _UNITS_MS[self.unit]


LinkOrPair = Annotated[LinkSpec, BeforeValidator(_link)]
