# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When each repetition of each condition begins and ends: offsets, sequences, repetitions and their jitter.

Pure. Times are seconds from the start instant. What `after` names is taken to end when its last repetition
ends at the latest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.conditions import Condition
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import as_duration

Span = tuple[float, float]
# By how much each repetition of a condition of this name begins later.
Shifts = Callable[[str, Condition], list[float]]


def own_id(place: int, condition: Condition) -> str:
    """Return the name of a condition: its own, or by its kind and its place in the file."""
    return condition.id or f"{condition.type}-{place + 1}"


def spans(conditions: Sequence[Condition], seed: int) -> list[list[Span]]:
    """Return begin and latest end of each repetition of each condition, its jitter drawn from the seed."""
    return _resolved(conditions, lambda name, condition: _drawn(name, condition, seed))


def _drawn(name: str, condition: Condition, seed: int) -> list[float]:
    jitter = condition.every.jitter if condition.every else 0.0
    draw = random.Random(sub_seed(seed, f"jitter/{name}"))
    if _whole_seconds(condition):
        return [float(draw.randint(-int(jitter), int(jitter))) for _ in range(condition.count or 1)]
    return [round(draw.uniform(-jitter, jitter), 3) for _ in range(condition.count or 1)]


def _latest(_name: str, condition: Condition) -> list[float]:
    return [condition.every.jitter if condition.every else 0.0] * (condition.count or 1)


def _whole_seconds(condition: Condition) -> bool:
    return condition.kind.whole_seconds and condition.when is None


def _resolved(conditions: Sequence[Condition], shifts: Shifts) -> list[list[Span]]:
    """Return the spans of sound conditions: whatever `after` names is there, and nothing goes in circles."""
    place = _places(conditions)
    found: dict[int, list[Span]] = {}
    for i in range(len(conditions)):
        chain = [i]
        while chain[-1] not in found and (follows := conditions[chain[-1]].after) is not None:
            chain.append(place[follows])
        for j in reversed(chain):
            after = conditions[j].after
            begin_s = 0.0 if after is None else max(end_s for _start_s, end_s in found[place[after]])
            found.setdefault(j, _spans(own_id(j, conditions[j]), conditions[j], begin_s, shifts))
    return [found[i] for i in range(len(conditions))]


def _spans(name: str, condition: Condition, begin_s: float, shifts: Shifts) -> list[Span]:
    first_s = begin_s + condition.at_s
    if _whole_seconds(condition):
        first_s = float(math.ceil(round(first_s, 6)))
    interval_s = condition.every.interval if condition.every else 0.0
    last_s = math.inf if condition.end is None else condition.end
    starts = [
        max(0.0, first_s + repeat * interval_s + shift_s)
        for repeat, shift_s in enumerate(shifts(name, condition))
    ]
    lasts_s = (condition.within or 0.0) + condition.for_
    return [(start_s, min(start_s + lasts_s, last_s)) for start_s in starts]


def _places(conditions: Sequence[Condition]) -> dict[str, int]:
    """Return the place of every condition by its name; of two of one name, the first."""
    names = [own_id(i, condition) for i, condition in enumerate(conditions)]
    return {name: names.index(name) for name in names}


def schedule_problems(conditions: Sequence[Condition], duration_s: float) -> list[str]:
    """Say what is wrong with the times of conditions in a scenario that lasts so long."""
    problems = list(_sequence_problems(conditions))
    for i, condition in enumerate(conditions):
        problems += [f"conditions[{i}].{problem}" for problem in _fractions(condition)]
    if problems:
        return problems
    for i, found in enumerate(_resolved(conditions, _latest)):
        problems += [f"conditions[{i}]{problem}" for problem in _beyond(conditions[i], found, duration_s)]
    return problems


def _sequence_problems(conditions: Sequence[Condition]) -> Iterator[str]:
    """Say where `after` names nothing, or comes back to where it began."""
    place = _places(conditions)
    for i, condition in enumerate(conditions):
        way = [own_id(i, condition)]
        follows = condition.after
        if follows is not None and follows not in place:
            others = [name for name in place if name != way[0]]
            yield f"conditions[{i}].after: {not_allowed(follows, others)}"
        while follows in place and follows not in way:
            way.append(follows)
            follows = conditions[place[follows]].after
        if follows == way[0]:
            circle = " after ".join([*way, follows])
            yield f"conditions[{i}].after: given {condition.after!r}, {circle}; allowed: no circle"


def _fractions(condition: Condition) -> Iterator[str]:
    """Say which times are not whole seconds where the kind needs them."""
    if not _whole_seconds(condition):
        return
    every = condition.every
    times = {
        "at": condition.at, "for": condition.for_, "end": condition.end,
        "every": every.interval if every else None, "every.jitter": every.jitter if every else None,
    }  # fmt: skip
    for key, value in times.items():
        if value is not None and value != int(value):
            yield f"{key}: given {as_duration(value)}; allowed: whole seconds (as the kernel compares)"


def _beyond(condition: Condition, found: Sequence[Span], duration_s: float) -> Iterator[str]:
    """Say what begins or ends too late, with all the jitter that there may be."""
    limit = "the duration" if condition.end is None else "end"
    limit_s = duration_s if condition.end is None else condition.end
    key = "at" if condition.after is None else "after"
    first_s, last_s = found[0][0], found[-1][0]
    latest_s = max(end_s for _start_s, end_s in found)
    if first_s >= limit_s:
        yield f".{key}: given {_begin(condition, first_s)}; allowed: before {limit}, {as_duration(limit_s)}"
    elif last_s >= limit_s:
        allowed = f"allowed: before {limit}, {as_duration(limit_s)}"
        yield f".every: given a begin at {as_duration(last_s)}; {allowed}"
    elif latest_s > duration_s:
        allowed = f"allowed: at most the duration, {as_duration(duration_s)}"
        yield f": given an end at {as_duration(latest_s)}; {allowed}"


def _begin(condition: Condition, first_s: float) -> str:
    said = as_duration(first_s)
    return said if condition.after is None else f"{condition.after!r}, a begin at {said}"
