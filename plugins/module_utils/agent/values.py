# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values as users write them: durations, sizes, percentages, choices; what a kind of fault may be told.

Every parser returns the value in its own unit, or raises ValueError saying what was given and allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar

_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_SIZE_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_RATE_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
DURATION_PATTERN = r"\s*[0-9]+(\.[0-9]+)?\s*(ms|s|min|h)\s*"
_NUMBER_TEXT = r"^\s*[+-]?[0-9._]+([eE][+-]?[0-9]+)?\s*$"
# No run lasts a year and no machine has an exbibyte: what is beyond is a slip, and would overflow later on.
MAX_DURATION_S = 365 * 24 * 3600.0
MAX_SIZE = float(2**60)
# The longest a fault may last: the lease that a node gives on its own health.
MAX_LEASE_S = 6 * 3600.0

Parser = Callable[[Any], Any]
Schema = dict[str, Any]
Described = TypeVar("Described", bound=Parser)


def described(schema: Schema) -> Callable[[Described], Described]:
    """Return a decorator that notes, as JSON Schema, what a parser allows; editors go by it."""

    def note(parse: Described) -> Described:
        parse.__dict__["schema"] = schema
        return parse

    return note


def schema_of(parse: Parser) -> Schema:
    """Return what a parser allows as JSON Schema; anything, where it does not say."""
    return dict(getattr(parse, "schema", {}))


def _like(*suffixes: str) -> Schema:
    """Return the schema of a text that is a positive number and one of these units."""
    return {"type": "string", "pattern": rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(suffixes)})\s*$"}


@dataclass(frozen=True)
class Parameter:
    """One thing that a user may say of a kind of fault; `default` is a parsed value, None for none."""

    parse: Parser
    about: str
    default: Any = None
    required: bool = False


def shown(value: object) -> str:
    """Return a value as the user may recognise it, on one line and not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list of thousands of lists
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else text[:77] + "..."


def closest(word: object, allowed: Iterable[str]) -> str:
    """Return ' (did you mean X?)' for the nearest allowed word, else nothing."""
    near = difflib.get_close_matches(shown(word).strip("'"), list(allowed), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def not_allowed(given: object, allowed: Iterable[str]) -> str:
    """Say what was given and what is allowed, for a choice out of words."""
    words = sorted(allowed)
    return f"given {shown(given)}; allowed: {', '.join(words) or 'nothing'}{closest(given, words)}"


@described({"type": "string", "pattern": f"^{DURATION_PATTERN}$", "examples": ["500ms", "15s", "2 min"]})
def parse_duration(text: object) -> float:
    """Seconds of a text such as '500ms', '15s', '2 min'."""
    allowed = "a positive number with a unit, such as 15s (units: ms, s, min, h), at most a year"
    return _quantity(text, _DURATION_UNITS_S, MAX_DURATION_S, allowed)


def parse_offset(text: object) -> float:
    """Seconds of a duration with a sign, such as '-30s', '+250ms', '2min'; never 0."""
    sign, rest = 1.0, text
    if isinstance(text, str) and text.strip()[:1] in ("+", "-"):
        sign, rest = (-1.0 if text.strip()[0] == "-" else 1.0), text.strip()[1:]
    try:
        return sign * parse_duration(rest)
    except ValueError:
        raise ValueError(
            f"given {shown(text)}; allowed: a number with a unit, such as -30s or +250ms "
            "(units: ms, s, min, h), at most a year"
        ) from None


def parse_speed(value: object) -> float:
    """Return how fast a clock runs, 1 for right, of a factor such as 1.05 or of parts such as '-200ppm'."""
    number, factor = value, 1.0
    if isinstance(value, str) and value.strip().endswith("ppm"):
        number, factor = value.strip()[:-3], 1e-6
    found = _number(number)
    speed = None if found is None else found if factor == 1.0 else 1.0 + found * factor
    if speed is None or not 0.5 <= speed <= 2 or speed == 1:
        raise ValueError(
            f"given {shown(value)}; allowed: a factor from 0.5 to 2 such as 1.05, or such as -200ppm; not 1"
        )
    return speed


@described({"type": "string", "pattern": f"^{DURATION_PATTERN}$"})
def parse_lease(text: object) -> float:
    """Seconds of a duration that a fault may last."""
    seconds = parse_duration(text)
    if seconds > MAX_LEASE_S:
        raise ValueError(f"given {shown(text)}; allowed: at most {MAX_LEASE_S / 3600:g}h, the longest lease")
    return seconds


@described({**_like(*_SIZE_UNITS), "examples": ["512M"]})
def parse_size(text: object) -> int:
    """Bytes of a text such as '512M' or '2G'."""
    allowed = "a positive number with a unit, such as 512M (units: K, M, G), at most 2^60 bytes"
    return int(_quantity(text, _SIZE_UNITS, MAX_SIZE, allowed))


def parse_bytes(value: object) -> int:
    """Bytes of a whole number, 0 included, or of a text such as '4K'."""
    try:
        return int(whole(0, int(MAX_SIZE))(value))
    except ValueError:
        pass
    try:
        return parse_size(value)
    except ValueError:
        raise ValueError(
            f"given {shown(value)}; allowed: bytes as a whole number, or with a unit (K, M, G) such as 4K"
        ) from None


@described({**_like(*_RATE_UNITS), "examples": ["10mbit"]})
def parse_rate(text: object) -> float:
    """Bits per second of a text such as '512kbit' or '10mbit'."""
    allowed = "a positive number with a unit, such as 10mbit (units: kbit, mbit, gbit)"
    return _quantity(text, _RATE_UNITS, 1e12, allowed)


def _quantity(text: object, units: Mapping[str, float], most: float, allowed: str) -> float:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    value = float(match[1]) * units.get(match[2], 0) if match else 0
    if not 0 < value <= most:
        raise ValueError(f"given {shown(text)}; allowed: {allowed}")
    return value


def _number(value: object) -> Optional[float]:
    """Return a finite number, also from the text of one (`-a 'loss=20'` hands on texts); else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


def number(low: float, high: float) -> Parser:
    """Return a parser of numbers from `low` to `high`."""

    @described({"type": ["number", "string"], "minimum": low, "maximum": high, "pattern": _NUMBER_TEXT})
    def parse(value: object) -> float:
        found = _number(value)
        if found is None or not low <= found <= high:
            raise ValueError(f"given {shown(value)}; allowed: a number from {low:g} to {high:g}")
        return found

    return parse


def whole(low: int, high: int) -> Parser:
    """Return a parser of whole numbers from `low` to `high`."""

    @described({
        "type": ["number", "string"], "multipleOf": 1, "minimum": low, "maximum": high,
        "pattern": _NUMBER_TEXT,
    })  # fmt: skip
    def parse(value: object) -> int:
        found = _number(value)
        if found is None or found != int(found) or not low <= found <= high:
            raise ValueError(f"given {shown(value)}; allowed: a whole number from {low} to {high}")
        return int(found)

    return parse


@described({"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": 100, "pattern": _NUMBER_TEXT})
def percentage(value: object) -> float:
    """Return a share above 0, up to 100."""
    found = _number(value)
    if found is None or not 0 < found <= 100:
        raise ValueError(f"given {shown(value)}; allowed: a percentage above 0, up to 100")
    return found


def choice(*words: str) -> Parser:
    """Return a parser that allows these words."""

    @described({"enum": list(words)})
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(not_allowed(value, words))
        return value

    return parse


def text(pattern: str, allowed: str) -> Parser:
    """Return a parser of texts that match a pattern as a whole; `allowed` says it in words."""

    @described({"type": "string", "pattern": f"^({pattern})$", "description": allowed})
    def parse(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"given {shown(value)}; allowed: {allowed}")
        return value

    return parse


@described({"type": ["boolean", "string"]})
def flag(value: object) -> bool:
    """Return true or false, also from the words."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError(f"given {shown(value)}; allowed: true or false")
    return found


def many(one: Parser) -> Parser:
    """Return a parser of lists, none empty and nothing twice; a text is split at its commas."""

    @described({"anyOf": [
        {"type": "array", "items": schema_of(one), "minItems": 1, "uniqueItems": True}, {"type": "string"},
    ]})  # fmt: skip
    def parse(value: object) -> list[Any]:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(parts, list) or not parts:
            raise ValueError(f"given {shown(value)}; allowed: a list of at least one")
        found = [one(part) for part in parts]
        for part in found:
            if found.count(part) > 1:
                raise ValueError(f"given {shown(part)} {found.count(part)} times; allowed: each once")
        return found

    return parse


name = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "a name of letters, digits, dots, hyphens")
names = many(name)


def read_parameters(
    parameters: Mapping[str, Parameter], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the parsed parameters that have a value, and one line `key: what is wrong` for each mistake."""
    found, problems = {}, []
    for key in given:
        if key not in parameters:
            problems.append(f"{key}: unknown key; {not_allowed(key, parameters)}")
    for key, parameter in parameters.items():
        if given.get(key) is None:
            if parameter.required:
                problems.append(f"{key}: is required but missing")
            elif parameter.default is not None:
                found[key] = parameter.default
            continue
        try:
            found[key] = parameter.parse(given[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    return found, problems
