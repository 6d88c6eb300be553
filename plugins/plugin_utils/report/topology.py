# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw the topology of a run: nodes on a circle (a hub in its middle), links, and the latency of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number

Entry = Mapping[str, Any]
Place = tuple[float, float]

RADIUS, NODE, LETTER, GAP = 150.0, 17.0, 7.4, 10.0
# Nodes need so much of the circle each, around a hub more; more links than this are told by the table alone.
_ARC, _ARC_OF_STAR, MOST_LABELS = 52.0, 74.0, 60
# A name that has more letters than this stands beside its node.
_INSIDE = 4
# Where on a link its latency may stand: on the middle first; both ways have a place each, near who sends.
_ONE, _THERE, _BACK = (0.5, 0.42, 0.58, 0.34, 0.66), (0.36, 0.46, 0.28), (0.72, 0.62, 0.78)
_BESIDE = 20.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A node: its place, and where its name stands."""

    x: float
    y: float
    name: str
    text_x: float
    text_y: float
    anchor: str
    hub: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A link, and what to say about it."""

    x1: float
    y1: float
    x2: float
    y2: float
    title: str


@dataclass(frozen=True, slots=True)
class Label:
    """A latency: its place and its text, in milliseconds."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The picture in its own units, a sentence about it, and its links as rows: ends, there, back."""

    width: float
    height: float
    dots: list[Dot]
    lines: list[Line]
    labels: list[Label]
    said: str
    rows: list[tuple[str, str, float, float]]


def drawing(plan: Entry) -> Drawing | None:
    """Return the picture, or None where the plan says nothing of a topology."""
    topology = plan.get("topology") or {}
    names = [str(host.get("name")) for host in plan.get("nodes") or []]
    if not topology.get("kind") or len(names) < 2:
        return None
    rows = list(_rows(topology, names))
    hub = topology.get("hub")
    places = _places(names, hub)
    longest = max(map(len, names))
    side, above = NODE + GAP + (longest * LETTER if longest > _INSIDE else 0.0), NODE + GAP + 12.0
    left, top = min(x for x, _ in places.values()) - side, min(y for _, y in places.values()) - above
    width = max(x for x, _ in places.values()) + side - left
    height = max(y for _, y in places.values()) + above - top
    at = {name: (round(x - left, 1), round(y - top, 1)) for name, (x, y) in places.items()}
    centre = (-left, -top)
    return Drawing(
        width=width, height=height, dots=[_dot(name, at[name], centre, name == hub) for name in names],
        lines=[Line(*at[row[0]], *at[row[1]], _title(*row)) for row in rows],
        labels=list(_labels(rows, at, centre)), said=_said(topology, names, rows), rows=rows,
    )  # fmt: skip


def _rows(topology: Entry, names: Sequence[str]) -> Iterator[tuple[str, str, float, float]]:
    for link in topology.get("links") or []:
        one, other = map(str, link.get("between") or ("", ""))
        if one in names and other in names:
            yield one, other, number(link.get("latency_ms"), 0.0), number(link.get("back_ms"), 0.0)
    if not topology.get("links"):  # a full mesh without latency lists none
        yield from ((one, other, 0.0, 0.0) for one, other in combinations(names, 2))


def _places(names: Sequence[str], hub: str | None) -> dict[str, Place]:
    """Return places around 0, 0: clockwise from the top."""
    rim = [name for name in names if name != hub]
    radius = max(RADIUS, len(rim) * (_ARC_OF_STAR if hub else _ARC) / (2 * math.pi))
    places = dict.fromkeys(names, (0.0, 0.0))
    for at, name in enumerate(rim):
        angle = 2 * math.pi * at / len(rim)
        places[name] = (radius * math.sin(angle), -radius * math.cos(angle))
    return places


def _dot(name: str, place: Place, centre: Place, hub: bool) -> Dot:
    x, y = place
    if len(name) <= _INSIDE:
        return Dot(x, y, name, x, y + 4.5, "middle", hub)
    side = 0 if abs(x - centre[0]) < 1.0 else math.copysign(1.0, x - centre[0])
    if side:
        return Dot(x, y, name, x + side * (NODE + 5.0), y + 4.5, "start" if side > 0 else "end", hub)
    down = 1.0 if y > centre[1] or hub else -1.0
    return Dot(x, y, name, x, y + down * (NODE + 11.0) + 4.0, "middle", hub)


def _labels(
    rows: Sequence[tuple[str, str, float, float]], at: Mapping[str, Place], centre: Place
) -> Iterator[Label]:
    """Put every latency where it is farthest from nodes and from other latencies."""
    if len(rows) > MOST_LABELS:
        return
    taken = list(at.values())
    for one, other, there, back in rows:
        for held, shares in ((there, _ONE),) if there == back else ((there, _THERE), (back, _BACK)):
            if there or back:
                found = max(
                    (_beside(at[one], at[other], share, centre) for share in shares),
                    key=lambda place: min(min(math.dist(place, each) for each in taken), 34.0),
                )
                taken.append(found)
                yield Label(round(found[0], 1), round(found[1] + 4.0, 1), f"{held:.3g}")


def _beside(one: Place, other: Place, share: float, centre: Place) -> Place:
    """Return a point of a link; of a short one beside it, towards the middle of the picture."""
    x, y = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    away = math.dist((x, y), centre)
    if math.dist(one, other) > 4.5 * NODE or away < 1.0:
        return x, y
    return x + (centre[0] - x) / away * _BESIDE, y + (centre[1] - y) / away * _BESIDE


def _title(one: str, other: str, there: float, back: float) -> str:
    if there == back:
        return f"{one} and {other}" + (f": {there:g} ms each way" if there else "")
    return f"{one} → {other}: {there:g} ms; {other} → {one}: {back:g} ms"


def _said(topology: Entry, names: Sequence[str], rows: Sequence[tuple[str, str, float, float]]) -> str:
    hub = topology.get("hub")
    what = {"custom": "A topology of its own", "mesh": "A full mesh"}.get(
        topology["kind"], f"A {topology['kind']}"
    )
    what += f" around {hub}" if hub else ""
    parts = [f"{what} of {len(names)} nodes, {len(rows)} link{'s' * (len(rows) != 1)}"]
    held = [held for _, _, there, back in rows for held in (there, back)]
    if not any(held):
        return f"{parts[0]} without latency of its own."
    parts.append(f"each link holds a packet for {min(held):.3g} to {max(held):.3g} ms")
    if len(rows) > MOST_LABELS:
        return ", ".join(parts) + "; the table says how long."
    two = any(there != back for _, _, there, back in rows)
    return ", ".join(parts) + (
        "; numbers are milliseconds" + (", near the node that sends." if two else " each way.")
    )
