# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enrolling a host: what speaks against it, what would be installed, and doing it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.enrolment import (
    NotEnrolled,
    enrolled_in,
)
from ansible_collections.foundation.testbed.plugins.module_utils.host import files, packages
from ansible_collections.foundation.testbed.plugins.module_utils.host.command import (
    HostError,
    ask,
    do,
    last_words,
)
from ansible_collections.foundation.testbed.plugins.module_utils.host.record import Record

# What the agent and the faults need of a host, beside Python.
BASE_PACKAGES = ("iproute2", "iputils-ping", "kmod", "nftables", "procps", "python3-apt", "stress-ng")
# While we install, no package starts a service: deb-systemd-invoke asks this file. It is a link into memory,
# so that a reboot in the midst leaves one that leads nowhere, which says nothing.
POLICY, POLICY_ANSWER = Path("/usr/sbin/policy-rc.d"), Path("/run/foundation-testbed-policy-rc.d")
APT_UNIT, APT_LOG = "foundation-testbed-apt.service", Path("/run/foundation-testbed-apt.log")
INSTALL_S = 1800.0
SHOWN_FILES = 5


@dataclass(frozen=True)
class Wanted:
    """What the inventory says of a host."""

    testbed_id: str
    packages: Sequence[str] = ()
    units: Sequence[str] = ()
    config_paths: Sequence[str] = ()
    data_paths: Sequence[str] = ()
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_packages(self) -> list[str]:
        """Packages that have to be there."""
        return sorted({*BASE_PACKAGES, *self.packages})


@dataclass(frozen=True)
class Plan:
    """What enrolling would do, and what speaks against it."""

    refusals: Sequence[str]
    install: Mapping[str, str] = field(default_factory=dict)
    enrolled: bool = False
    resumes: bool = False
    # Whether it is a machine on which we may do anything at all.
    fit: bool = True


def plan(wanted: Wanted, record: Record) -> Plan:
    """Look at the host and change nothing."""
    refusals = [*not_fit(), *foreign(wanted.testbed_id, record)]
    if refusals:
        return Plan(refusals, fit=False)
    there = packages.present()
    missing = sorted(set(wanted.all_packages) - set(there.whole))
    changes, why = packages.Changes(), None
    if there.broken and record:  # ours, from an interrupted call: they are purged and installed anew
        changes = packages.Changes(dict.fromkeys(missing, ""))
    elif missing:
        changes, why = packages.simulate("install", missing, "--no-remove")
    refusals = apt_refusals(changes, why, there.remains) + in_use(wanted, record.data)
    if there.broken and not record:
        refusals.append(f"dpkg was interrupted here ({', '.join(sorted(there.broken))}); set it right first")
    if not record:
        refusals += ports_in_use(wanted.ports, listening())
    enrolled = record.data.get("state") == "enrolled" and not missing
    return Plan(refusals, dict(changes.install), enrolled, bool(record) and not enrolled)


def not_fit() -> list[str]:
    """Why this machine can be no host of a testbed."""
    found = []
    release = os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    if release.get("ID") != "debian":
        found.append(f"it runs {release.get('PRETTY_NAME', 'something unknown')}; allowed: Debian")
    if not Path("/run/systemd/system").is_dir():
        found.append("its PID 1 is not systemd")
    if os.geteuid() != 0:
        found.append("the login is not root's and does not become root; allowed: root, or become (sudo)")
    return found


def os_release(text: str) -> dict[str, str]:
    """Variables of an os-release file. Pure."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): "".join(shlex.split(value)) for name, value in pairs}


def foreign(testbed_id: str, record: Record) -> list[str]:
    """Why this host is another testbed's."""
    try:
        owner = enrolled_in()
    except NotEnrolled:
        owner = record.testbed_id
    if owner not in ("", testbed_id):
        return [f"it is enrolled in the testbed {owner!r}; release it there before it joins {testbed_id!r}"]
    if owner and not record:
        return [
            f"it is enrolled, and the record of what it was before, {record.path}, is missing: nobody could "
            "release it; foundation.testbed.enrolment with state=absent removes the marker"
        ]
    if record.data.get("state") == "releasing":
        return ["its release has begun and not ended; end it with playbooks/release.yml"]
    return []


def apt_refusals(changes: packages.Changes, why: Optional[str], remains: frozenset[str]) -> list[str]:
    """Why what is missing cannot be installed so that it can be taken away again without a trace. Pure."""
    found = [f"apt cannot install what is missing: {why}"] if why else []
    found += [
        f"apt would upgrade {name} from {old} to {new}, which nobody could put back; upgrade it first"
        for name, (old, new) in sorted(changes.upgrade.items())
    ]
    found += [f"apt would remove {name}" for name in sorted(changes.remove)]
    found += [
        f"the package {name} was removed here and its configuration kept, which nobody could put back; "
        f"purge it first (dpkg --purge {name})"
        for name in sorted(remains & set(changes.install))
    ]
    return found


def in_use(wanted: Wanted, known: Mapping[str, Any]) -> list[str]:
    """Which systems under test somebody uses here already; what the record knows is ours by now."""
    found = [
        f"the service {unit} runs here already; stop and disable it, or leave this host out"
        for unit in wanted.units
        if unit not in known.get("units", ())
        and ask("systemctl", "is-active", "--", unit).stdout.strip() in ("active", "activating", "reloading")
    ]
    for path in (Path(name) for name in wanted.data_paths if name not in known.get("paths", ())):
        inside = [entry for entry in files.below(path) if not entry.is_dir()]
        if inside:
            names = ", ".join(map(str, inside[:SHOWN_FILES]))
            found.append(f"{path} holds data of somebody's ({names}); move it away, or leave this host out")
    return found


def listening(proc: Path = Path("/proc/net")) -> set[int]:
    """TCP ports on which somebody listens."""
    tables = [proc / name for name in ("tcp", "tcp6")]
    return {
        port
        for table in tables
        if table.exists()
        for port in parse_listening(table.read_text(encoding="ascii"))
    }


def parse_listening(table: str) -> set[int]:
    """Local ports of the sockets that listen, out of /proc/net/tcp. Pure."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == "0A"}


def ports_in_use(ports: Mapping[str, int], taken: set[int]) -> list[str]:
    """Which ports of ours somebody else listens on. Pure."""
    return [
        f"somebody listens on port {port}, which {what} needs"
        for what, port in sorted(ports.items(), key=lambda item: item[1])
        if port in taken
    ]


def enrol(wanted: Wanted, record: Record, planned: Plan) -> None:
    """Take down what is, then install what is missing; goes on where an earlier call was interrupted."""
    if not record:
        record.begin(wanted.testbed_id)
    keep(wanted, record)
    if planned.install or record.window.exists():
        install(record, planned.install)
    record.data["state"] = "enrolled"
    record.save()


def keep(wanted: Wanted, record: Record) -> None:
    """Take down the units and paths that the roles are going to change."""
    for unit in wanted.units:
        record.data["units"].setdefault(unit, ask("systemctl", "is-enabled", "--", unit).stdout.strip())
    for path in (*wanted.config_paths, *wanted.data_paths):
        record.keep_path(Path(path))
    record.data["wanted"] = sorted({*record.data.get("wanted", ()), *wanted.all_packages})
    record.save()


def install(record: Record, names: Mapping[str, str]) -> None:
    """Install packages in a window, outside of this session; none of their services is started or enabled."""
    record.open_window(names)
    hold_services()
    try:
        packages.mend(record.data["installed"])
        apt("install", sorted(names))
        if units := record.newly_enabled():
            do("systemctl", "disable", "--quiet", "--", *units)
    finally:
        let_services_go()
        record.close_window()


def hold_services() -> None:
    """Have packages start nothing, unless the host's owner has said already what they may start."""
    if _policy_is_ours() or not os.path.lexists(POLICY):
        POLICY_ANSWER.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        POLICY_ANSWER.chmod(0o755)
        if not _policy_is_ours():
            POLICY.symlink_to(POLICY_ANSWER)


def let_services_go() -> None:
    """Take that back; does nothing where it is the owner's."""
    if _policy_is_ours():
        POLICY.unlink()
    POLICY_ANSWER.unlink(missing_ok=True)


def _policy_is_ours() -> bool:
    return POLICY.is_symlink() and POLICY.readlink() == POLICY_ANSWER


def apt(verb: str, names: Sequence[str]) -> None:
    """Run apt in a unit of its own, which a lost connection does not end; raises HostError."""
    await_apt()
    if not names:
        return
    ask("systemctl", "reset-failed", APT_UNIT)
    APT_LOG.unlink(missing_ok=True)
    options = ["--yes", *(("--no-remove",) if verb == "install" else ("--no-auto-remove",))]
    done = ask(
        "systemd-run",
        "--quiet",
        "--wait",
        "--collect",
        f"--unit={APT_UNIT}",
        f"--property=StandardOutput=file:{APT_LOG}",
        f"--property=StandardError=file:{APT_LOG}",
        f"--property=ExecStopPost=-/bin/rm -f {POLICY_ANSWER}",
        "--setenv=DEBIAN_FRONTEND=noninteractive",
        "--setenv=LC_ALL=C",
        "--",
        *packages.APT,
        *options,
        verb,
        *names,
        timeout_s=INSTALL_S,
    )
    said = APT_LOG.read_text(encoding="utf-8", errors="replace") if APT_LOG.exists() else done.stderr
    if done.returncode != 0:
        raise HostError(f"apt-get {verb} {' '.join(names)}: {last_words(said)}")
    APT_LOG.unlink(missing_ok=True)


def refresh() -> None:
    """Have apt ask the host's own mirrors what there is; raises HostError."""
    do(*packages.APT, "--quiet", "update")


def await_apt() -> None:
    """Wait for an apt of ours that an interrupted call has left running."""
    deadline_s = time.monotonic() + INSTALL_S
    while ask("systemctl", "is-active", APT_UNIT).stdout.strip() in ("active", "activating", "deactivating"):
        if time.monotonic() > deadline_s:
            raise HostError(f"{APT_UNIT} does not end; see {APT_LOG}")
        time.sleep(0.5)


def told(planned: Plan) -> dict[str, Any]:
    """Return the plan as a person and a playbook read it."""
    return {
        "refusals": list(planned.refusals),
        "packages": [f"{name} {version}".strip() for name, version in sorted(planned.install.items())],
        "python": sys.version.split()[0],
        "enrolled": planned.enrolled,
        "resumes": planned.resumes,
    }
