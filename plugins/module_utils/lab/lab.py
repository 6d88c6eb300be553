# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole lab: nodes that start together, and of which nothing stays when one of them does not."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab import (
    bridge,
    kernel_limits,
    shared_mount,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import (
    ensure_key,
    known_hosts_line,
    write_known_hosts,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import Node, NodeSpec, answers_ssh
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


@dataclass(eq=False)
class NodesNotStarted(LabError):
    """Some nodes did not start: `failures` and `time_outs` map each to a reason, `consoles` to its log."""

    failures: dict[str, str]
    time_outs: dict[str, str]
    consoles: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for each node, saying whether it failed or ran out of time."""
        lines = [f"node_start_failures: {name}: {reason}" for name, reason in sorted(self.failures.items())]
        lines += [
            f"timeout_starting_nodes: {name}: {reason}" for name, reason in sorted(self.time_outs.items())
        ]
        return "\n".join(
            f"{line} (console: {self.consoles.get(line.split(': ')[1], 'none')})" for line in lines
        )


@dataclass(frozen=True)
class Change:
    """What has to happen to bring the lab from how it is to how it is wanted."""

    remove: list[str]
    create: list[str]
    start: list[str]
    keep: list[str]

    @property
    def needed(self) -> bool:
        """Tell whether anything has to happen (limits apart)."""
        return bool(self.remove or self.create or self.start)


def plan(wanted: dict[str, dict[str, Any]], present: dict[str, Any], running: set[str]) -> Change:
    """Compare wanted node identities with those present (None: a folder without a whole node)."""
    stale = {name for name, identity in present.items() if name not in wanted or wanted[name] != identity}
    create = [name for name in wanted if name not in present or name in stale]
    keep = [name for name in wanted if name not in create]
    return Change(
        remove=sorted(stale),
        create=create,
        start=[n for n in wanted if n in create or n not in running],
        keep=[name for name in keep if name in running],
    )


class Lab:
    """The nodes, the bridge and the keys of one testbed on this machine."""

    def __init__(self, paths: LabPaths):
        self.paths = paths

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second provision or destroy of the same lab waiting."""
        self.paths.state_dir.mkdir(parents=True, exist_ok=True)
        with self.paths.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if not self.paths.home.exists():
                    self.paths.lock.unlink()

    def compare(self, specs: Sequence[NodeSpec]) -> Change:
        """Return what `ensure` would do about nodes."""
        names = self.paths.node_names()
        return plan(
            {spec.name: spec.identity() for spec in specs},
            {name: Node(self.paths, name).made_from() for name in names},
            {name for name in names if Node(self.paths, name).running()},
        )

    def ensure(self, specs: Sequence[NodeSpec], subnet: str, timeout_s: float) -> Change:
        """Make the lab as wanted: all nodes answer ssh within `timeout_s`, or the new ones are removed again.

        Raises NodesNotStarted, or LabError for anything else; in both cases what this call made is gone.
        """
        change = self.compare(specs)
        standing = set(self.paths.node_names())
        began = time.monotonic()
        if change.start:
            kernel_limits.require(len(specs), len(change.start) - len(change.remove))
        try:
            if not standing:  # what is mounted below already would be covered
                shared_mount.ensure(self.paths.home)
            bridge.ensure(self.paths.testbed_id, specs[0].gateway, subnet)
            for name in change.remove:
                Node(self.paths, name).destroy()
            self._create([spec for spec in specs if spec.name in change.create], specs)
            starting = [spec for spec in specs if spec.name in change.start]
            self._start(starting)
            self._await(starting, began + timeout_s, timeout_s)
        except (LabError, OSError) as error:
            if isinstance(error, NodesNotStarted):
                error.consoles.update(self._keep_consoles([*error.failures, *error.time_outs]))
            self._remove_made(standing - set(change.remove), change.create)
            raise
        return change

    def destroy(self) -> bool:
        """Remove nodes, bridge and keys; returns whether there was anything. Raises LabError."""
        for job in self.paths.home.glob("power/*/job.json"):  # so that no power program begins anything now
            job.unlink(missing_ok=True)
        names = self.paths.node_names()
        there = self.paths.home.exists() or bridge.present(bridge.bridge_name(self.paths.testbed_id))
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(lambda name: Node(self.paths, name).destroy(), names))
        bridge.remove(self.paths.testbed_id)
        shared_mount.remove(self.paths.home)
        if self.paths.home.exists():
            shutil.rmtree(self.paths.home)
        with contextlib.suppress(OSError):
            self.paths.home.parent.rmdir()
        return there

    def _create(self, fresh: Sequence[NodeSpec], everyone: Sequence[NodeSpec]) -> None:
        authorized_key = ensure_key(
            self.paths.ssh / "id_ed25519", f"foundation-testbed-{self.paths.testbed_id}"
        )
        hosts = {spec.name: spec.address for spec in everyone}
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(
                pool.map(lambda spec: Node(self.paths, spec.name).create(spec, authorized_key, hosts), fresh)
            )
        keys = {spec: self.paths.ssh / "hosts" / spec.name for spec in everyone}
        write_known_hosts(
            self.paths.ssh / "known_hosts",
            [
                known_hosts_line([spec.name, spec.address], ensure_key(key, spec.name))
                for spec, key in keys.items()
            ],
        )

    def _start(self, specs: Sequence[NodeSpec]) -> None:
        for spec in specs:
            node = Node(self.paths, spec.name)
            node.mount(spec.images)
            node.start(spec.limits)

    def _await(self, specs: Sequence[NodeSpec], deadline: float, timeout_s: float) -> None:
        """Wait for all nodes to answer ssh; one whose processes ended has failed, a late one timed out."""
        waiting = {spec.name: spec.address for spec in specs}
        failures: dict[str, str] = {}
        while waiting and time.monotonic() < deadline:
            with ThreadPoolExecutor(max_workers=16) as pool:
                answers = dict(zip(waiting, pool.map(answers_ssh, waiting.values())))
            for name in [name for name, answer in answers.items() if answer]:
                del waiting[name]
            for name in [name for name in waiting if not Node(self.paths, name).running()]:
                failures[name] = (
                    f"its processes ended while it booted; last words: {_last_words(Node(self.paths, name))}"
                )
                del waiting[name]
            if failures:
                break
            time.sleep(0.1)
        if failures or waiting:
            late = (
                {}
                if failures
                else {
                    name: f"no ssh server answered at {address} within {timeout_s:g} s"
                    for name, address in waiting.items()
                }
            )
            raise NodesNotStarted(failures, late)

    def _keep_consoles(self, names: Sequence[str]) -> dict[str, str]:
        """Copy the console logs of failed nodes to where the clean-up does not reach; returns their paths."""
        kept = {}
        self.paths.failures.mkdir(parents=True, exist_ok=True)
        for name in names:
            target = self.paths.failures / f"{name}.console.log"
            target.write_text(Node(self.paths, name).console_text(), encoding="utf-8")
            kept[name] = str(target)
        return kept

    def _remove_made(self, standing: set[str], made: Sequence[str]) -> None:
        """Take back what a failed `ensure` made; the whole lab when nothing stood before."""
        if not standing:
            self.destroy()
            return
        for name in made:
            Node(self.paths, name).destroy()


def _last_words(node: Node) -> str:
    """Return the last three lines with anything in them of what the node printed."""
    lines = [line.strip() for line in node.console_text().splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "none"
