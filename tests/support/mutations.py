# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mistakes that people, editors and merges make in a YAML file: one or a few, anywhere in it."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[Any, ...]

JUNK = st.sampled_from([
    None, True, False, [], {}, "", " ", "x", "n1", "nü", "a\nb", "\x00", 0, -1, 1, 7, 10**30, 10**5000, 1.5,
    -0.5, float("nan"), float("inf"), 1e308, "15s", "0s", "0.0001K", "1e9s", "9" * 400 + "h", "٣s", "512M",
    "٣M", [None], [1], ["n1", "n1"], {"a": 1}, {1: 2}, {None: None}, {1: 1, "a": 1}, {"set"},
    [[[[]]]], b"bytes",
    datetime.date(2020, 1, 1), "10.0.0.0/33", "::/0", "0.0.0.0/0", "etcd", "each", "any", "observer1",
]) | st.text(max_size=8) | st.integers() | st.floats()  # fmt: skip


def paths(data: Any, here: Path = ()) -> Iterator[Path]:
    """Every place in a tree of mappings and lists, the root among them."""
    yield here
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from paths(value, (*here, key))


def at(data: Any, path: Path) -> Any:
    """What is at a place."""
    for key in path:
        data = data[key]
    return data


@st.composite
def mutated(draw: st.DrawFn, original: Any) -> Any:
    """Return the data with one to three mistakes."""
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(data))))
        target, value = at(data, path), copy.deepcopy(draw(JUNK))
        kinds = ["replace"] + ["delete"] * bool(path) + ["add"] * isinstance(target, (dict, list))
        kind = draw(st.sampled_from(kinds))
        if kind == "add" and isinstance(target, dict):
            target[draw(st.sampled_from([1, None, True, "a\nb", "nmae"]) | st.text(max_size=8))] = value
        elif kind == "add":
            target.append(copy.deepcopy(draw(st.sampled_from([value, *target]))))
        elif not path:
            data = value
        elif kind == "delete":
            del at(data, path[:-1])[path[-1]]
        else:
            at(data, path[:-1])[path[-1]] = value
    return data
