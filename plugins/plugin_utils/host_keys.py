# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host keys of machines that exist: known, vouched for by the inventory, or checked by nobody."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# Kinds of key, the one that is asked for first.
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclass(frozen=True)
class SshEnd:
    """Where ssh goes for one host, and the fingerprint that the inventory gives for it."""

    name: str
    address: str
    port: int
    fingerprint: str = ""

    @property
    def token(self) -> str:
        """Its name in a known_hosts file."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"


@dataclass(frozen=True)
class Key:
    """One public key as a host offers it."""

    kind: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """What ssh-keygen -l prints of it."""
        digest = hashlib.sha256(base64.b64decode(self.blob, validate=True)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    def line(self, end: SshEnd) -> str:
        """Return the line of a known_hosts file."""
        return f"{end.token} {self.kind} {self.blob}\n"


@dataclass
class Checked:
    """What became of each host: lines to add, keys that nobody has checked, and what is wrong."""

    lines: list[str] = field(default_factory=list)
    unknown: dict[str, Key] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def parse_scan(text: str) -> dict[str, list[Key]]:
    """Keys by the host's name in known_hosts, out of what ssh-keyscan prints. Pure."""
    found: dict[str, list[Key]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith("#") and words[1] in KINDS and _is_blob(words[2]):
            found.setdefault(words[0], []).append(Key(words[1], words[2]))
    return found


def _is_blob(word: str) -> bool:
    try:
        return bool(base64.b64decode(word, validate=True))
    except ValueError:
        return False


def check(
    ends: Iterable[SshEnd], known: set[str], scanned: Mapping[str, Sequence[Key]], accepted: set[str]
) -> Checked:
    """Decide on each host; `known` have a key already, `accepted` are fingerprints that a person compared.

    A key that the inventory's fingerprints do not name is never accepted, whoever says so. Pure.
    """
    checked = Checked()
    for end in ends:
        if end.name in known:
            continue
        offered = sorted(scanned.get(end.token, ()), key=lambda key: KINDS.index(key.kind))
        if not offered:
            checked.problems.append(
                f"{end.name}: no ssh server says its key at {end.token}, and known_hosts has no line for it"
            )
        elif end.fingerprint:
            matching = [key for key in offered if key.fingerprint == end.fingerprint]
            if matching:
                checked.lines.append(matching[0].line(end))
            else:
                shown = ", ".join(key.fingerprint for key in offered)
                checked.problems.append(
                    f"{end.name}: given host_key {end.fingerprint}; the host at {end.token} has "
                    f"{shown}: this is another machine, or somebody in between"
                )
        elif offered[0].fingerprint in accepted:
            checked.lines.append(offered[0].line(end))
        else:
            checked.unknown[end.name] = offered[0]
    return checked


def question(unknown: Mapping[str, Key], ends: Iterable[SshEnd]) -> str:
    """Return what a person is asked about keys that nobody has checked. Pure."""
    tokens = {end.name: end.token for end in ends}
    width = max(map(len, unknown), default=0)
    lines = [f"  {name:{width}} {tokens[name]} {key.kind} {key.fingerprint}" for name, key in unknown.items()]
    return (
        "Nobody has checked the keys of these hosts. Compare each with what the host says on its console\n"
        "(ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub):\n\n" + "\n".join(lines) + "\n\n"
        "Type yes if all of them are right"
    )


def unchecked(unknown: Mapping[str, Key], ends: Iterable[SshEnd]) -> list[str]:
    """Return what is wrong with keys that nobody has checked, one line for each. Pure."""
    tokens = {end.name: end.token for end in ends}
    return [
        f"{name}: nobody has checked the key of {tokens[name]} ({key.kind} {key.fingerprint}); put the "
        "fingerprint into cluster.yml (host_key), or its line into known_hosts, or answer yes when asked"
        for name, key in unknown.items()
    ]
