# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host was before the testbed: kept on the host, before anything is changed, until all is put back.

An installation is a *window*: how /etc was right before it is kept with all contents; once it has ended, what
it changed goes into the record, with what was there before. A window that was left open, by a reboot or a
lost connection, is closed by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import read_json, write_json
from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import AGENT, ENROLMENT, STATE
from ansible_collections.foundation.testbed.plugins.module_utils.host import files, packages
from ansible_collections.foundation.testbed.plugins.module_utils.host.command import ask

BEFORE = STATE / "before"
ETC = Path("/etc")
# Where else maintainers' scripts make files that no package owns, and how deep they are looked for.
PLACES = {
    "/home": 1,
    "/opt": 1,
    "/srv": 1,
    "/usr/local": 2,
    "/var/cache": 1,
    "/var/lib": 1,
    "/var/lib/systemd": 4,
    "/var/log": 1,
    "/var/mail": 1,
    "/var/spool": 1,
}
# What is not put back by its bytes: our own, the books of dpkg and apt (their content is), what logs say.
NOT_OURS = (
    str(STATE),
    str(ENROLMENT.parent),
    "/etc/systemd/system/foundation-testbed-",
    "/usr/local/lib/foundation-testbed",
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/log/journal",
)

Entry = dict[str, Any]


class Record:
    """The record of one host, in a folder that root alone reads."""

    def __init__(self, folder: Path = BEFORE):
        self.folder = folder
        self.kept = folder / "files"
        self.path = folder / "record.json"
        self.window = folder / "window.json"
        self.archive = folder / "etc.tar"
        self.data: Entry = dict(read_json(self.path) or {})

    def __bool__(self) -> bool:
        return bool(self.data)

    @property
    def testbed_id(self) -> str:
        """The testbed that this host belongs to, or has not yet left."""
        return str(self.data.get("testbed_id", ""))

    def begin(self, testbed_id: str) -> None:
        """Take down what is there before anything is changed."""
        self.kept.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.data = {
            "testbed_id": testbed_id,
            "state": "enrolling",
            "packages": dict(packages.present().whole),
            "manual": sorted(packages.manual()),
            "own": [str(path) for path in own_files()],
            "ansible": [str(home) for home in homes() if (home / ".ansible").exists()],
            "installed": [],
            "units": {},
            "paths": {},
            "files": {},
            "appeared": [],
            "accounts": {},
        }
        self.save()

    def save(self) -> None:
        """Force the record to the disk."""
        write_json(self.path, self.data, durable=True)

    def open_window(self, install: Iterable[str]) -> None:
        """Keep /etc and the names of files as they are; afterwards these packages may be installed."""
        if not self.window.exists():
            files.pack(ETC, self.archive)
            seen = {
                "etc": files.manifest(ETC),
                "names": files.names(PLACES),
                "enabled": enabled_units(),
                "accounts": accounts(),
            }
            write_json(self.window, seen, durable=True)
        self.data["installed"] = sorted({*self.data["installed"], *install} - set(self.data["packages"]))
        self.save()

    def close_window(self) -> None:
        """Take down what has changed since the window was opened; does nothing where none is open."""
        seen = read_json(self.window)
        if seen is None:
            return
        changed = {
            path: pair
            for path, pair in files.differing(seen["etc"], files.manifest(ETC)).items()
            if not path.startswith(NOT_OURS)
        }
        files.unpack(
            self.archive,
            [path for path, (was, _) in changed.items() if was and path not in self.data["files"]],
            self.kept,
        )
        self.data.update(
            files=merged(self.data["files"], changed),
            appeared=sorted({*self.data["appeared"], *_appeared(seen["names"], files.names(PLACES))}),
            accounts={
                book: sorted({*self.data["accounts"].get(book, ()), *found} - set(seen["accounts"][book]))
                for book, found in accounts().items()
            },
        )
        self.save()
        self.window.unlink()
        self.archive.unlink(missing_ok=True)

    def newly_enabled(self) -> list[str]:
        """Units that are enabled now and were not when the window was opened."""
        seen = read_json(self.window)
        return [] if seen is None else sorted(set(enabled_units()) - set(seen["enabled"]))

    def keep_path(self, path: Path) -> None:
        """Keep a file or a folder, with everything in it, that a role is going to change."""
        if str(path) in self.data["paths"]:
            return
        entries = files.manifest(path)
        for name, entry in entries.items():
            if entry["kind"] == "file":
                (self.kept / files.kept_name(name)).write_bytes(Path(name).read_bytes())
                (self.kept / files.kept_name(name)).chmod(0o600)
        self.data["paths"][str(path)] = entries


def merged(
    known: dict[str, list[Optional[Entry]]], changed: dict[str, tuple[Optional[Entry], Optional[Entry]]]
) -> dict[str, list[Optional[Entry]]]:
    """Changes of a window beside those of earlier ones: the first "before" stays, the last "after" counts."""
    fresh = {path: [known[path][0] if path in known else was, now] for path, (was, now) in changed.items()}
    return {**known, **fresh}


def _appeared(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return [path for path in files.topmost(set(after) - set(before)) if not path.startswith(NOT_OURS)]


def account_names(book: str) -> list[str]:
    """Names in a book of users or groups. Pure."""
    return [line.split(":", 1)[0] for line in book.splitlines() if ":" in line]


def accounts() -> dict[str, list[str]]:
    """Users and groups of this host, by the book they stand in."""
    books = ("/etc/passwd", "/etc/group")
    return {book: account_names(Path(book).read_text(encoding="utf-8")) for book in books}


def enabled_units() -> list[str]:
    """Unit files that a boot, or something that comes by, starts."""
    done = ask("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager", "--plain")
    return sorted(line.split()[0] for line in done.stdout.splitlines() if line.strip())


def own_files() -> list[Path]:
    """What bears the testbed's name: its folders, what is in the one of /etc, and what its services left."""
    inside = sorted(ENROLMENT.parent.iterdir()) if ENROLMENT.parent.is_dir() else []
    folders = [AGENT.parent, *STATE.parent.glob(f"{STATE.name}-*"), *Path("/run").glob(f"{STATE.name}*")]
    return [path for path in [*inside, ENROLMENT.parent, *folders] if path.exists()]


def homes() -> list[Path]:
    """Home folders in which Ansible may have left its folder of temporary files."""
    return [Path("/root"), *sorted(path for path in Path("/home").glob("*") if path.is_dir())]
