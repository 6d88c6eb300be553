# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab of virtual machines: what has to happen, the files of each, and whether they answer."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

from ansible_collections.foundation.testbed.plugins.module_utils.lab import bridge, libvirt, owner
from ansible_collections.foundation.testbed.plugins.module_utils.lab.boot_kernel import DISK, KernelBoot
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError, wait_until
from ansible_collections.foundation.testbed.plugins.module_utils.lab.domain import Domain, domain_name
from ansible_collections.foundation.testbed.plugins.module_utils.lab.keys import (
    ensure_key,
    known_hosts_line,
    write_known_hosts,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import (
    NodeSpec,
    answers_ssh,
)
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


@dataclass(frozen=True)
class Present:
    """What there is of one machine: what it was made from, how large it is, whether it runs."""

    identity: Optional[dict[str, Any]]
    size: Optional[dict[str, Any]]
    running: bool


@dataclass(frozen=True)
class Change:
    """What has to happen: `cut` loses its power, `remove` its files too, `define` is described (anew)."""

    remove: list[str]
    create: list[str]
    cut: list[str]
    define: list[str]
    start: list[str]

    @property
    def needed(self) -> bool:
        """Tell whether anything has to happen."""
        return bool(self.remove or self.define or self.start)


def size_of(spec: NodeSpec) -> dict[str, Any]:
    """Return what may change while the machine's disk stays: another size costs it a power cycle."""
    return {"memory_bytes": spec.limits.memory_bytes, "cpus": spec.limits.cpus}


def plan(wanted: Sequence[NodeSpec], present: dict[str, Present]) -> Change:
    """Compare the machines wanted with those that there are. Pure."""
    specs = {spec.name: spec for spec in wanted}
    stale = [n for n, one in present.items() if n not in specs or one.identity != specs[n].identity()]
    create = [name for name in specs if name not in present or name in stale]
    resized = [n for n, s in specs.items() if n not in create and present[n].size != size_of(s)]
    return Change(
        remove=sorted(stale),
        create=create,
        cut=sorted(name for name in (*stale, *resized) if present[name].running),
        define=[*create, *resized],
        start=[n for n in specs if n in create or n in resized or not present[n].running],
    )


class Boot(Protocol):
    """How machines of a lab come to boot."""

    def parts(self, spec: NodeSpec, folder: Path) -> dict[str, Any]:
        """Return what of a `Domain` says how it boots."""

    def create(
        self, spec: NodeSpec, folder: Path, authorized_key: str, host_key: Path, hosts: dict[str, str]
    ) -> None:
        """Make the files of a new machine in its folder; a line for each authorized key. Raises LabError."""

    def unready(self, ssh: Sequence[str]) -> Optional[str]:
        """Say what a machine that answers ssh still waits for; raises LabError where that went wrong."""


class VmLab:
    """The machines of one testbed."""

    def __init__(
        self,
        paths: LabPaths,
        own_bridge: Optional[str] = None,
        boot: Optional[Boot] = None,
        authorized_keys: Sequence[str] = (),
    ):
        self.paths, self.authorized_keys = paths, list(authorized_keys)
        self.prefix = domain_name(paths.testbed_id, "")
        self.bridge = own_bridge or bridge.bridge_name(paths.testbed_id)
        self.boot = boot or KernelBoot(paths.state_dir)

    def domain_name(self, node: str) -> str:
        """Return what libvirt calls a machine."""
        return self.prefix + node

    def require_controller(self) -> None:
        """Raise LabError where the machines were made for a controller with another key than this one's."""
        try:
            made_for = self._authorized.read_text(encoding="utf-8").splitlines()
        except OSError:
            made_for = [] if self.paths.node_names() else self.authorized_keys
        if made_for != self.authorized_keys:
            whose = ", ".join(line.split()[-1] for line in made_for) or "this machine itself"
            raise LabError(
                f"testbed_id: given {self.paths.testbed_id}, but the machines of that lab were made for "
                f"{whose}, with another key; allowed: another testbed_id, or destroy them first"
            )

    @property
    def _authorized(self) -> Path:
        """Where it is written for which controllers elsewhere the machines were made."""
        return self.paths.ssh / "authorized_keys"

    def known_hosts(self) -> list[str]:
        """Return the lines by which ssh knows the machines, empty before they are made."""
        try:
            return (self.paths.ssh / "known_hosts").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def present(self) -> dict[str, Present]:
        """Return what there is, also of machines of which libvirt alone knows."""
        known = [name.removeprefix(self.prefix) for name in libvirt.known(self.prefix)]
        return {name: self._present(name, name in known) for name in {*known, *self.paths.node_names()}}

    def _present(self, name: str, known: bool) -> Present:
        try:
            made = json.loads(self.paths.node(name).spec.read_text(encoding="utf-8")) if known else {}
        except (OSError, ValueError):
            made = {}
        running = known and libvirt.running(self.domain_name(name))
        return Present(made.get("identity"), made.get("size"), running)

    def domain(self, spec: NodeSpec, kvm: bool) -> Domain:
        """Return a machine as libvirt is to have it."""
        folder = self.paths.node(spec.name).home
        return Domain(
            name=self.domain_name(spec.name),
            memory_bytes=spec.limits.memory_bytes,
            cpus=spec.limits.cpus,
            disk=str(folder / DISK),
            bridge=self.bridge,
            console=str(self.paths.node(spec.name).console),
            kvm=kvm,
            **self.boot.parts(spec, folder),
        )

    def lay_out(self, change: Change, specs: Sequence[NodeSpec]) -> None:
        """Remove what is not as wanted, make files to boot from, know the keys; raises LabError."""
        _at_once(libvirt.cut, map(self.domain_name, change.cut))
        _at_once(self._remove, change.remove)
        owner.write(self.paths, "vm")
        key = ensure_key(self.paths.ssh / "id_ed25519", f"foundation-testbed-{self.paths.testbed_id}")
        if self.authorized_keys:
            self._authorized.write_text("".join(f"{one}\n" for one in self.authorized_keys), encoding="utf-8")
        authorized = "\n".join([key, *self.authorized_keys])
        hosts = {spec.name: spec.address for spec in specs}
        keys = {spec: ensure_key(self._host_key(spec.name), spec.name) for spec in specs}
        lines = [known_hosts_line([spec.name, spec.address], line) for spec, line in keys.items()]
        write_known_hosts(self.paths.ssh / "known_hosts", lines)
        for spec in specs:
            if spec.name in change.create:
                folder = self.paths.node(spec.name).home
                folder.mkdir(parents=True, exist_ok=True)
                self.boot.create(spec, folder, authorized, self._host_key(spec.name), hosts)
            if spec.name in change.define:
                self._record(spec, None)

    def _record(self, spec: NodeSpec, size: Optional[dict[str, Any]]) -> None:
        made = {"identity": spec.identity(), "size": size}
        self.paths.node(spec.name).spec.write_text(json.dumps(made, sort_keys=True), encoding="utf-8")

    def _host_key(self, name: str) -> Path:
        return self.paths.ssh / "hosts" / name

    def await_ready(self, specs: Sequence[NodeSpec], timeout_s: float) -> dict[str, str]:
        """Wait until all machines answer ssh and are through with their first boot; returns what failed.

        Only then it is recorded how large they are: until then another call has to tell libvirt again.
        """
        waiting = {spec.name: "no answer over ssh" for spec in specs}
        failed: dict[str, str] = {}

        def look(spec: NodeSpec) -> None:
            try:
                why = self._unready(spec)
            except LabError as error:
                failed[spec.name] = str(error)
                why = None
            if why is None:
                del waiting[spec.name]
            else:
                waiting[spec.name] = why

        def all_ready() -> bool:
            with ThreadPoolExecutor(max_workers=16) as pool:
                list(pool.map(look, [spec for spec in specs if spec.name in waiting]))
            return bool(failed) or not waiting

        wait_until(all_ready, timeout_s, 0.2)
        for spec in specs:
            if not failed and not waiting:
                self._record(spec, size_of(spec))
        late = {} if failed else {name: f"{why} within {timeout_s:g} s" for name, why in waiting.items()}
        return {**late, **failed}

    def _unready(self, spec: NodeSpec) -> Optional[str]:
        if answers_ssh(spec.address):
            return self.boot.unready(self._ssh(spec.address))
        if not libvirt.running(self.domain_name(spec.name)):
            raise LabError("it does not run any more")
        return "no answer over ssh"

    def _ssh(self, address: str) -> list[str]:
        known = [
            "-o",
            f"UserKnownHostsFile={self.paths.ssh / 'known_hosts'}",
            "-o",
            "StrictHostKeyChecking=yes",
        ]
        quick = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        return ["ssh", "-i", str(self.paths.ssh / "id_ed25519"), *known, *quick, f"root@{address}"]

    def keep_consoles(self, names: Sequence[str]) -> dict[str, str]:
        """Keep what machines printed beyond their removal; returns where."""
        kept = {}
        for name in names:
            console = self.paths.node(name).console
            if console.exists():
                self.paths.failures.mkdir(parents=True, exist_ok=True)
                kept[name] = str(self.paths.failures / f"{name}.console.log")
                shutil.copyfile(console, kept[name])
        return kept

    def remove(self, names: Sequence[str] = ()) -> None:
        """Remove machines with their files, or all of them with bridge and keys. Raises LabError."""
        if not names:
            # so that no power program begins anything now
            for job in self.paths.home.glob("power/*/job.json"):
                job.unlink(missing_ok=True)
        _at_once(self._remove, names or self.present())
        if not names:
            bridge.remove(self.paths.testbed_id)
            shutil.rmtree(self.paths.home, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.paths.home.parent.rmdir()

    def _remove(self, name: str) -> None:
        libvirt.remove(self.domain_name(name))
        shutil.rmtree(self.paths.node(name).home, ignore_errors=True)


def _at_once(act: Callable[[str], None], names: Iterable[str]) -> None:
    """Do something to several machines at once; raises what one of them raised, once all are through."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        for done in [pool.submit(act, name) for name in names]:
            done.result()


def told(change: Change) -> dict[str, list[str]]:
    """Return a change as a module returns it."""
    return asdict(change)
