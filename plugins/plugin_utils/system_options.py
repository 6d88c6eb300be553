# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of a system: what a scenario may say of it, as variables of the system's role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
    shown,
    whole,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes
from pydantic import BaseModel, ConfigDict, Field, model_validator


class AtLeast(BaseModel):
    """An option that has to be some times as large as another."""

    model_config = ConfigDict(extra="forbid", strict=True)

    times: Annotated[float, Field(gt=0)]
    option: str


class Option(BaseModel):
    """One option: the role's variable that it sets, in milliseconds where it is a duration.

    `default` is the role's own; `minimum` and `maximum` are in the variable's unit. An option of type `words`
    sets a list, out of `words`, and is said as a text with commas between them; its default is none.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    about: str
    variable: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    type: Literal["duration", "number", "words"]
    default: int = 0
    minimum: int = 0
    maximum: int = 0
    words: list[str] = []
    at_least: AtLeast | None = None

    @model_validator(mode="after")
    def _of_its_type(self) -> Option:
        bounds = ("default", "minimum", "maximum")
        needed, foreign = (
            (("words",), (*bounds, "at_least")) if self.type == "words" else (bounds, ("words",))
        )
        given = self.model_fields_set
        wrong = [f"{key}: is required but missing" for key in needed if key not in given]
        wrong += [
            f"{key}: given with type {self.type}; allowed: {', '.join(needed)}"
            for key in foreign
            if key in given
        ]
        if wrong:
            raise Mistakes(wrong)
        return self

    def parse(self, given: object) -> int | list[str]:
        """Return the variable's value; raises ValueError saying what is allowed."""
        if self.type == "words":
            return self._parse_words(given)
        if self.type == "number":
            return int(whole(self.minimum, self.maximum)(given))
        value = round(parse_duration(given) * 1000)
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"given {shown(given)}; allowed: from {self.minimum} ms to {self.maximum} ms")
        return value

    def _parse_words(self, given: object) -> list[str]:
        said = [each.strip() for each in given.split(",") if each.strip()] if isinstance(given, str) else []
        if not said or set(said) - set(self.words):
            raise ValueError(
                f"given {shown(given)}; allowed: {', '.join(self.words)}, or several with commas between them"
            )
        return sorted(set(said))


def role_variables(given: Mapping[str, Any], declared: Mapping[str, Option]) -> dict[str, Any]:
    """Return what the role is told; of what is wrong (see `wrong_options`) nothing."""
    found = {}
    for name, value in given.items():
        try:
            found[declared[name].variable] = declared[name].parse(value)
        except (KeyError, ValueError):
            continue
    return found


def wrong_options(given: Mapping[str, Any], declared: Mapping[str, Option]) -> Iterator[tuple[str, str]]:
    """Yield the name of each option that is wrong, and what is wrong with it."""
    for name, value in given.items():
        if name not in declared:
            yield name, not_allowed(name, declared)
            continue
        try:
            declared[name].parse(value)
        except ValueError as error:
            yield name, str(error)
    told = role_variables(given, declared)
    values = {name: told.get(option.variable, option.default) for name, option in declared.items()}
    for name, option in declared.items():
        bound = option.at_least
        if bound and values[name] < bound.times * values[bound.option]:
            unit = " ms" if option.type == "duration" else ""
            yield (
                name,
                (
                    f"given {values[name]}{unit} beside {bound.option} of {values[bound.option]}{unit}; "
                    f"allowed: at least {bound.times:g} times that"
                ),
            )
