# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releasing a host: everything as its record says that it was. Each step may be done again.

What somebody else has changed meanwhile stays as it is, and is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.heal import heal
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import STATE
from ansible_collections.foundation.testbed.plugins.module_utils.host import files, packages
from ansible_collections.foundation.testbed.plugins.module_utils.host.command import ask, do
from ansible_collections.foundation.testbed.plugins.module_utils.host.enrol import (
    apt,
    await_apt,
    let_services_go,
)
from ansible_collections.foundation.testbed.plugins.module_utils.host.record import (
    PLACES,
    Record,
    account_names,
    accounts,
    homes,
    own_files,
)

UNITS_DIR = Path("/etc/systemd/system")
OWN_UNITS = "foundation-testbed-*.service"
# The books of users: put back together or not at all.
BOOKS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid")

Entry = dict[str, Any]
# The words of `systemctl is-enabled` that one command makes true again.
VERBS = {"enabled": "enable", "disabled": "disable", "masked": "mask"}


def to_purge(record: Record, keep: Sequence[str]) -> list[str]:
    """Packages that the testbed has installed and that are still there, or whose configuration is."""
    return sorted(set(record.data["installed"]) & packages.present().names - set(keep))


def refusals(record: Record, purge: Sequence[str]) -> list[str]:
    """Why the packages cannot go: something that is not ours needs them."""
    if (
        not purge or packages.present().broken
    ):  # while dpkg is interrupted, nobody can have installed anything
        return []
    changes, why = packages.simulate("purge", purge, "--no-auto-remove")
    found = [f"apt cannot purge what the testbed installed: {why}"] if why else []
    strangers = sorted(set(changes.remove) - set(record.data["installed"]))
    return found + [
        f"{name}, which the testbed did not install, needs what it did; remove it, or keep its needs "
        "(lab_baremetal_keep_packages)"
        for name in strangers
    ]


def release(record: Record, keep: Sequence[str]) -> list[str]:
    """Put everything back; returns what somebody else has changed and what was therefore left."""
    await_apt()
    record.data["state"] = "releasing"
    record.save()
    packages.mend(record.data["installed"])
    heal()
    stop_units(record)
    record.close_window()
    let_services_go()
    apt("purge", to_purge(record, keep))
    put_back_paths(record)
    left = put_back_files(record)
    remove_appeared(record)
    put_back_marks(record)
    put_back_units(record)
    remove_own(record)
    return left


def stop_units(record: Record) -> None:
    """Stop the systems and our own services, and have no boot start them."""
    own = [path.name for path in UNITS_DIR.glob(OWN_UNITS)]
    ours = [*own, *record.data["units"]]
    known = [unit for unit in ours if ask("systemctl", "cat", "--", unit).returncode == 0]
    if known:
        do("systemctl", "stop", "--", *known)
        started = [unit for unit in known if record.data["units"].get(unit) != "enabled"]
        ask("systemctl", "disable", "--quiet", "--", *started)
        ask("systemctl", "reset-failed", "--", *known)
    for path in [*UNITS_DIR.glob(OWN_UNITS), *UNITS_DIR.glob(f"*.wants/{OWN_UNITS}")]:
        path.unlink()
    do("systemctl", "daemon-reload")


def put_back_paths(record: Record) -> None:
    """Make configuration and data of the systems what they were before the roles changed them."""
    for name, was in record.data["paths"].items():
        now = files.manifest(Path(name))
        for path in files.topmost(set(now) - set(was)):
            files.remove(Path(path))
        for path, entry in was.items():
            if files.entry_of(Path(path)) != entry:
                files.put_back(Path(path), entry, record.kept)
        remove_empty_parents(Path(name), record)


def remove_empty_parents(path: Path, record: Record) -> None:
    """Remove folders that were made for a path that was not there before."""
    appeared = {
        *record.data["appeared"],
        *(name for name, (was, _) in record.data["files"].items() if was is None),
    }
    for parent in path.parents:
        if str(parent) not in appeared or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()


def put_back_files(record: Record) -> list[str]:
    """Put back what the installations changed in /etc, unless somebody has changed it since."""
    pairs = {path: (was, now) for path, (was, now) in record.data["files"].items()}
    books = {path: pair for path, pair in pairs.items() if path.rstrip("-") in BOOKS}
    pairs = {path: pair for path, pair in pairs.items() if path not in books}
    if all(book_is_ours(record, path) for path in books if path in BOOKS):
        left = []
        for path, (was, _now) in books.items():
            put_back_or_remove(record, Path(path), was)
    else:
        left = remove_accounts(record)
    for path, (was, now) in sorted(pairs.items(), key=lambda item: item[0], reverse=True):
        found = files.entry_of(Path(path))
        if found == was:
            continue
        if was is None:
            left += remove_new(Path(path), found, now)
        elif found is None or found == now:
            files.put_back(Path(path), was, record.kept)
        else:
            left.append(f"{path}: changed by somebody since; left as it is")
    return left


def book_is_ours(record: Record, path: str) -> bool:
    """Whether a book of users says what it said before, but for those that our packages made."""
    made = {name for names in record.data["accounts"].values() for name in names}
    kept = record.kept / files.kept_name(path)
    before = kept.read_text(encoding="utf-8") if kept.exists() else ""
    now = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
    return without_accounts(now, made) == without_accounts(before, made)


def without_accounts(book: str, names: set[str]) -> list[str]:
    """Lines of a book but for those of some users or groups. Pure."""
    return [line for line in book.splitlines() if not names.intersection(account_names(line))]


def put_back_or_remove(record: Record, path: Path, was: Optional[Entry]) -> None:
    """Make a path what it was, which may be nothing."""
    if was is None:
        files.remove(path)
    elif files.entry_of(path) != was:
        files.put_back(path, was, record.kept)


def remove_new(path: Path, found: Optional[Entry], now: Optional[Entry]) -> list[str]:
    """Remove a file that an installation made and that a purge has left; a folder only when it is empty."""
    if found is None:
        return []
    if found["kind"] == "folder":
        with contextlib.suppress(OSError):
            path.rmdir()
            return []
        return [f"{path}: holds files of somebody's; left as it is"]
    if found == now:
        path.unlink()
        return []
    return [f"{path}: changed by somebody since; left as it is"]


def remove_accounts(record: Record) -> list[str]:
    """Remove the users and groups that our packages made, one by one, where the books have changed since."""
    present = accounts()
    for book, command in (("/etc/passwd", "userdel"), ("/etc/group", "groupdel")):
        for name in set(record.data["accounts"].get(book, ())) & set(present[book]):
            ask(command, name)
    return ["users and groups: changed by somebody since; only those of the testbed's packages were removed"]


def remove_appeared(record: Record) -> None:
    """Remove what the installations made elsewhere and the purge has left."""
    for name in files.topmost(record.data["appeared"]):
        if any(name.startswith(f"{place}/") for place in PLACES):
            files.remove(Path(name))


def put_back_marks(record: Record) -> None:
    """Have apt take for automatic again what roles have asked for by name."""
    asked = packages.manual() - set(record.data["manual"])
    automatic = sorted(asked & set(record.data["packages"]) & set(record.data.get("wanted", [])))
    if automatic:
        do("apt-mark", "auto", *automatic)


def put_back_units(record: Record) -> None:
    """Enable, disable or mask the systems' services that were there before, as they were."""
    do("systemctl", "daemon-reload")
    for unit, was in record.data["units"].items():
        now = ask("systemctl", "is-enabled", "--", unit).stdout.strip()
        if was in VERBS and now not in ("", "not-found", was):
            if now == "masked":
                do("systemctl", "unmask", "--quiet", "--", unit)
            do("systemctl", VERBS[was], "--quiet", "--", unit)


def remove_own(record: Record) -> None:
    """Remove what is the testbed's own, the record last."""
    for home in homes():
        if str(home) not in record.data["ansible"]:
            for folder in (home / ".ansible" / "tmp", home / ".ansible"):
                with contextlib.suppress(OSError):
                    folder.rmdir()
    for path in own_files():
        if str(path) not in record.data["own"]:
            files.remove(path)
    for path in STATE.iterdir():
        if path != record.folder:
            files.remove(path)
    for path in record.folder.iterdir():
        if path != record.path:
            files.remove(path)
    record.path.unlink()
    remove_remains(record)


def remove_remains(record: Record) -> bool:
    """Remove folders that a begin or an end without a record leaves; tells whether there were any."""
    if not record.folder.is_dir():
        return False
    files.remove(record.folder)
    with contextlib.suppress(OSError):
        STATE.rmdir()
    return True
