# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a sceptic does to faults: kills what holds them, cuts the node's power, fills its disk, mixes them.

Every way ends with the node compared with how it was before. Used in short by the tests and in full by
`make bench-faults`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import power_lab
import said as rows
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, fault_class
from ansible_collections.foundation.testbed.plugins.module_utils.lab import power
from ansible_collections.foundation.testbed.plugins.module_utils.lab.provider_fault import cut_entries
from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_action import own_program
from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import fault_results
from fault_lab import Staged, differences, install_agent, put, stage, state_of
from power_lab import StagedProvider, await_boot, paths_of
from support import ROOT, Lab, kill_tree, wait_until
from ways import GONE_WITHIN_S, WAYS, Either, full_disk

NODES = ("n1", "n2", "n3")

SERVER_UNIT = """[Service]
User=nobody
ExecStart=/usr/bin/python3 -m http.server 8098
Restart=always
[Install]
WantedBy=multi-user.target
"""
Said = dict[str, Any]


def prepare(lab: Lab, node: str) -> None:
    """Bring this checkout's agent to a node, a file to be damaged, and a unit to be pressed on."""
    install_agent(lab, node)
    put(lab, node, rows.VICTIM, bytes(range(256)) * 64)
    put(lab, node, f"/etc/systemd/system/{rows.SERVER}", SERVER_UNIT.encode())
    lab.on(node, f"systemctl daemon-reload && systemctl --quiet enable --now {rows.SERVER}")


def tidy(lab: Lab, node: str) -> None:
    """Take away again what `prepare` brought, the agent apart."""
    lab.on(node, f"systemctl --quiet disable --now {rows.SERVER}")
    lab.on(node, f"rm -f /etc/systemd/system/{rows.SERVER} {rows.VICTIM} && systemctl daemon-reload")


def cluster_of(lab: Lab) -> ClusterView:
    """The lab as a plan sees it."""
    command = ["ansible-inventory", "-i", str(lab.inventory), "--list"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    hostvars = listed["_meta"]["hostvars"]
    nodes = listed["nodes"]["hosts"]
    first = hostvars[nodes[0]]
    return ClusterView(
        testbed_id=first["testbed_id"],
        nodes={name: hostvars[name]["testbed_address"] for name in nodes},
        observers={},
        systems={name: hostvars[name]["testbed_applications"] for name in nodes},
        workloads={},
        units={"etcd": ["etcd.service"]},
        data_paths={"etcd": ["/var/lib/etcd"]},
        provider=dict.fromkeys(nodes, "container"),
        management=[first["testbed_gateway"]],
        max_down=1,
    )


def with_peers(cluster: ClusterView, node: str, peers: tuple[str, ...]) -> ClusterView:
    """The cluster as far as a fault of a node may reach: itself, and peers that nobody breaks."""
    nodes = {name: address for name, address in cluster.nodes.items() if name == node or name in peers}
    return dataclasses.replace(cluster, nodes=nodes)


def fault(said: Said, node: str, cluster: ClusterView, start_s: float, for_s: float) -> Said:
    """One fault as it is staged on a node; from a whole second to another, the kernel itself may begin it."""
    args = {**rows.spoken(said, node, cluster), "for": "10s"}
    _, program = own_program(said["kind"], args, node, rows.chosen(said, node, cluster), cluster)
    assert program is not None
    assert program.get("blocked", True), f"{node} would be cut from nobody"
    whole = start_s == int(start_s) and for_s == int(for_s)
    return {
        "type": said["kind"], "start_s": start_s, "end_s": start_s + for_s, "for_s": for_s, "node": program,
        **({} if whole else {"at_once": True}),
        **({"where": said["where"]} if "where" in said else {}),
    }  # fmt: skip


def begin(lab: Lab, node: str, faults: list[Said], ahead_s: float = 3.0) -> Either:
    """Stage faults, all on the node or all with its provider."""
    if fault_class(faults[0]["type"]).on_node:
        return stage(lab, node, faults, ahead_s)
    return begin_provider(lab, node, faults, time.time_ns() + int(ahead_s * 1e9))


def begin_provider(lab: Lab, node: str, faults: list[Said], start_wall_ns: int) -> StagedProvider:
    """Have the provider do something to a node."""
    folder = Path(tempfile.mkdtemp(prefix="testbed-power-"))
    found = [
        {"id": f"{each['type']}-{number}", **each, **each["node"], "node": node}
        for number, each in enumerate(faults, 1)
    ]
    job = power_lab.begin_faults(paths_of(lab, node), folder, found, start_wall_ns)
    return StagedProvider(lab, node, job, folder)


def before_of(lab: Lab, node: str) -> dict[str, list[str]]:
    """The state of a node, which is on its disk as well: a power cut may lose what is not."""
    lab.on(node, "sync --file-system /")
    return state_of(lab, node)


def left_of(lab: Lab, node: str, before: dict[str, list[str]]) -> list[str]:
    """What is not as it was, once what comes back by itself has had its time."""
    left: list[str] = []

    def same() -> bool:
        left[:] = differences(before, state_of(lab, node))
        return not left

    with contextlib.suppress(AssertionError):
        wait_until(same, 20, "the node as it was")
    return left


def traces_after(staged: Either, at_s: float) -> list[str]:
    """What `fault_info` would name at an instant after the plan's start."""
    staged.wait_for(at_s)
    return staged.traces()


# What faults say that cannot begin: on a full disk, or while another one holds the same.
FULL, TAKEN = ("No space left", "are used already", "bytes are free", "0 are free"), ("is damaged by",)


def try_way(lab: Lab, node: str, way: str, said: Said, cluster: ClusterView, for_s: float = 5.0) -> list[str]:
    """Live one fault through one way; returns what it left and what was wrong on the way."""
    before = before_of(lab, node)
    staged = begin(lab, node, [fault(said, node, cluster, 1.0, for_s)])
    WAYS[way](staged)
    return [
        *_wrong(staged, way),
        *traces_after(staged, 1.0 + for_s + GONE_WITHIN_S),
        *left_of(lab, node, before),
    ]


def try_refused(lab: Lab, node: str, said: Said, cluster: ClusterView) -> list[str]:
    """Stage one that no container can do: it says so, and nothing has begun."""
    before = before_of(lab, node)
    staged = begin(lab, node, [fault(said, node, cluster, 1.0, 3.0)])
    ledger = staged.finish()
    refused = [entry for entry in ledger if entry["event"] == "check" and not entry["able"]]
    begun = [entry["event"] for entry in ledger if entry["event"] in ("apply", "load", "evidence")]
    return [*([] if refused else ["it was not refused"]), *begun, *left_of(lab, node, before)]


def try_full_disk(lab: Lab, node: str, said: Said, cluster: ClusterView, for_s: float = 5.0) -> list[str]:
    """Live one fault through on a full disk: it is recorded whole all the same.

    One whose journal, or whose probe, has to be on the disk, or that would fill it, cannot begin: it says so,
    and nothing is left of it either.
    """
    before = before_of(lab, node)
    staged = begin(lab, node, [fault(said, node, cluster, 2.0, for_s)])
    with full_disk(lab, node):
        traces = traces_after(staged, 2.0 + for_s + GONE_WITHIN_S)
    staged.finish()
    wrong = _wrong(staged, "full disk")
    if rows.needs_room(said) and refused(staged, FULL):
        wrong = []
    return [*wrong, *traces, *left_of(lab, node, before)]


def refused(staged: Either, words: tuple[str, ...]) -> bool:
    """Whether nothing has begun, for a reason in these words."""
    said = [str(entry) for entry in staged.ledger() if entry["event"] in ("check", "error")]
    return not staged.ledger("apply") and any(word in line for line in said for word in words)


def try_two_runs(lab: Lab, node: str, said: Said, cluster: ClusterView) -> list[str]:
    """Two runs hold the same fault at once; the one that ends first leaves the other's alone.

    A file that is cut short by two cannot be whole again: the second says so, and leaves the first's alone.
    """
    before = before_of(lab, node)
    short = begin(lab, node, [fault(said, node, cluster, 1.0, 3.0)])
    long = begin(lab, node, [fault(said, node, cluster, 1.0, 10.0)])
    left = traces_after(long, 5.0)
    # a crash or a reboot is over at once
    lasts = said.get("action") not in ("crash", "reboot")
    problems = [] if len(left) == lasts else ["the second run's fault did not outlive the first's"]
    short.finish()
    long.finish()
    for one, other in ((short, long), (long, short)):
        if refused(one, TAKEN):
            return [*_wrong(other, "plain"), *left_of(lab, node, before)]
    late = [entry for entry in long.ledger("evidence") if entry["t_s"] > 5.0]
    if not late or not all(entry["present"] for entry in late):
        problems.append("the second run's fault was not in place after the first's end")
    return [*problems, *_wrong(short, "two runs"), *_wrong(long, "two runs"), *left_of(lab, node, before)]


def try_killed_controller(lab: Lab, node: str, said: Said, cluster: ClusterView) -> list[str]:
    """SIGKILL to the ad hoc command that waits for the fault; it lives to its planned end and no longer."""
    before = before_of(lab, node)
    words = json.dumps({**rows.spoken(said, node, cluster), "for": "10s", "id": f"bench-{node}"})
    hosts = ":".join(rows.chosen(said, node, cluster))
    module = f"foundation.testbed.{said['kind']}"
    process = subprocess.Popen(
        ["ansible", hosts, "-i", str(lab.inventory), "-m", module, "-a", words],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    active = active_on if rows.on_node(said) else active_beside
    found: dict[str, float] = {}

    def there() -> bool:
        found.update(active(lab, node))
        return bool(found) or process.poll() is not None

    wait_until(there, 30, "the fault is there")
    kill_tree(process)
    end_s = max(found.values(), default=0.0)
    problems = []
    if time.time() > end_s:
        problems = [f"nothing was active when the controller was killed: {process.communicate()[0][-300:]!r}"]
    elif not active(lab, node) and time.time() < end_s:
        problems = ["it ended with its controller"]
    if found:
        time.sleep(max(0.0, end_s + GONE_WITHIN_S - time.time()))
    if rows.on_node(said):
        left = list(active_on(lab, node))
    else:
        left = power.to_heal(paths_of(lab, node), f"adhoc-bench-{node}-*")["restored"]
        for run in found:
            assert power.await_end(paths_of(lab, node), run, power_lab.END_S), "the power program ended"
        await_boot(lab, node)
    return [*problems, *left, *left_of(lab, node, before)]


def active_on(lab: Lab, node: str) -> dict[str, float]:
    """What the node itself says is active on it, and until when."""
    answer = lab.on(node, "python3 /usr/local/lib/foundation-testbed/agent.pyz active")
    return {entry["trace"]: entry["until_wall_ns"] / 1e9 for entry in json.loads(answer)}


def active_beside(lab: Lab, node: str) -> dict[str, float]:
    """The ad hoc runs whose power program has done something to the node, and until when they do."""
    found = {}
    for path, entry in cut_entries(paths_of(lab, node), f"adhoc-bench-{node}-*"):
        job = json.loads((path.parent / "job.json").read_text(encoding="utf-8"))
        if entry["applied"]:
            found[job["run"]] = job["start_wall_ns"] / 1e9 + job["faults"][0]["end_s"]
    return found


Attempt = Callable[[Lab, str, ClusterView], list[str]]


def tries(said: Said) -> dict[str, Attempt]:
    """Every way to try one fault that makes sense, by name; each returns what was left or wrong."""
    if said["kind"] == "clock":
        return {"plain": lambda lab, node, cluster: try_refused(lab, node, said, cluster)}
    ways: dict[str, Attempt] = {
        way: lambda lab, node, cluster, way=way: try_way(lab, node, way, said, cluster) for way in WAYS
    }
    tried: dict[str, Attempt] = {
        **ways,
        "controller killed": lambda lab, node, cluster: try_killed_controller(lab, node, said, cluster),
        "two runs": lambda lab, node, cluster: try_two_runs(lab, node, said, cluster),
        "full disk": lambda lab, node, cluster: try_full_disk(lab, node, said, cluster),
    }
    return {way: attempt for way, attempt in tried.items() if rows.senseless(said, way) is None}


def mix(seed: int, node: str, cluster: ClusterView) -> list[Said]:
    """Two to four faults of any kind with random windows, the same for the same seed."""
    draw = random.Random(seed)
    chosen = draw.sample(rows.mixed(cluster), draw.randint(2, 4))
    return [
        {
            **fault(rows.SAID[name], node, cluster, draw.uniform(0.5, 3.0), draw.uniform(1.0, 4.0)),
            "id": f"mixed-{place}",
        }
        for place, name in enumerate(chosen)
    ]


def try_mix(lab: Lab, node: str, seed: int, cluster: ClusterView) -> list[str]:
    """Live a random mix through, every third time with the agent killed on the way; returns what it left.

    Whether each is proved is not asked: who kills what another one has paused leaves it nothing to show.
    """
    before = before_of(lab, node)
    faults = mix(seed, node, cluster)
    own = [each for each in faults if fault_class(each["type"]).on_node]
    beside = [each for each in faults if each not in own]
    held: list[Either] = [stage(lab, node, own)] if own else []
    if beside:  # what was staged is on the disk, as it is before a run
        lab.on(node, "sync --file-system /")
        start_ns = held[0].program["start_wall_ns"] if held else time.time_ns() + 2 * 10**9
        held.append(begin_provider(lab, node, beside, start_ns))
    if seed % 3 == 0:
        held[-1].wait_for(2.5)
        for staged in held:
            staged.kill()
    end_s = max(each["end_s"] for each in faults)
    traces = traces_after(held[-1], end_s + GONE_WITHIN_S)
    for staged in reversed(held):  # the node has booted before its own agent is asked
        staged.finish()
    return [*traces, *(held[0].traces() if own else []), *left_of(lab, node, before)]


def _wrong(staged: Either, way: str) -> list[str]:
    """Errors in the ledger; where nobody died, also a fault that a judge would not call proved."""
    ledger = staged.ledger()
    problems = [entry["message"] for entry in ledger if entry["event"] == "error"]
    problems += [
        f"cannot: {entry['reasons']}" for entry in ledger if entry["event"] == "check" and not entry["able"]
    ]
    agents = isinstance(staged, Staged)
    if way == "reboot" or (way == "holder killed" and agents):
        return problems
    for entry in staged.program["faults"]:
        own = [line for line in ledger if line["fault"] == entry["id"]]
        gone = [line for line in own if line["event"] == "gone"]
        if way == "two runs":  # while another run still holds the same, no probe can pass
            if not gone or gone[-1]["traces"]:
                problems.append(f"{entry['id']}: not gone: {gone}")
            continue
        programs = {staged.node: entry["node"]} if agents else {}
        planned = {**entry, "targets": [staged.node], "nodes": programs}
        reason = judged(planned, own, staged.program["start_wall_ns"])
        problems += [reason] if reason else []
    return problems


def judged(fault: Said, ledger: list[Said], start_wall_ns: int) -> str:
    """Why a run of this fault alone would not count as proved, empty where it would."""
    (result,) = fault_results({"faults": [fault]}, ledger, start_wall_ns)
    return str(result["reason"])
