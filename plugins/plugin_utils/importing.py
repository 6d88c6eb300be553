# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compile what a user names as a scenario: its file, an experiment of the Chaos Toolkit, or a saved plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit import is_experiment, translate
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import Surroundings
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan, plan_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.saved_plan import load_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario, load_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import (
    InputError,
    Source,
    parse_model,
)


@dataclass(frozen=True)
class Importing:
    """How an experiment is imported."""

    allow_unmapped: bool = False
    # Nodes that commands without ssh are meant for.
    nodes: Sequence[str] = ()


@dataclass(frozen=True)
class Compiled:
    """A plan and its text; of an experiment also the scenario that it became, and what of it is not there."""

    plan: dict[str, Any]
    text: str
    imported: str | None = None
    unmapped: Sequence[str] = ()


def compiled(path: Path, cluster: ClusterView, how: Importing) -> Compiled:
    """Return the plan of a scenario, an experiment or a saved plan; raises InputError, a line a mistake."""
    if path.suffix == ".json" and not _holds_experiment(path):
        return Compiled(*load_plan(path, cluster))
    data, source = read_source(path, path.name)
    if not is_experiment(data):
        return _compiled(path, load_scenario(path), cluster)
    for name in how.nodes:
        if name not in cluster.nodes:
            raise InputError([f"experiment_nodes: {not_allowed(name, cluster.nodes)}"])
    system = next(iter(sorted(cluster.workloads)), "")
    around = Surroundings(cluster.nodes, list(cluster.observers), list(how.nodes))
    try:
        done = translate(data, system, around)
    except InputError as error:
        raise source.refused(error.problems) from None
    if done.unmapped and not how.allow_unmapped:
        hint = "nothing was run; -e allow_unmapped=true leaves out what is named above"
        raise source.refused([*done.unmapped, hint])
    plain = json.loads(json.dumps(done.scenario))  # Ansible's own kinds of text are none of YAML's
    imported = "---\n" + yaml.safe_dump(plain, sort_keys=False, width=100, allow_unicode=True)
    scenario = parse_model(Scenario, plain, Source(path.name))
    found = _compiled(path, scenario, cluster)
    return Compiled(found.plan, found.text, imported, done.unmapped)


def _holds_experiment(path: Path) -> bool:
    """Whether a JSON file is an experiment; what cannot be read is left to who reads saved plans."""
    try:
        return is_experiment(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return False


def _compiled(path: Path, scenario: Scenario, cluster: ClusterView) -> Compiled:
    plan = compile_plan(path.stem, scenario, cluster)
    return Compiled(plan, plan_text(plan))
