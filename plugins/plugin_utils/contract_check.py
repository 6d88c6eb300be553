# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which services a node's contracts ask, and what is said of the results; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError

Results = Mapping[str, list[Mapping[str, Any]]]


def places(node: str, services: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return for each system the addresses of `here` and of `another`, from those of its nodes in order.

    Another is the next node, and so the node itself where it is alone.
    """
    found = {}
    for system, addresses in services.items():
        nodes = list(addresses)
        here = nodes.index(node) if node in addresses else 0
        another = nodes[(here + 1) % len(nodes)]
        found[system] = {"here": addresses[nodes[here]], "another": addresses[another]}
    return found


def chosen(names: Iterable[str], only: list[str]) -> list[str]:
    """Return the contracts to check; raises InputError with the names there are."""
    known = list(names)
    problems = [f"only: {not_allowed(name, known)}" for name in only if name not in known]
    if problems:
        raise InputError(problems)
    return only or known


def kept(results: Results) -> dict[str, int]:
    """Return how many clauses of each contract are kept."""
    return {name: sum(not one["mismatches"] for one in found) for name, found in results.items()}


def broken(results: Results) -> list[str]:
    """Return every broken clause in words."""
    return [line for name, found in results.items() for one in found for line in _broken(name, one)]


def _broken(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    for wrong in result["mismatches"]:
        place = f" at {wrong['at']}" if wrong["at"] else ""
        yield (
            f"{name}: {result['case']}: {result['operation']}, {result['outcome']}: "
            f"{result['clause']}{place}: expected {wrong['expected']}; given {wrong['given']}"
        )
