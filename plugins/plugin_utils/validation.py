# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turn whatever a user wrote into a checked model, or into errors that name file, key, given and allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
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


def read_yaml(path: Path) -> Any:
    """Parsed YAML of a file; raises InputError naming the file and, where known, the line."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        data = loader.get_single_data()
    except OSError as error:
        raise InputError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: is not UTF-8 text"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError([f"{path}{line}: is not valid YAML: {getattr(error, 'problem', error)}"]) from error
    except Exception as error:
        # The library lets through whatever a value's own constructor raises: a 31st of February, !!int x.
        kind = type(error).__name__
        raise InputError([f"{path}: holds a value that cannot be read: {kind}: {_line(error)}"]) from error
    if loader.repeated:
        raise InputError([f"{path}:{problem}" for problem in loader.repeated])
    return data


class _Loader(yaml.SafeLoader):
    """The library's safe loader, which also notes every key that a mapping holds more than once."""

    def __init__(self, text: str):
        super().__init__(text)
        self.repeated: list[str] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Look at the keys as they stand in the file, before any merge (`<<`) is resolved."""
        mapping = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.ScalarNode] = {}
        for key in (key for key, _value in mapping.value if isinstance(key, yaml.ScalarNode)):
            before = first.setdefault((key.tag, key.value), key)
            if before is not key:
                self.repeated.append(
                    f"{key.start_mark.line + 1}: {word(key.value)}: given again, "
                    f"first in line {before.start_mark.line + 1}; allowed: every key once"
                )
        return mapping


def parse_model(model: type[Model], data: object, source: str) -> Model:
    """Validate plain data against a model; raises InputError with one line for each mistake."""
    if not isinstance(data, Mapping):
        raise InputError([f"{source}: given {shown(data)}; allowed: a mapping with {_field_names(model)}"])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InputError([_problem(source, model, detail) for detail in error.errors()]) from error


def _problem(source: str, model: type[BaseModel], detail: Any) -> str:
    key = _key(detail["loc"])
    prefix = f"{source}: {key}: " if key else f"{source}: "
    given, context = detail["input"], detail.get("ctx", {})
    kind = detail["type"]
    if kind == "value_error":
        return f"{source}: {joined(key, str(context['error']))}"
    if kind == "extra_forbidden":
        return f"{prefix}unknown key; {not_allowed(detail['loc'][-1], _siblings(model, detail['loc']))}"
    if kind == "missing":
        return f"{prefix}is required but missing"
    if kind in ("literal_error", "enum"):
        return prefix + not_allowed(given, re.findall(r"'([^']*)'", context.get("expected", "")))
    if kind == "union_tag_invalid":
        words = re.findall(r"'([^']*)'", context.get("expected_tags", ""))
        return (
            prefix
            + f"unknown {context['discriminator'].strip(chr(39))}; "
            + not_allowed(context["tag"], words)
        )
    if kind in _ALLOWED:
        return f"{prefix}given {shown(given)}; allowed: {_ALLOWED[kind]}"
    allowed = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{prefix}given {shown(given)}; allowed: {allowed[0].lower()}{allowed[1:]}"


def joined(key: str, message: str) -> str:
    """Put the keys at the beginning of a message behind the key that it is about."""
    while inner := re.match(r"([\w.\[\]-]+): ", message):
        key = f"{key}.{inner[1]}" if key else inner[1]
        message = message[inner.end() :]
    return f"{key}: {message}" if key else message


def _line(words: object) -> str:
    return " ".join(str(words).split()) or "no more is known"


def _key(loc: tuple[int | str, ...]) -> str:
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
        if part in by_name:
            current = _inner_model(by_name[part].annotation)
        else:  # the tag of a discriminated union stands in the location: it names no field
            continue
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
