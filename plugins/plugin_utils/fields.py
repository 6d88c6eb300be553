# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values that scenario files are made of, each with its check and with its part of the JSON Schema."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    DURATION_PATTERN,
    parse_duration,
    parse_lease,
    percentage,
    schema_of,
    shown,
)
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, WithJsonSchema


class Strict(BaseModel):
    """A model that knows its keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _instant(value: object) -> float:
    return 0.0 if value == "0s" else parse_duration(value)


def figure(value: Any) -> Any:
    """Return a finite number, or None, as it is; raises ValueError."""
    try:
        if value is None or (isinstance(value, (int, float)) and _finite(value)):
            return value
    except OverflowError:
        pass
    raise ValueError(f"given {shown(value)}; allowed: a number")


def _finite(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


def scalar(value: Any) -> Any:
    """Return a text, a finite number, true or false as it is; raises ValueError."""
    if isinstance(value, (str, bool)):
        return value
    try:
        if value is not None:
            return figure(value)
    except ValueError:
        pass
    raise ValueError(f"given {shown(value)}; allowed: a text, a number, true or false")


def query(value: Any) -> Any:
    """Return the text of a PromQL expression, or None; what it means, only the monitor can tell."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value if value is None else value.strip()
    raise ValueError(f"given {shown(value)}; allowed: a PromQL expression, as a text that is not empty")


def said_of(data: Mapping[str, Any], words: Iterable[str]) -> list[str]:
    """Return which of some words are said in a mapping."""
    return [word for word in words if data.get(word) is not None]


Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(schema_of(parse_duration))]
Lease = Annotated[float, BeforeValidator(parse_lease), WithJsonSchema(schema_of(parse_duration))]
Instant = Annotated[
    float,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "pattern": rf"^(0s|{DURATION_PATTERN})$"}),
]
Percentage = Annotated[float, BeforeValidator(percentage), WithJsonSchema(schema_of(percentage))]
Figure = Annotated[float | int | None, PlainValidator(figure), WithJsonSchema({"type": "number"})]
Scalar = Annotated[
    bool | int | float | str,
    PlainValidator(scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Query = Annotated[str | None, PlainValidator(query), WithJsonSchema({"type": "string", "minLength": 1})]
