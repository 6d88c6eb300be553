# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contract of a service: its OpenAPI 3.1 description, and whether requests and answers keep it.

Only what the descriptions here use is understood: parameters in path and query, one JSON body, answers by
status and media type, references within the document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

METHODS = ("get", "put", "post", "delete", "patch")
SHOWN = 5
"""How many mistakes of one request are told."""


class Mistake(NamedTuple):
    """One thing that is wrong with a request: where, and what."""

    where: str
    what: str


class Invalid(Exception):
    """A request does not keep the contract."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what in mistakes))
        self.mistakes = mistakes


@cache
def _matcher(pattern: str) -> Callable[[str], Any]:
    """Match as ECMA 262 does: `$` is the very end, not the place before a last newline."""
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern)).search


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and _matcher(pattern)(instance) is None:
        yield ValidationError(f"does not match {pattern}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    place: str
    required: bool
    default: Any
    read: Callable[[str], Any]
    validator: Any


@dataclass(frozen=True)
class Operation:
    """One operation of the description."""

    name: str
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Any
    answers: Mapping[str, Mapping[str, Any]]

    def arguments(self, path: Mapping[str, str], query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return the parameters as the contract types them, with defaults; raises Invalid."""
        given = {"path": {name: [value] for name, value in path.items()}, "query": query}
        known = {parameter.name for parameter in self.parameters if parameter.place == "query"}
        mistakes = [Mistake(f"query {name}", "is not known") for name in query if name not in known]
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            texts = given[parameter.place].get(parameter.name, [])
            where = f"{parameter.place} {parameter.name}"
            if not texts:
                values[parameter.name] = parameter.default
                mistakes += [Mistake(where, "is required")] if parameter.required else []
            elif len(texts) > 1:
                mistakes.append(Mistake(where, "is given more than once"))
            else:
                values[parameter.name] = parameter.read(texts[0])
                mistakes += _mistakes(parameter.validator, values[parameter.name], where)
        if mistakes:
            raise Invalid(mistakes[:SHOWN])
        return values

    def check_body(self, body: Any) -> None:
        """Raise Invalid when a body is not as described."""
        mistakes = _mistakes(self.body, body, "body")
        if mistakes:
            raise Invalid(mistakes)

    def wrong_answer(self, status: int, media_type: str, body: Any) -> str:
        """Return what is wrong with an answer; empty when it keeps the contract."""
        media = self.answers.get(str(status))
        if media is None:
            return f"{self.name}: status {status} is not described"
        if not media and body is None:
            return ""
        if media_type not in media:
            return f"{self.name}: {media_type} with status {status} is not described"
        mistakes = _mistakes(media[media_type], body, f"{self.name} {status}") if media[media_type] else []
        return "; ".join(f"{where}: {what}" for where, what in mistakes)


def _mistakes(validator: Any, value: Any, where: str) -> list[Mistake]:
    if _plainly_right(validator.schema, value):
        return []
    found = []
    for error in validator.iter_errors(value):
        place = "".join(f"/{part}" for part in error.absolute_path)
        found.append(Mistake(f"{where}{place}", error.message[:200]))
        if len(found) == SHOWN:
            break
    return found


_ANNOTATIONS = frozenset({"default", "description"})


def _plainly_right(schema: Mapping[str, Any], value: Any) -> bool:
    """Say at a tenth of the validator's cost what is most often so; False only means: ask the validator."""
    kind = schema.get("type")
    if kind == "string" and type(value) is str:
        return all(
            key == "type"
            or key in _ANNOTATIONS
            or (key == "pattern" and _matcher(wanted)(value) is not None)
            or (key == "enum" and value in wanted)
            for key, wanted in schema.items()
        )
    if kind == "object" and type(value) is dict and schema.get("additionalProperties") is False:
        if not schema.keys() <= {"type", "required", "additionalProperties", "properties", *_ANNOTATIONS}:
            return False
        known = schema.get("properties", {})
        return all(name in value for name in schema.get("required", ())) and all(
            name in known and _plainly_right(known[name], each) for name, each in value.items()
        )
    return False


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one description made of parts; raises ValueError where two parts say different things."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, said in part.items():
            if isinstance(said, Mapping) and isinstance(whole.get(key, {}), Mapping):
                whole[key] = merged([whole.get(key, {}), said])
            elif key in whole and whole[key] != said:
                raise ValueError(f"{key} is described as {whole[key]!r} and as {said!r}")
            else:
                whole[key] = said
    return whole


class Contract:
    """The operations of a description by name."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)
        whole = _resolved(document, document)
        self.operations = {
            operation.name: operation
            for path, item in whole["paths"].items()
            for method in METHODS
            if method in item
            for operation in [_operation(path, method, item[method], item.get("parameters", []))]
        }


def _operation(path: str, method: str, said: Mapping[str, Any], shared: list[Any]) -> Operation:
    body = said.get("requestBody")
    return Operation(
        name=said["operationId"],
        method=method.upper(),
        path=path,
        parameters=tuple(_parameter(each) for each in [*shared, *said.get("parameters", [])]),
        body=_Validator(body["content"]["application/json"]["schema"]) if body else None,
        answers={
            status: {
                media: _Validator(content["schema"]) if "schema" in content else None
                for media, content in answer.get("content", {}).items()
            }
            for status, answer in said["responses"].items()
        },
    )


def _parameter(said: Mapping[str, Any]) -> Parameter:
    schema = said["schema"]
    return Parameter(
        name=said["name"],
        place=said["in"],
        required=said.get("required", False),
        default=schema.get("default"),
        read=_READERS.get(schema.get("type", "string"), str),
        validator=_Validator(schema),
    )


def _integer(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _number(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


_READERS: dict[str, Callable[[str], Any]] = {"integer": _integer, "number": _number, "string": str}


def _resolved(part: Any, document: Mapping[str, Any]) -> Any:
    """Return a part of the document with what it refers to in its place."""
    if isinstance(part, list):
        return [_resolved(each, document) for each in part]
    if not isinstance(part, Mapping):
        return part
    if "$ref" not in part:
        return {key: _resolved(value, document) for key, value in part.items()}
    found: Any = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return _resolved(found, document)
