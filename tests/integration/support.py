# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks and nodes as a user handles them, for tests on the real lab."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
STATE_DIR = Path("/var/lib/foundation-testbed")
PLAYBOOK_TIMEOUT_S = 900


@dataclass
class Outcome:
    """How a playbook ended."""

    status: int
    output: str

    def changed(self) -> int:
        """Number of changes over all hosts, from the recap."""
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait for a condition; fail the test naming it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.1)
    return found


class Lab:
    """One testbed on this machine."""

    def __init__(self, inventory: Path, runs_dir: Path):
        self.inventory, self.runs_dir = inventory, runs_dir

    def command(self, name: str, *arguments: str) -> list[str]:
        """The command line of a playbook."""
        return [
            "ansible-playbook",
            "-i",
            str(self.inventory),
            f"playbooks/{name}.yml",
            "-e",
            f"testbed_runs_dir={self.runs_dir}",
            *arguments,
        ]

    def playbook(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> Outcome:
        """Run a playbook to its end; `env` is added to the environment."""
        done = subprocess.run(
            self.command(name, *arguments),
            cwd=ROOT,
            text=True,
            timeout=PLAYBOOK_TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, **(env or {})},
        )
        return Outcome(done.returncode, done.stdout)

    def run(self, scenario: str) -> Outcome:
        """Run one of the tests' own scenarios."""
        return self.playbook("run", "-e", f"scenario={HERE / 'scenarios' / scenario}.yml")

    def begin(self, scenario: str) -> Controller:
        """Start a run in the background; returns once the nodes are armed."""
        before = set(self.runs_dir.glob("2*"))
        process = subprocess.Popen(
            self.command("run", "-e", f"scenario={HERE / 'scenarios' / scenario}.yml"),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

        def armed() -> Path | None:
            for folder in set(self.runs_dir.glob("2*")) - before:
                if (folder / "run.json").exists() and "armed_at_ns" in record(folder):
                    return folder
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            return None

        return Controller(process, wait_until(armed, 120, "all nodes armed"))

    def on(self, node: str, command: str, check: bool = True, stdin: str | None = None) -> str:
        """Standard output of a shell command on a node, over the lab's own ssh key."""
        variables = self.variables(node)
        done = subprocess.run(
            [
                "ssh",
                "-i",
                variables["ansible_ssh_private_key_file"],
                *shlex.split(
                    " ".join(variables.get(f"ansible_ssh_{kind}_args", "") for kind in ("common", "extra"))
                ),
                "-o",
                "BatchMode=yes",
                f"root@{variables['ansible_host']}",
                command,
            ],
            text=True,
            input=stdin or "",
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0 or not check, f"{node}: {command}: {done.stderr}"
        return done.stdout

    def variables(self, node: str) -> dict[str, Any]:
        """What the inventory says of a host."""
        if self.inventory not in _HOSTS:
            command = ["ansible-inventory", "-i", str(self.inventory), "--list"]
            done = subprocess.run(command, cwd=ROOT, text=True, check=True, capture_output=True)
            _HOSTS[self.inventory] = json.loads(done.stdout)["_meta"]["hostvars"]
        return _HOSTS[self.inventory][node]

    def tables(self, node: str) -> list[str]:
        """Tables of nftables on a node that are ours."""
        return re.findall(r"table inet (foundation_testbed_\w+)", self.on(node, "nft list tables"))

    def newest(self) -> Path:
        """Folder of the newest run."""
        return (self.runs_dir / "latest").resolve()


_HOSTS: dict[Path, dict[str, dict[str, Any]]] = {}


class Controller:
    """A run that goes on in the background."""

    def __init__(self, process: subprocess.Popen[str], folder: Path):
        self.process, self.folder = process, folder
        self.start_s = record(folder)["start_wall_ns"] / 1e9

    def wait_for(self, offset_s: float) -> None:
        """Wait until so many seconds after the start instant."""
        time.sleep(max(self.start_s + offset_s - time.time(), 0))

    def kill(self) -> None:
        """SIGKILL the controller with everything it started."""
        kill_tree(self.process)

    def finish(self) -> Outcome:
        """Wait for the run's end."""
        output, _ = self.process.communicate(timeout=PLAYBOOK_TIMEOUT_S)
        return Outcome(self.process.returncode, output)


def kill_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and all its descendants, which Ansible puts into sessions of their own."""
    rows = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], text=True, capture_output=True, check=True
    ).stdout.split()
    parents = dict(zip(map(int, rows[::2]), map(int, rows[1::2]), strict=True))
    doomed = {process.pid}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


def record(folder: Path, name: str = "run.json") -> dict[str, Any]:
    """A JSON record of a run."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def traces_on_machine(state_dir: Path = STATE_DIR) -> dict[str, list[str]]:
    """Everything that a lab could leave here: mounts, links, control groups, processes, rules, files."""
    processes = subprocess.run(
        ["ps", "-eo", "args"], text=True, capture_output=True, check=True
    ).stdout.splitlines()
    rules = (
        subprocess.run(["nft", "list", "ruleset"], text=True, capture_output=True, check=False).stdout
        if shutil.which("nft")
        else ""
    )
    return {
        "mounts": sorted(Path("/proc/mounts").read_text(encoding="utf-8").splitlines()),
        "loops": sorted(
            path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")
        ),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("*foundation-testbed*")),
        "processes": sorted(line for line in processes if "nspawn" in line and "defunct" not in line),
        "nft": rules.splitlines(),
        "nspawn": sorted(
            str(path)
            for path in Path("/run/systemd/nspawn").rglob("*")
            if "tb-" in path.name or path.parent.name == "locks"
        ),
        "files": sorted(str(path) for path in (state_dir / "labs").glob("*/*")),
        "locks": sorted(path.name for path in state_dir.glob("*.lock")),
    }


def nothing_new(before: dict[str, list[str]]) -> bool:
    """Whether nothing is on this machine that was not there before; what was dying then may be gone."""
    return not any(set(found) - set(before[what]) for what, found in traces_on_machine().items())


@contextlib.contextmanager
def nothing_left_of(lab: Lab) -> Iterator[None]:
    """Remove a lab before and after, and have everything gone then that was not there in between.

    Other labs may stand: they are part of what was there before.
    """
    lab.playbook("destroy")
    before = traces_on_machine()
    try:
        yield
    finally:
        outcome = lab.playbook("destroy")
    assert outcome.status == 0, outcome.output[-4000:]
    # init takes a moment to reap what was killed
    wait_until(lambda: nothing_new(before), 20, "the machine as it was before")


@contextlib.contextmanager
def standing(lab: Lab) -> Iterator[Lab]:
    """Make a lab anew with its systems, and remove it however that went."""
    lab.playbook("destroy")
    try:
        for playbook in ("provision", "deploy", "verify"):
            outcome = lab.playbook(playbook)
            assert outcome.status == 0, outcome.output[-4000:]
        yield lab
    finally:
        removed = lab.playbook("destroy")
    assert removed.status == 0, removed.output[-4000:]
