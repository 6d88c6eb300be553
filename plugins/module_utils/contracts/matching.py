# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a value is as a JSON Schema says; pure.

A node has no library for schemas, so this knows the part of them that contracts use, and contracts are held
to this part. It says of every value what the library jsonschema says; the tests compare the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

KEYWORDS = frozenset(
    {
        "additionalProperties", "const", "contains", "description", "enum", "items", "maxItems", "maxLength",
        "maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required", "type",
    }
)  # fmt: skip
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
Schema = Mapping[str, Any]
_PYTHON: dict[str, tuple[type, ...]] = {
    "array": (list,), "null": (type(None),), "number": (int, float), "object": (dict,), "string": (str,),
}  # fmt: skip


class Mismatch(NamedTuple):
    """One thing that is not as it should be: where (a JSON pointer), what is expected, what is given."""

    at: str
    expected: str
    given: str


def mismatches(schema: Schema, value: Any, at: str = "") -> list[Mismatch]:
    """Return everything in a value that a schema does not allow."""
    return list(_mismatches(schema, value, at))


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 is 1.0, and true is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def is_a(kind: str, value: Any) -> bool:
    """Whether a value is of one of JSON Schema's types."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _PYTHON.get(kind, ()))


def said(value: Any) -> str:
    """Return a value as JSON, on one line and not too long."""
    text = json.dumps(value, ensure_ascii=True, sort_keys=True)
    return text if len(text) <= 200 else f"{text[:197]}..."


def pointed(at: str, key: object) -> str:
    """Return the JSON pointer (RFC 6901) of what is inside."""
    return at + "/" + str(key).replace("~", "~0").replace("/", "~1")


def _mismatches(schema: Schema, value: Any, at: str) -> Iterator[Mismatch]:
    for expected in _wrong(schema, value):
        yield Mismatch(at, expected, said(value))
    if isinstance(value, Mapping):
        yield from _members(schema, value, at)
    if isinstance(value, list):
        yield from _entries(schema, value, at)


def _wrong(schema: Schema, value: Any) -> Iterator[str]:
    """What is expected, and not so, of the value as a whole."""
    kinds = schema.get("type", TYPES)
    if not any(is_a(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"a value of type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    if "const" in schema and not same(value, schema["const"]):
        yield said(schema["const"])
    if "enum" in schema and not any(same(value, each) for each in schema["enum"]):
        yield f"one of {said(schema['enum'])}"
    if is_a("number", value):
        yield from _beyond(schema, value, "minimum", "maximum", "")
    if isinstance(value, str):
        yield from _beyond(schema, len(value), "minLength", "maxLength", " characters")
        if "pattern" in schema and not _found(schema["pattern"], value):
            yield f"a text with the pattern {schema['pattern']}"
    if isinstance(value, list):
        yield from _beyond(schema, len(value), "minItems", "maxItems", " items")


def _beyond(schema: Schema, size: float, least: str, most: str, unit: str) -> Iterator[str]:
    if least in schema and size < schema[least]:
        yield f"at least {schema[least]}{unit}"
    if most in schema and size > schema[most]:
        yield f"at most {schema[most]}{unit}"


def _found(pattern: str, text: str) -> bool:
    """Search as ECMA 262 does: $ is the very end, not the place before a last newline."""
    return re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), text) is not None


def _members(schema: Schema, value: Mapping[str, Any], at: str) -> Iterator[Mismatch]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Mismatch(pointed(at, name), "is there", "nothing")
    known = schema.get("properties", {})
    for name, inner in known.items():
        if name in value:
            yield from _mismatches(inner, value[name], pointed(at, name))
    others = schema.get("additionalProperties", True)
    for name in value.keys() - known.keys():
        if others is False:
            yield Mismatch(pointed(at, name), "is not there", said(value[name]))
        elif isinstance(others, Mapping):
            yield from _mismatches(others, value[name], pointed(at, name))


def _entries(schema: Schema, value: list[Any], at: str) -> Iterator[Mismatch]:
    if "items" in schema:
        for number, each in enumerate(value):
            yield from _mismatches(schema["items"], each, pointed(at, number))
    if "contains" in schema and all(mismatches(schema["contains"], each) for each in value):
        yield Mismatch(at, f"an item like {said(schema['contains'])}", said(value))
