# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file that is cut short or has bits flipped, with a backup of what is lost, and its way back.

The backup is on the disk before the damage is done: the whole file with a checksum, or the bytes that are to
be flipped. The file is damaged and restored in place, as others may hold it open. Damage does not change the
file's time of modification, as a failing disk does not: so a later write shows.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent import mounts
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import (
    read_all,
    read_json,
    sync,
    write_json,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import STATE

BACKUPS = STATE / "backups"
COPY, ROOM = "copy", "room"
CHUNK = 2**18
# Bytes that stay free beside a backup.
MARGIN_BYTES = 64 * 2**20
# Bytes of what was cut that are compared to see whether it is back.
COMPARED_BYTES = 2**16

Meta = dict[str, Any]


def find_file(pattern: str) -> Path:
    """Return the one regular file that a path or pattern names, links resolved; raises ValueError."""
    found = [Path(pattern)] if Path(pattern).exists() else sorted(Path("/").glob(pattern[1:]))
    if len(found) != 1:
        some = ", ".join(map(str, found[:3]))
        what = f"matches {len(found)} files: {some}" if found else "matches no file"
        raise ValueError(f"{pattern} {what}; allowed: exactly one")
    path = found[0].resolve()
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is not a regular file")
    return path


def cut_to(size: int, program: dict[str, Any]) -> int:
    """Return the size that is left of a file: `size` bytes, or all but `bytes`."""
    return int(min(size, program["size"]) if "size" in program else max(0, size - program["bytes"]))


def draw_flips(size: int, bits: int, seed: int, taken: Iterable[int] = ()) -> dict[int, int]:
    """Return for each byte to damage, by offset, which bits change; drawn from the seed. Pure.

    No byte of `taken` is drawn; a file with too few bytes has fewer flipped.
    """
    draw, found, held = random.Random(seed), dict[int, int](), set(taken)
    for _ in range(bits * 8):
        bit = draw.randrange(size * 8)
        offset, mask = bit // 8, 1 << bit % 8
        if offset not in held and not found.get(offset, 0) & mask:
            found[offset] = found.get(offset, 0) | mask
        if sum(bin(mask).count("1") for mask in found.values()) == bits:
            break
    return found


def metas() -> list[Meta]:
    """What has been damaged on this node and is not yet restored."""
    return read_all(BACKUPS, "*/meta.json")


def holders(path: Path) -> list[Meta]:
    """What is damaged of one file."""
    return [meta for meta in metas() if meta["path"] == str(path)]


def obstacles(program: dict[str, Any]) -> list[str]:
    """Why the file cannot be damaged now; changes nothing."""
    try:
        path = find_file(program["file"])
    except (ValueError, OSError) as error:
        return [str(error)]
    size = path.stat().st_size
    if size == 0:
        return [f"{path} is empty: nothing can be cut or flipped"]
    if taken := _taken(path, program["action"]):
        return taken
    if program["action"] != "truncate":
        return []
    if size == cut_to(size, program):
        return [f"{path} has {size} bytes: nothing would be cut"]
    free = shutil.disk_usage(STATE if STATE.exists() else "/").free
    needed = 2 * path.stat().st_blocks * 512 + MARGIN_BYTES
    return (
        [] if free >= needed else [f"the backup of {path} needs {needed} bytes in {STATE}, {free} are free"]
    )


def _taken(path: Path, action: str) -> list[str]:
    """Why a file cannot be damaged beside what others have done to it: one alone cuts it short."""
    others = holders(path)
    if others and "truncate" in (action, *(other["action"] for other in others)):
        return [f"{path} is damaged by {others[0]['trace']} already, and one of both cuts it short"]
    return []


def damage(program: dict[str, Any], trace: str, extra: Meta) -> Meta:
    """Write the backup, durably, then damage the file; returns what was written down.

    Raises OSError, and RuntimeError where another run has damaged the file since this one was asked.
    """
    path = find_file(program["file"])
    with mounts.alone_in(BACKUPS):
        if taken := _taken(path, program["action"]):
            raise RuntimeError(taken[0])
        return _damage(path, program, trace, extra)


def _damage(path: Path, program: dict[str, Any], trace: str, extra: Meta) -> Meta:
    folder = _folder(trace)
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("r+b") as file:
        before = os.fstat(file.fileno())
        meta = {
            "trace": trace,
            "action": program["action"],
            "path": str(path),
            "inode": before.st_ino,
            "size": before.st_size,
            "mode": stat.S_IMODE(before.st_mode),
            "owner": [before.st_uid, before.st_gid],
            "times_ns": [before.st_atime_ns, before.st_mtime_ns],
            "restore": program.get("restore", "always"),
            **extra,
        }
        if program["action"] == "truncate":
            meta["cut"] = cut_to(before.st_size, program)
            meta["sha256"] = _back_up(file, meta["cut"], folder)
        else:
            taken = [int(offset) for other in holders(path) for offset, _, _ in other["flips"]]
            flips = draw_flips(before.st_size, program["bits"], program["seed"], taken)
            meta["flips"] = [
                [offset, was, was ^ mask]
                for offset, mask in flips.items()
                for was in _bytes_at(file, [offset])
            ]
        write_json(folder / "meta.json", meta, durable=True)
        sync(folder.parent)
        _do(file, meta)
        _as_before(file, meta)
    return meta


def _do(file: BinaryIO, meta: Meta) -> None:
    if meta["action"] == "truncate":
        os.ftruncate(file.fileno(), meta["cut"])
    else:
        for offset, _, damaged in meta["flips"]:
            os.pwrite(file.fileno(), bytes([damaged]), offset)
    os.fsync(file.fileno())


def _as_before(file: BinaryIO, meta: Meta) -> None:
    """Give a file its mode, owner and times again, as writing into it may take special bits away."""
    now = os.fstat(file.fileno())
    if [now.st_uid, now.st_gid] != meta["owner"]:
        os.fchown(file.fileno(), *meta["owner"])
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != meta["mode"]:
        os.fchmod(file.fileno(), meta["mode"])
    os.utime(file.fileno(), ns=(meta["times_ns"][0], meta["times_ns"][1]))


def _bytes_at(file: BinaryIO, offsets: Iterable[int]) -> list[int]:
    """Return the byte at each offset, -1 beyond the end."""
    found = (os.pread(file.fileno(), 1, offset) for offset in offsets)
    return [data[0] if data else -1 for data in found]


def _back_up(file: BinaryIO, cut: int, folder: Path) -> str:
    """Copy a file, and keep room on the disk for bringing back what is cut; returns the copy's checksum.

    What is all zeros takes no room in the copy: systems lay out log files long before they fill them.
    """
    digest, needed = hashlib.sha256(), 0
    with (folder / COPY).open("wb") as copy:
        os.fchmod(copy.fileno(), 0o600)
        for offset, data in _chunks(file):
            digest.update(data)
            if any(data):
                os.pwrite(copy.fileno(), data, offset)
                needed += len(data) if offset + len(data) > cut else 0
        os.ftruncate(copy.fileno(), os.fstat(file.fileno()).st_size)
        os.fsync(copy.fileno())
    if needed:
        with (folder / ROOM).open("wb") as room:
            os.posix_fallocate(room.fileno(), 0, needed)
    return digest.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Read a file from its beginning; each chunk with its offset."""
    offset = 0
    while data := os.pread(file.fileno(), CHUNK, offset):
        yield offset, data
        offset += len(data)


def untouched(now: os.stat_result, meta: Meta) -> bool:
    """Whether nobody has written to the file since it was damaged."""
    size = meta.get("cut", meta["size"])
    return bool(now.st_size == size and now.st_mtime_ns == meta["times_ns"][1])


def look(meta: Meta) -> dict[str, Any]:
    """Return how much of the damage is in the file right now, as a process sees it that opens it anew."""
    try:
        with Path(meta["path"]).open("rb") as file:
            now = os.fstat(file.fileno())
            if now.st_ino != meta["inode"]:
                return {"present": False, "replaced": True}
            if meta["action"] == "truncate":
                return {"present": _is_cut(file, meta), "size": {"before": meta["size"], "now": now.st_size}}
            held = _bytes_at(file, [offset for offset, _, _ in meta["flips"]])
    except FileNotFoundError:
        return {"present": False, "replaced": True}
    still = sum(byte == damaged for byte, (_, _, damaged) in zip(held, meta["flips"]))
    return {"present": still > 0, "bytes": {"damaged": len(held), "still": still}}


def _is_cut(file: BinaryIO, meta: Meta) -> bool:
    if os.fstat(file.fileno()).st_size < meta["size"]:
        return True
    compared = min(COMPARED_BYTES, meta["size"] - meta["cut"])
    copy = _folder(meta["trace"]) / COPY
    if not copy.exists():
        return False
    with copy.open("rb") as backup:
        was = os.pread(backup.fileno(), compared, meta["cut"])
        return os.pread(file.fileno(), compared, meta["cut"]) != was


def _folder(trace: str) -> Path:
    return BACKUPS / trace


def read_meta(trace: str) -> Optional[Meta]:
    """Return what was written down before a damage; None where none was done."""
    meta: Optional[Meta] = read_json(_folder(trace) / "meta.json")
    return meta


def restore(meta: Meta) -> None:
    """Take the damage back, in place; raises RuntimeError or OSError when it cannot.

    A file that was removed or replaced since is the system's own, and whole: it is left as it is.
    """
    folder, path = _folder(meta["trace"]), Path(meta["path"])
    if not path.exists():
        return
    with path.open("r+b") as file:
        now = os.fstat(file.fileno())
        if now.st_ino != meta["inode"]:
            return
        clean = untouched(now, meta)
        if meta["action"] == "bit_flip":
            _flip_back(file, meta)
        elif clean or meta["restore"] == "always":
            _put_back(file, meta, folder)
        os.fsync(file.fileno())
        if clean:
            _as_before(file, meta)


def _flip_back(file: BinaryIO, meta: Meta) -> None:
    """Give every byte that is still damaged its value again: what others have written since stays."""
    for offset, was, damaged in meta["flips"]:
        if _bytes_at(file, [offset]) == [damaged]:
            os.pwrite(file.fileno(), bytes([was]), offset)


def _put_back(file: BinaryIO, meta: Meta, folder: Path) -> None:
    """Make a file what it was, whatever others have written since; writes only what differs."""
    with (folder / COPY).open("rb") as copy:
        digest = hashlib.sha256()
        for _, data in _chunks(copy):
            digest.update(data)
        if digest.hexdigest() != meta["sha256"]:
            raise RuntimeError(f"the backup {folder / COPY} is not what was written: its checksum differs")
        (folder / ROOM).unlink(missing_ok=True)
        if os.fstat(file.fileno()).st_size != meta["size"]:
            os.ftruncate(file.fileno(), meta["size"])
        for offset, data in _chunks(copy):
            if os.pread(file.fileno(), len(data), offset) != data:
                os.pwrite(file.fileno(), data, offset)


def forget(trace: str) -> None:
    """Remove a backup that is needed no more."""
    shutil.rmtree(_folder(trace), ignore_errors=True)
