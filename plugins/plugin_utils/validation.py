# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turn whatever a user wrote into a checked model, or into errors that name file, key, given and allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed, shown
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

# What pydantic calls by Python's names, in the user's words.
_ALLOWED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "invalid_key": "keys that are texts",
    "finite_number": "a finite number",
}


class InputError(Exception):
    """The user's input is wrong; `problems` holds one line for each mistake."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Mistakes(ValueError):
    """Several things wrong with one value; `problems` holds one line for each, its key first."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


def told(error: ValueError) -> list[str]:
    """Return what an error says is wrong, one line for each."""
    return error.problems if isinstance(error, Mistakes) else [str(error)]


@dataclass(frozen=True)
class Source:
    """Where input comes from: its name, and the line of every key in it as far as known, by its text."""

    name: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def located(self, problem: str) -> str:
        """Put the name, and the line of the key or of what it would belong to, before a problem."""
        ends = [len(problem), *(match.start() for match in re.finditer(r": |[.\[]", problem))]
        found = (self.lines.get(problem[:end]) for end in sorted(ends, reverse=True))
        line = next((line for line in found if line is not None), self.lines.get(""))
        said = "".join(character if character.isprintable() else " " for character in problem)
        return f"{self.name}: {said}" if line is None else f"{self.name}:{line}: {said}"

    def refused(self, problems: Iterable[str]) -> InputError:
        """Return the error that tells these problems."""
        return InputError([self.located(problem) for problem in problems])


def parse_model(model: type[Model], data: object, source: str | Source) -> Model:
    """Validate plain data against a model; raises InputError with one line for each mistake."""
    where = source if isinstance(source, Source) else Source(source)
    if not isinstance(data, Mapping):
        raise where.refused([f"given {shown(data)}; allowed: a mapping with {_field_names(model)}"])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise where.refused(problems_of(model, error)) from error


def problems_of(model: type[BaseModel], error: ValidationError) -> list[str]:
    """Return what the library found wrong in the user's words, one line for each mistake."""
    return [problem for detail in error.errors() for problem in _problems(model, detail)]


def _problems(model: type[BaseModel], detail: Any) -> list[str]:
    if detail["type"] == "value_error":
        key = key_text(detail["loc"])
        return [joined(key, problem) for problem in told(detail["ctx"]["error"])]
    return [joined(key_text(detail["loc"]), _said(model, detail))]


def _said(model: type[BaseModel], detail: Any) -> str:
    given, context, kind = detail["input"], detail.get("ctx", {}), detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key; {not_allowed(detail['loc'][-1], _siblings(model, detail['loc']))}"
    if kind == "missing":
        return "is required but missing"
    if kind in ("literal_error", "enum"):
        return not_allowed(given, re.findall(r"'([^']*)'", context.get("expected", "")))
    if kind in _ALLOWED:
        return f"given {shown(given)}; allowed: {_ALLOWED[kind]}"
    allowed = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"given {shown(given)}; allowed: {allowed[0].lower()}{allowed[1:]}"


def joined(key: str, message: str) -> str:
    """Put the keys at the beginning of a message behind the key that it is about."""
    while inner := re.match(r"([\w.\[\]-]+): ", message):
        key = f"{key}.{inner[1]}" if key else inner[1]
        message = message[inner.end() :]
    return f"{key}: {message}" if key else message


def key_text(loc: tuple[Any, ...]) -> str:
    """Return the path of a key as it is written in errors, such as workload.clients[0].to."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{word(part)}" for part in loc)
    return text.removesuffix(".[key]").removeprefix(".")


def word(part: object) -> str:
    """Return a key as it is, or quoted where it would not be one word on one line."""
    fits = isinstance(part, str) and part and part.isprintable() and len(part) <= 80
    return str(part) if fits else shown(part)


def as_duration(seconds: float) -> str:
    """Return seconds as a user writes them, such as 70s or 0.5s."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _field_names(model: type[BaseModel]) -> str:
    return ", ".join(field.alias or name for name, field in model.model_fields.items())


def _siblings(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names allowed beside an unknown key, found by walking the model along the error's location."""
    current: type[BaseModel] | None = model
    for part in loc[:-1]:
        if current is None or isinstance(part, int):
            continue
        by_name = {field.alias or name: field for name, field in current.model_fields.items()}
        current = _inner_model(by_name[part].annotation) if part in by_name else None
    if current is None:
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None
