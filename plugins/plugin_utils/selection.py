# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes a condition is about: by name, group, role, state of their system, or drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    many,
    name,
    not_allowed,
    percentage,
    schema_of,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes, word
from pydantic import PlainValidator, WithJsonSchema

NODE_WORDS = ("all", "leader", "followers")


@dataclass(frozen=True)
class Selection:
    """Nodes of a group or with a role, or of all; of these so many or a share, drawn from the seed."""

    group: str | None = None
    role: str | None = None
    random: int | None = None
    percentage: float | None = None


Nodes = str | list[str] | Selection | None


def parse_nodes(value: object) -> Nodes:
    """Return whom a user means; raises ValueError."""
    if value is None or (isinstance(value, str) and value in NODE_WORDS):
        return value
    if isinstance(value, (str, list)):
        found: list[str] = many(name)(value)
        return found
    if isinstance(value, Mapping):
        return _selection(value)
    raise ValueError(
        f"given {shown(value)}; allowed: {', '.join(NODE_WORDS)}, a list of names, or a mapping of "
        f"{', '.join(_PARSERS)}"
    )


def _selection(value: Mapping[Any, Any]) -> Selection:
    problems = [
        f"{word(key)}: unknown key; {not_allowed(key, _PARSERS)}" for key in value if key not in _PARSERS
    ]
    found = {}
    for key in (key for key in value if key in _PARSERS):
        try:
            found[key] = _PARSERS[key](value[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if not value:
        problems.append(f"given {{}}; allowed: {', '.join(_PARSERS)}")
    for pair in (("group", "role"), ("random", "percentage")):
        if set(pair) <= set(value):
            problems.append(f"given {shown(value)}; allowed: one of {', '.join(pair)}")
    if problems:
        raise Mistakes(problems)
    return Selection(**found)


def _how_many(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"given {shown(value)}; allowed: a whole number from 1")
    return value


_PARSERS = {"group": name, "role": name, "random": _how_many, "percentage": percentage}

NODES_SCHEMA = {
    "description": "Nodes it is done to: a word, names, or some of a group or role, drawn from the seed.",
    "anyOf": [
        {"enum": list(NODE_WORDS)},
        schema_of(many(name)),
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 2,
            "additionalProperties": False,
            "properties": {
                "group": {**schema_of(name), "description": "Nodes of a group of the inventory."},
                "role": {**schema_of(name), "description": "Nodes that run a system."},
                "random": {"type": "integer", "minimum": 1, "description": "So many of them."},
                "percentage": {**schema_of(percentage), "description": "A share of them."},
            },
        },
    ],
}
NodesField = Annotated[
    str | list[str] | Selection | None, PlainValidator(parse_nodes), WithJsonSchema(NODES_SCHEMA)
]


def choose(nodes: Nodes, cluster: ClusterView, draw: random.Random) -> list[str]:
    """Return the nodes that are meant, in the inventory's order; raises ValueError."""
    everyone = list(cluster.nodes)
    if isinstance(nodes, list):
        wrong = [f"nodes: {not_allowed(node, everyone)}" for node in nodes if node not in cluster.nodes]
        if wrong:
            raise Mistakes(wrong)
        return [node for node in everyone if node in nodes]
    if not isinstance(nodes, Selection):
        return everyone
    pool = _pool(nodes, cluster)
    if nodes.random is None and nodes.percentage is None:
        return pool
    wanted = nodes.random or max(1, round(len(pool) * (nodes.percentage or 0) / 100))
    if wanted > len(pool):
        raise ValueError(f"nodes.random: given {wanted}; allowed: at most {len(pool)} nodes")
    drawn = draw.sample(pool, wanted)
    return [node for node in pool if node in drawn]


def _pool(nodes: Selection, cluster: ClusterView) -> list[str]:
    """Return the nodes out of which is drawn."""
    everyone, members = list(cluster.nodes), None
    if nodes.group is not None:
        if nodes.group not in cluster.groups:
            raise ValueError(f"nodes.group: {not_allowed(nodes.group, cluster.groups)}")
        members = cluster.groups[nodes.group]
    if nodes.role is not None:
        roles = sorted({role for found in cluster.systems.values() for role in found})
        if nodes.role not in roles:
            raise ValueError(f"nodes.role: {not_allowed(nodes.role, roles)}")
        members = [name for name, found in cluster.systems.items() if nodes.role in found]
    pool = everyone if members is None else [name for name in everyone if name in members]
    if not pool:
        raise ValueError("nodes: given nodes that are all down by then; allowed: at least one that is up")
    return pool
