# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The load of a scenario, as a user says it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed, shown
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads import MIXES
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import Duration, Strict
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes, word
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator


def _plain(value: object) -> object:
    """Options go into plan.json as they are: nothing but what JSON can hold."""
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(
            f"given {shown(value)}; allowed: text, finite number, true, false, null, list or mapping of them"
        ) from None
    return value


Share = Annotated[float, Field(ge=0)]
MIX_SCHEMA = {
    "description": "Shares of the workload's operations; they need not add up to one.",
    "anyOf": [
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {f: {"type": "number", "minimum": 0, "default": share} for f, share in mix.items()},
        }
        for mix in MIXES.values()
    ],
}


class ClientGroup(Strict):
    """Clients that talk to one node (`to: n1`), to each its own (`to: each`), or to any (`to: any`)."""

    to: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    options: dict[str, Annotated[Any, BeforeValidator(_plain)]] = Field(default={})


class Workload(Strict):
    """The load: an open loop at a given rate."""

    type: Literal["auctions", "consensus", "events", "register", "registry"] = "register"
    rate: Annotated[float, Field(ge=0, le=20000)]
    keys: Annotated[int, Field(ge=1, le=10000)] = 10
    operations_per_key: Annotated[int, Field(ge=10, le=100000)] = 200
    operation_timeout: Duration = 1.0
    max_in_flight: Annotated[int, Field(ge=1, le=100000)] | None = None
    mix: Annotated[dict[str, Share], WithJsonSchema(MIX_SCHEMA)] = Field(default={})
    clients: Annotated[list[ClientGroup], Field(min_length=1)] = Field(
        default=[ClientGroup(to="each", weight=1.0), ClientGroup(to="any", weight=5.0)]
    )
    final_read_timeout: Duration = 30.0
    minimum_operations: Annotated[int, Field(ge=1)] = 100
    minimum_rate_share: Annotated[float, Field(gt=0, le=1)] = 0.9

    @property
    def shares(self) -> dict[str, float]:
        """Shares of all operations of the workload, with its own defaults."""
        return {**MIXES[self.type], **self.mix}

    @model_validator(mode="after")
    def _mixed(self) -> Workload:
        unknown = [f for f in self.mix if f not in MIXES[self.type]]
        if unknown:
            raise Mistakes(
                [f"mix.{word(f)}: unknown key; {not_allowed(f, MIXES[self.type])}" for f in unknown]
            )
        if sum(self.shares.values()) <= 0:
            raise Mistakes(["mix: given shares that are all 0; allowed: at least one above 0"])
        return self

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
