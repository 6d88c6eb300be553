# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a host as they are, what differs between two moments, and how one is put back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

# What is known of one file: kind, mode, owner, group and, by kind, digest or target.
Entry = dict[str, Any]
Manifest = dict[str, Entry]


def entry_of(path: Path) -> Optional[Entry]:
    """What is known of a file, None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    entry: Entry = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
    if stat.S_ISLNK(status.st_mode):
        return {**entry, "kind": "link", "target": str(path.readlink())}
    if stat.S_ISDIR(status.st_mode):
        return {**entry, "kind": "folder"}
    if not stat.S_ISREG(status.st_mode):
        return {**entry, "kind": "other"}
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return {**entry, "kind": "file", "digest": digest.hexdigest()}


def below(root: Path, depth: Optional[int] = None) -> Iterator[Path]:
    """Every path below a folder, parents first, at most so deep; links are not followed."""
    with contextlib.suppress(OSError):
        for path in sorted(Path(root).iterdir()):
            yield path
            if (depth is None or depth > 1) and path.is_dir() and not path.is_symlink():
                yield from below(path, None if depth is None else depth - 1)


def manifest(root: Path) -> Manifest:
    """What is known of a path and of everything below it."""
    entries = {str(path): entry_of(path) for path in [root, *below(root)]}
    return {path: entry for path, entry in entries.items() if entry is not None}


def names(roots: Mapping[str, int]) -> list[str]:
    """Paths below each folder, at most so deep as is said for it."""
    return sorted({str(path) for root, depth in roots.items() for path in below(Path(root), depth)})


def differing(before: Manifest, after: Manifest) -> dict[str, tuple[Optional[Entry], Optional[Entry]]]:
    """Each path that is not as it was, with what it was and what it is. Pure."""
    return {
        path: (before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    }


def topmost(paths: Iterable[str]) -> list[str]:
    """Paths without those that lie below another of them. Pure."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda one: one.split("/")):
        if not kept or not path.startswith(kept[-1].rstrip("/") + "/"):
            kept.append(path)
    return kept


def pack(root: Path, archive: Path) -> None:
    """Keep a folder with everything in it, readable for root alone."""
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(root, arcname=str(root).lstrip("/"), recursive=True, filter=_without_sockets)
        file.flush()
        os.fsync(file.fileno())


def _without_sockets(info: tarfile.TarInfo) -> Optional[tarfile.TarInfo]:
    return info if info.isfile() or info.isdir() or info.issym() or info.islnk() else None


def unpack(archive: Path, paths: Iterable[str], to: Path) -> None:
    """Take the content of some files out of an archive, each into a file named by `kept_name`."""
    wanted = set(paths)
    with tarfile.open(archive) as tar:
        for path in sorted(wanted):
            with contextlib.suppress(KeyError):
                source = tar.extractfile(path.lstrip("/"))
                if source is not None:
                    descriptor = os.open(to / kept_name(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                    with source, os.fdopen(descriptor, "wb") as target:
                        shutil.copyfileobj(source, target)
                        target.flush()
                        os.fsync(target.fileno())


def kept_name(path: str) -> str:
    """Name of the file that keeps the content of a path. Pure."""
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def remove(path: Path) -> bool:
    """Remove a file or a folder with everything in it; returns whether there was one."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        return False
    return True


def put_back(path: Path, entry: Entry, kept: Path) -> None:
    """Make a path what it was, from the folder of kept contents; what stands in its way is removed."""
    now = entry_of(path)
    if now is not None and now["kind"] != entry["kind"]:
        remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry["kind"] == "link":
        fresh = path.with_name(f".{path.name}.foundation-testbed")
        remove(fresh)
        fresh.symlink_to(entry["target"])
        os.lchown(fresh, entry["uid"], entry["gid"])
        fresh.replace(path)
    elif entry["kind"] == "folder":
        path.mkdir(exist_ok=True)
        _own(path, entry)
    elif entry["kind"] == "file":
        fresh = path.with_name(f".{path.name}.foundation-testbed")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as target, (kept / kept_name(str(path))).open("rb") as source:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        _own(fresh, entry)
        fresh.replace(path)


def _own(path: Path, entry: Entry) -> None:
    os.chown(path, entry["uid"], entry["gid"])
    path.chmod(entry["mode"])
