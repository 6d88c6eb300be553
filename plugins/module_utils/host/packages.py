# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian packages of a host: what is there, what an installation and a purge would change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.foundation.testbed.plugins.module_utils.host.command import ask, do, last_words

# apt takes what is asked for and what that needs, waits for another apt, and keeps no downloads.
APT = (
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "APT::Install-Recommends=false",
    "-o",
    "APT::Keep-Downloaded-Packages=false",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "Dpkg::Options::=--force-confold",
)
_STEP = re.compile(r"^(Inst|Remv|Purg) (\S+)(?: \[([^\]]*)\])?(?: \((\S+)[^)]*\))?")


@dataclass(frozen=True)
class Changes:
    """What apt would do: versions to install by name, upgrades `(old, new)` by name, names to remove."""

    install: Mapping[str, str] = field(default_factory=dict)
    upgrade: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    remove: Sequence[str] = ()


def parse_simulation(text: str) -> Changes:
    """Changes out of what `apt-get --simulate` prints. Pure."""
    install: dict[str, str] = {}
    upgrade: dict[str, tuple[str, str]] = {}
    remove: list[str] = []
    for match in filter(None, map(_STEP.match, text.splitlines())):
        verb, name, old, new = match.groups()
        if verb != "Inst":
            remove.append(name)
        elif old:
            upgrade[name] = (old, new or "")
        else:
            install[name] = new or ""
    return Changes(install, upgrade, remove)


@dataclass(frozen=True)
class Present:
    """Packages of a host: versions of the whole, names of what is broken or has left its configuration."""

    whole: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    remains: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Every package of which anything is there."""
        return self.broken | self.remains | frozenset(self.whole)


def parse_packages(text: str) -> Present:
    """Packages out of what dpkg-query prints: name, version, state, tab between. Pure."""
    rows = [line.split("\t") for line in text.splitlines()]
    return Present(
        {name: version for name, version, state in rows if state == "installed"},
        frozenset(
            name for name, _, state in rows if state not in ("installed", "config-files", "not-installed")
        ),
        frozenset(name for name, _, state in rows if state == "config-files"),
    )


def present() -> Present:
    """Return the packages of this host; a foreign architecture is part of a name."""
    form = "${binary:Package}\t${Version}\t${db:Status-Status}\n"
    native = do("dpkg", "--print-architecture").strip()
    return parse_packages(do("dpkg-query", "--show", f"--showformat={form}").replace(f":{native}\t", "\t"))


def manual() -> set[str]:
    """Names of packages that somebody asked for, as apt has them."""
    return set(do("apt-mark", "showmanual").split())


def simulate(verb: str, names: Iterable[str], *options: str) -> tuple[Changes, Optional[str]]:
    """Return what apt would do, and why it cannot where it cannot."""
    done = ask(*APT, "--simulate", *options, verb, *sorted(names))
    return parse_simulation(done.stdout), last_words(done.stderr) if done.returncode != 0 else None


def mend(ours: Iterable[str]) -> None:
    """Set right what an interrupted dpkg has left: purge what of ours is broken, configure the rest."""
    broken = sorted(present().broken & set(ours))
    if broken:
        do("dpkg", "--purge", "--force-remove-reinstreq", "--force-depends", *broken)
    if do("dpkg", "--audit").strip():
        do("dpkg", "--configure", "--pending")
