# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML files that users write: their data, and beside it the line of every key for the words of errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    Source,
    key_text,
    word,
)

# More than any file of ours holds: what expands beyond (aliases of aliases) would fill the memory.
MAX_VALUES = 100_000
# The library reads by recursion: the interpreter's own limit would be met wherever it happens to stand.
MAX_DEPTH = 100


def read_source(path: Path, name: str | None = None) -> tuple[Any, Source]:
    """Return the data of a YAML file and where each key of it stands; raises InputError."""
    called = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError([f"{called}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise InputError([f"{called}: is not UTF-8 text"]) from error
    data, lines, repeated = _parsed(text, called)
    if repeated:
        raise InputError([f"{called}:{problem}" for problem in repeated])
    return data, Source(called, lines)


def _parsed(text: str, called: str) -> tuple[Any, dict[str, int], list[str]]:
    """Return the data, the line of every key, and what is said twice."""
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        data = None if root is None else loader.construct_document(root)
        return data, {"": 1} if root is None else _lines(root), loader.repeated
    except yaml.reader.ReaderError as error:
        line, problem = text.count("\n", 0, error.position) + 1, f"{error.reason}: {chr(error.character)!r}"
        raise InputError([f"{called}:{line}: is not valid YAML: {problem}"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise InputError([f"{called}:{line}: is not valid YAML: {error.problem or error.context}"]) from error
    except Exception as error:
        # The library lets through whatever a value's own constructor raises: a 31st of February, !!int x.
        said = " ".join(str(error).split()) or "no more is known"
        problem = f"holds a value that cannot be read: {type(error).__name__}: {said}"
        raise InputError([f"{called}:{loader.value_line if loader else 1}: {problem}"]) from error


class _Loader(yaml.SafeLoader):
    """The library's safe loader, which also notes every key that a mapping holds more than once.

    `value_line` is that of the value which is being made.
    """

    def __init__(self, text: str):
        super().__init__(text)
        self.repeated: list[str] = []
        self.value_line = 1
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what is nested too deep while it is read."""
        self._depth += 1
        if parent is not None and self._depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=parent.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Remember where the value stands, for what its constructor may raise."""
        self.value_line = node.start_mark.line + 1
        return super().construct_object(node, deep)

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


def _lines(root: yaml.Node) -> dict[str, int]:
    """Return the line of every key and list item, by its path in the words of errors."""
    lines: dict[str, int] = {}
    _walk(root, (), lines, set())
    return lines


def _walk(node: yaml.Node, path: tuple[Any, ...], lines: dict[str, int], above: set[int]) -> None:
    lines.setdefault(key_text(path), node.start_mark.line + 1)
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="a value holds itself", problem_mark=node.start_mark)
    if len(lines) > MAX_VALUES:
        raise yaml.MarkedYAMLError(problem=f"more than {MAX_VALUES} values, aliases counted")
    if isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(value, (*path, i), lines, above | {id(node)})
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                here = (*path, key.value)
                # a merged key stands first, and what overrides it comes after
                lines[key_text(here)] = key.start_mark.line + 1
                _walk(value, here, lines, above | {id(node)})
