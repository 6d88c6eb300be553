# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that names are resolved by, covered by others from memory for as long as a fault tells so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_all

TRACE_PREFIX = "foundation_testbed_name_service_"
# What is left where the mount is there and no record says whose it is.
MOUNT_TRACE = f"{TRACE_PREFIX}mount"
FOLDER = Path("/run/foundation-testbed/name_service")
HOSTS, RESOLVER = Path("/etc/hosts"), Path("/etc/resolv.conf")
# 192.0.2.0/24 is kept for documentation: no server answers there.
DEAD_RESOLVER = "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n"

Told = Mapping[str, Optional[str]]


def without(line: str, names: Iterable[str]) -> str:
    """Return a line of a hosts file without some names; nothing where no name is left."""
    entry, mark, comment = line.partition("#")
    parts = entry.split()
    lowered = {name.lower() for name in names}
    kept = [part for part in parts[1:] if part.lower() not in lowered]
    if len(kept) == len(parts[1:]):
        return line
    return " ".join([parts[0], *kept]) + (f" {mark}{comment}" if mark else "") if kept else ""


def compose(base: str, told: Sequence[Told]) -> str:
    """Return a hosts file in which names are what the faults say, later ones above earlier ones. Pure."""
    answers: dict[str, Optional[str]] = {}
    for one in told:
        answers.update({name.lower(): address for name, address in one.items()})
    lines = [without(line, answers) if line.strip() else line for line in base.splitlines()]
    kept = [line for line, before in zip(lines, base.splitlines()) if line or not before]
    wrong = [f"{address} {name}" for name, address in answers.items() if address is not None]
    return "".join(f"{line}\n" for line in [*wrong, *kept])


def record_path(trace: str) -> Path:
    """Return where what one fault tells is written down."""
    return FOLDER / f"{trace}.json"


def records() -> list[dict[str, Any]]:
    """What is active here, in the order in which it began."""
    return sorted(read_all(FOLDER, f"{TRACE_PREFIX}*.json"), key=lambda record: int(record["since_ns"]))


def _ours(path: Path) -> Path:
    return FOLDER / path.name


def covered(path: Path) -> bool:
    """Whether our own file is what is seen at a path."""
    top = mounts.on_top(mounts.mounts(), str(path.resolve()))
    return (
        top is not None
        and re.search(f"/name_service/{re.escape(path.name)}(//deleted)?$", top.root) is not None
    )


def base() -> str:
    """Return the hosts file as it is without us."""
    kept = FOLDER / "hosts.before"
    return (kept if kept.exists() and covered(HOSTS) else HOSTS).read_text(encoding="utf-8")


def shown(trace: str, dns: bool) -> bool:
    """Whether the record of a fault is there, and what all tell is what is seen at the files' places."""
    with mounts.alone_in(FOLDER):
        told = records()
        wanted = compose(base(), [record["names"] for record in told])
        return (
            any(record["trace"] == trace for record in told)
            and covered(HOSTS)
            and HOSTS.read_text(encoding="utf-8").rstrip("\n") == wanted.rstrip("\n")
            and (not dns or covered(RESOLVER))
        )


def traces() -> list[str]:
    """Return the name of every record, or that of mounts which no record accounts for."""
    told = records()
    if not told and (covered(HOSTS) or covered(RESOLVER)):
        return [MOUNT_TRACE]
    return [record["trace"] for record in told]


def bring_about() -> None:
    """Bring about what the records say; the caller is alone in the folder."""
    told, before = records(), base()
    if told and not covered(HOSTS):
        (FOLDER / "hosts.before").write_text(before, encoding="utf-8")
    _cover(HOSTS, compose(before, [record["names"] for record in told]) if told else None)
    _cover(RESOLVER, DEAD_RESOLVER if any(record["dns"] for record in told) else None)
    if not told:
        (FOLDER / "hosts.before").unlink(missing_ok=True)


def _cover(path: Path, content: Optional[str]) -> None:
    """Have a path show this content, or itself again where there is none."""
    ours, is_covered = _ours(path), covered(path)
    if content is not None:
        _overwrite(ours, content)
        if not is_covered:
            mounts.bind(str(ours), str(path.resolve()))
        return
    if is_covered:
        mounts.unmount(str(path.resolve()))
    elif any(_is_ours(mount, path) for mount in mounts.mounts()):
        raise RuntimeError(f"somebody else has mounted something over our {path}: take that away first")
    ours.unlink(missing_ok=True)


def _is_ours(mount: mounts.Mount, path: Path) -> bool:
    return mount.point == str(path.resolve()) and "/name_service/" in mount.root


def _overwrite(path: Path, content: str) -> None:
    """Write over a file that may be mounted, in one piece and never shorter: no reader sees half of it."""
    data = content.encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.fchmod(handle, 0o644)
        size = os.fstat(handle).st_size
        os.pwrite(handle, data.ljust(size, b"\n"), 0)
    finally:
        os.close(handle)
