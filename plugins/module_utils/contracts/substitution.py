# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables in the text of a contract, values in an answer, changes of an input; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
Values = Mapping[str, Any]


def variables(template: Any) -> set[str]:
    """Return the names of all variables in a template: a text, or lists and mappings of them."""
    return {name for text in _texts(template) for name in _VARIABLE.findall(text)}


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(template, list):
        for value in template:
            yield from _texts(value)


def filled(template: Any, values: Values) -> Any:
    """Return a template with values in the place of its variables; raises KeyError for an unknown one.

    A text that is one variable and nothing else becomes the value itself, a number too.
    """
    if isinstance(template, str):
        whole = _VARIABLE.fullmatch(template)
        if whole:
            return values[whole[1]]
        return _VARIABLE.sub(lambda found: _text(values[found[1]]), template)
    if isinstance(template, Mapping):
        return {filled(key, values): filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    return template


def filled_path(template: str, values: Values) -> str:
    """Return a path with values in it, each quoted so that it stays one segment."""
    return _VARIABLE.sub(lambda found: quote(_text(values[found[1]]), safe=":@"), template)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def value_at(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) points to; raises LookupError where there is nothing."""
    for part in pointer.split("/")[1:]:
        key = _key(part)
        if isinstance(document, Mapping):
            document = document[key]
        elif isinstance(document, list) and re.fullmatch("0|[1-9][0-9]*", key):
            document = document[int(key)]
        else:
            raise LookupError(pointer)
    return document


def _key(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def without(document: Any, pointers: Iterable[str]) -> Any:
    """Return a copy of a document without the members that some JSON pointers point to."""
    copied = json.loads(json.dumps(document))
    for pointer in pointers:
        parent, _, last = pointer.rpartition("/")
        try:
            holder = value_at(copied, parent)
        except LookupError:
            continue
        if isinstance(holder, dict):
            holder.pop(_key(last), None)
    return copied


def patched(document: Any, patch: Any) -> Any:
    """Return a document changed by a JSON merge patch (RFC 7386): null removes a member."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result
