# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Experiments of the Chaos Toolkit: what means the same becomes a fault, all else is named with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit import is_experiment, translate
from ansible_collections.foundation.testbed.plugins.plugin_utils.chaos_toolkit_words import Surroundings
from ansible_collections.foundation.testbed.plugins.plugin_utils.importing import Importing, compiled
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
NODES = {f"n{i}": f"10.77.0.{10 + i}" for i in range(1, 6)}
CLUSTER = ClusterView(
    "t", NODES, {"observer1": "10.77.0.2"}, {name: ["etcd"] for name in NODES}, {"etcd": ["register"]},
    units={"etcd": ["etcd.service"]}, provider=dict.fromkeys(NODES, "container"), max_down=2,
)  # fmt: skip


def around(*command_nodes: str) -> Surroundings:
    return Surroundings(NODES, ["observer1"], list(command_nodes))


K8S, AWS, TOXIC = "chaosk8s.pod.actions", "chaosaws.ec2.actions", "chaostoxi.toxic.actions"


def python(said: str, **arguments: object) -> dict[str, object]:
    module, _, func = said.rpartition(".")
    return {
        "type": "action", "name": "it",
        "provider": {"type": "python", "module": module, "func": func, "arguments": arguments},
    }  # fmt: skip


def command(path: str, arguments: object) -> dict[str, object]:
    return {
        "type": "action",
        "name": "it",
        "provider": {"type": "process", "path": path, "arguments": arguments},
    }


KILL = python(f"{K8S}.terminate_pods", qty=1)


def of(*method: object, **more: object):
    """Translate an experiment of these activities, after one that breaks something."""
    return translate({"title": "t", "method": [KILL, *method], **more}, "etcd", around("n4"))


def test_stopped_instances_and_toxics_have_their_begin_and_end():
    """Pauses are offsets, and what ends a fault there ends it here."""
    read = compiled(HERE / "node_outage.json", CLUSTER, Importing())
    plan = read.plan
    stop, slow = plan["faults"]
    assert (stop["id"], stop["type"], stop["targets"]) == ("stop-the-instance", "power", ["n2"])
    assert (stop["start_s"], stop["end_s"]) == (8, 26)
    assert (slow["type"], slow["targets"]) == ("link", ["n1"])
    assert (slow["start_s"], slow["end_s"]) == (16, 30)
    assert slow["params"]["delay"] == 0.12 and slow["params"]["peers"] == ["observer1"]
    assert plan["duration_s"] == 50 and read.unmapped == []
    assert plan["steady_state"] == [{"state": "healthy", "is": True, "nodes": "all"}]
    assert plan["scenario"]["description"] == "One instance is stopped while the proxy of another is slow."
    assert yaml.safe_load(read.imported)["name"] == plan["scenario"]["title"]


def test_commands_become_faults_of_the_nodes_they_are_run_on():
    read = compiled(HERE / "commands.yaml", CLUSTER, Importing(nodes=["n4"]))
    faults = {fault["id"]: fault for fault in read.plan["faults"]}
    spans = {name: (fault["start_s"], fault["end_s"]) for name, fault in faults.items()}
    assert spans == {"a-1-slow-link": (5, 26), "cut": (11, 26), "stress": (11, 23), "pause": (23, 28),
                     "pods": (26, 31)}  # fmt: skip
    link = faults["a-1-slow-link"]
    assert (link["targets"], link["params"]["loss"]) == (["n1"], 2.0)
    assert set(link["params"]["peers"]) == {"n2", "n3", "n4", "n5", "observer1"}
    cut = faults["cut"]
    assert cut["params"]["groups"] == {"from": ["n3"], "to": ["n2"]} and cut["params"]["ports"] == [2380]
    assert faults["pause"]["targets"] == faults["stress"]["targets"] == ["n4"]
    assert len(faults["pods"]["targets"]) == 2


UNMAPPED = [
    (python("chaosgcp.sql.actions.trigger_failover"), "provider.func: chaosgcp.sql"),
    (python(f"{K8S}.terminate_pods", order="oldest"), "provider.arguments.order: 'oldest'"),
    (python(f"{K8S}.terminate_pods", name_pattern="web-.*"), "provider.arguments.name_pattern"),
    (python(f"{AWS}.stop_instance", instance_id="i-1"), "provider.arguments.instance_id: 'i-1' is"),
    (python(f"{AWS}.stop_instance", az="eu"), "provider.arguments.az: it has no counterpart"),
    (python(f"{TOXIC}.create_slicer_toxic", for_proxy="n1"), "provider.func"),
    (python(f"{TOXIC}.create_latency_toxic", for_proxy="web", latency=1), "arguments.for_proxy"),
    (python(f"{TOXIC}.create_toxic", for_proxy="n1", toxicity=0.5), "arguments.toxicity"),
    (command("rm", "-rf /tmp/x"), "provider.path: the command 'rm' has no counterpart"),
    (command("kill", "-STOP 1234"), "provider.path: the command 'kill'"),
    (command("pkill", "-HUP etcd"), "provider.arguments: '-HUP etcd' has no counterpart"),
    (command("tc", "qdisc add dev eth0 root tbf rate 1mbit"), "provider.arguments: 'qdisc add"),
    (command("iptables", "-A FORWARD -j DROP"), "provider.arguments: '-A FORWARD -j DROP'"),
    (command("stress-ng", "--cpu 1"), "provider.arguments: a --timeout"),
    (command("ssh", "web1 reboot"), "provider.arguments: 'web1' is no node of the cluster"),
    (python(f"{AWS}.stop_instance", instance_id="${id}"), "provider: ${id} comes from outside"),
    ({"type": "probe", "provider": {"type": "http", "url": "http://elsewhere/"}}, "provider.url"),
    ({"type": "probe", "provider": {"type": "python", "module": "m", "func": "f"}}, "provider.func"),
    ({**KILL, "pauses": {"after": "${unknown}"}}, "provider: ${unknown}"),
    ({**KILL, "controls": [{"name": "c"}]}, "controls[0]: it has no counterpart"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "expected"), UNMAPPED)
def test_what_has_no_counterpart_is_named_with_its_place(entry, expected):
    (line,) = of(entry).unmapped
    assert line.startswith("method[1].") and expected in line


def test_places_outside_the_method_are_named_as_well():
    probe = {
        "type": "probe",
        "name": "p",
        "tolerance": 404,
        "provider": {"type": "http", "url": "http://n1/"},
    }
    done = of(
        **{"steady-state-hypothesis": {"title": "s", "probes": [probe]}, "rollbacks": ["x"], "dry": "pause",
           "controls": [{}]}
    )  # fmt: skip
    assert done.unmapped == [
        "rollbacks[0]: it is no activity",
        "steady-state-hypothesis.probes[0].tolerance: 404 is not the status 200, or none",
        "controls[0]: it has no counterpart",
        "dry: it has no counterpart",
    ]


def test_an_import_is_refused_until_told_to_leave_things_out(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"title": "t", "method": [KILL, command("rm", "x")]}))
    with pytest.raises(InputError, match=r"mine.json:1: method\[1\].provider.path") as caught:
        compiled(path, CLUSTER, Importing())
    assert "allow_unmapped" in caught.value.problems[-1]
    read = compiled(path, CLUSTER, Importing(allow_unmapped=True))
    assert len(read.unmapped) == 1 and len(read.plan["faults"]) == 1


def test_names_from_an_inventory_are_texts_of_another_kind(tmp_path):
    """Ansible hands over texts of classes of its own, which YAML does not write."""

    class Tagged(str):
        pass

    nodes = {Tagged(name): Tagged(address) for name, address in NODES.items()}
    cluster = replace(CLUSTER, nodes=nodes, workloads={Tagged("etcd"): ["register"]})
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"title": "t", "method": [KILL]}))
    assert yaml.safe_load(compiled(path, cluster, Importing()).imported)["conditions"][0]["nodes"] == ["n1"]


def test_an_experiment_that_breaks_nothing_is_refused_whatever_is_allowed(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"title": "t", "method": [command("rm", "x")]}))
    with pytest.raises(InputError, match="method: given no action that breaks anything here"):
        compiled(path, CLUSTER, Importing(allow_unmapped=True))


def test_a_command_without_ssh_needs_to_be_told_its_nodes():
    """It acts on the machine that runs it, which is none of the cluster's."""
    done = translate({"title": "t", "method": [KILL, command("systemctl", "stop etcd")]}, "etcd", around())
    assert "experiment_nodes" in done.unmapped[0]


def test_scenarios_are_no_experiments():
    for path in SCENARIOS_DIR.glob("*.yml"):
        assert not is_experiment(yaml.safe_load(path.read_text(encoding="utf-8")))


WORDS = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(), st.text(max_size=6))
KEYS = "type provider module func arguments path pauses ref after name qty rand controls tolerance url"
ANY = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner),
    max_leaves=12,
)


@given(st.lists(ANY, max_size=3), ANY, ANY)
def test_whatever_stands_in_an_experiment_gives_a_scenario_or_lines(method, rollbacks, configuration):
    """Nothing but InputError leaves the translator, whatever a file holds."""
    experiment = {
        "title": "t",
        "method": [KILL, *method],
        "rollbacks": rollbacks,
        "configuration": configuration,
    }
    try:
        done = translate(experiment, "etcd", around("n1"))
    except InputError:
        return
    assert done.scenario["conditions"] and all(isinstance(line, str) for line in done.unmapped)
