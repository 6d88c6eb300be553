# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A thousand mutated scenario files: each gives a plan, or errors with their line; never a traceback."""

from __future__ import annotations

import json
import random
import re

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan, plan_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.saved_plan import load_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR, load_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import timeline
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from ansible_collections.foundation.testbed.tests.support.clusters import with_every_system

MUTANTS = 1000
EVERYTHING = """\
name: everything that can be said
system: etcd
seed: 7
duration: 90s
workload:
  rate: 50
  mix: {read: 1, write: 1, cas: 0}
  clients:
    - {to: any, weight: 2, options: {serializable_reads: true}}
conditions:
  - {type: partition, id: split, at: 5s, for: 10s, shape: majority}
  - type: link
    id: slow
    after: split
    at: 500ms
    for: 3s
    every: {interval: 8s, jitter: 2s}
    count: 3
    end: 60s
    delay: 50ms
    jitter: 5ms
    nodes: {group: etcd, random: 2}
  - {type: process, after: slow, for: 5s, nodes: leader, action: kill}
  - {type: pressure, at: 30s, within: 5s, for: 5s, resource: cpu, nodes: {role: etcd, percentage: 40},
     when: {state: lag, above: 3}, until: {state: leader, is: true}}
  - node_failure: {type: random, interval: 30000, count: 1}
  - network_latency: {min: 100, max: 1000, affected_percentage: 30}
steady_state:
  - {state: healthy, is: true}
  - {promql: "up == 1", at_least: 1}
recovery_wait: 20s
abort_conditions:
  - error_rate: {above: 0.9, for: 5s}
success_criteria:
  error_rate: 0.5
  recovery_time: 15s
  cpu: {promql: "max(cpu)", below: 0.9, unit: ratio}
"""
ORIGINALS = [EVERYTHING, *(path.read_text(encoding="utf-8") for path in sorted(SCENARIOS_DIR.glob("*.yml")))]
ODD = (
    ".nan", ".inf", "-1", "0", "9" * 400, "1e400", "[]", "{}", "[[]]", "null", "~", "true", "2020-02-30",
    "2020-01-01", "é", '"\\n"', '"\\0"', "''", "*x", "&a [*a]", "!!int x", "!!set {a}", "? x", "<<", "-", ":",
    "@", "n9", "0s", "99h", "'9999999999999h'", "0x1F", "{a: 1, a: 2}", "[1, 2", "\t", "all", "leader",
    "{random: 9}", "{group: x}", "\u2028",
)  # fmt: skip
CLUSTER = with_every_system()


def mutant(draw: random.Random) -> str:
    """Return a scenario with one to three mistakes, as people and editors make them."""
    text = draw.choice(ORIGINALS)
    for _ in range(draw.randint(1, 3)):
        text = draw.choice(MUTATIONS)(text, draw)
    return text


def _line(text: str, draw: random.Random) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, draw.randrange(len(lines))


def _delete(text, draw):
    lines, i = _line(text, draw)
    return "\n".join([*lines[:i], *lines[i + 1 :]])


def _duplicate(text, draw):
    lines, i = _line(text, draw)
    return "\n".join([*lines[: i + 1], *lines[i:]])


def _swap(text, draw):
    lines, i = _line(text, draw)
    j = draw.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def _indent(text, draw):
    lines, i = _line(text, draw)
    lines[i] = draw.choice([f"  {lines[i]}", f" {lines[i]}", lines[i].lstrip(), f"\t{lines[i]}"])
    return "\n".join(lines)


def _rename(text, draw):
    words = list(re.finditer(r"\b[a-z_]+(?=:)", text))
    if not words:
        return text
    word = draw.choice(words)
    other = draw.choice([*(found[0] for found in words), word[0][1:], f"{word[0]}s", "", "é", "1"])
    return text[: word.start()] + other + text[word.end() :]


def _value(text, draw):
    values = list(re.finditer(r"(?<=[:,\[] )[^\s,{}\[\]][^,}\]\n]*|(?<=: )[\[{].*", text))
    if not values:
        return text
    value = draw.choice(values)
    return text[: value.start()] + draw.choice(ODD) + text[value.end() :]


def _truncate(text, draw):
    return text[: draw.randrange(len(text) + 1)]


def _character(text, draw):
    i = draw.randrange(len(text) + 1)
    return text[:i] + draw.choice("{}[]:,-#&*!|>'\"%@`\t\n\x00é\ufeff ") + text[i + draw.randint(0, 1) :]


MUTATIONS = (_delete, _duplicate, _swap, _indent, _rename, _value, _value, _truncate, _character)


def test_the_original_says_everything_and_is_right(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(EVERYTHING, encoding="utf-8")
    assert len(compile_plan("mine", load_scenario(path), CLUSTER)["faults"]) == 8


def test_every_mutant_is_a_plan_or_clear_errors(tmp_path):
    draw, path, saved = random.Random(20261124), tmp_path / "mine.yml", tmp_path / "plan.json"
    plans = 0
    for number in range(MUTANTS):
        text = mutant(draw)
        path.write_text(text, encoding="utf-8")
        try:
            plan = compile_plan("mine", load_scenario(path), CLUSTER)
        except InputError as error:
            assert error.problems, text
            for line in error.problems:
                assert re.match(r"mine\.yml:[0-9]+: \S", line), (
                    line,
                    text,
                )
                assert len(line.splitlines()) == 1, (line, text)
            continue
        except Exception as error:
            pytest.fail(f"mutant {number}: {type(error).__name__}: {error}\n{text}")
        plans += 1
        json.loads(plan_text(plan), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        saved.write_text(plan_text(plan), encoding="utf-8")
        assert load_plan(saved, CLUSTER)[1] == plan_text(plan)
        assert timeline(plan)
    assert MUTANTS / 20 < plans < MUTANTS / 2, "mutants are neither all wrong nor mostly right"
