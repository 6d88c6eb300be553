# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as its owner knows it, as JSON, to be the same after a release; runs on the host.

Not looked at, as it changes by itself or tells what happened: logs, caches of apt, and dpkg's and apt's own
books, whose content is asked of dpkg and apt instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
from pathlib import Path

FOLDERS = ("/etc", "/var/lib", "/usr/local", "/usr/sbin", "/root", "/home", "/opt", "/srv")
RESTLESS = re.compile(
    r"^(/var/lib/(dpkg|apt)(/|$)|/var/lib/systemd/(timers|random-seed|timesync|catalog)|/etc/\.updated|/etc/\.pwd\.lock"
    r"|/root/\.bash_history|/root/\.ansible/tmp/)"
)


def said(*command: str) -> list[str]:
    """Lines of a command's output, sorted."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    return sorted(line.rstrip() for line in done.stdout.splitlines() if line.strip())


def described(path: Path) -> str:
    """Kind, mode, owner, group, and content or target of a file."""
    status = path.lstat()
    text = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{text} -> {path.readlink()}"
    if stat.S_ISREG(status.st_mode):
        return f"{text} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return text


def files() -> dict[str, str]:
    """Every file and folder below the folders that count."""
    return {
        str(path): described(path)
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*"))
        if not RESTLESS.match(str(path))
    }


def listening() -> list[str]:
    """TCP and UDP sockets that wait for somebody, and whose they are."""
    found = (line.split() for line in said("ss", "-Hltunp"))
    return sorted(f"{row[0]} {row[4]} {re.sub(r'pid=[0-9]+,fd=[0-9]+', '', row[-1])}" for row in found)


STATE = {
    "packages": said("dpkg-query", "-W", "-f", "${binary:Package} ${Version} ${db:Status-Abbrev}\n"),
    "asked for": said("apt-mark", "showmanual"),
    "unit files": said("systemctl", "list-unit-files", "--no-legend", "--no-pager"),
    "services": said(
        *("systemctl", "list-units", "--type=service,socket,timer"),
        *("--state=active,failed", "--no-legend", "--plain"),
    ),
    "users": said("getent", "passwd"),
    "groups": said("getent", "group"),
    "listening": listening(),
    "run": sorted(str(path) for path in Path("/run").glob("foundation-testbed*")),
    "log": sorted(str(path) for path in Path("/var/log").iterdir()),
    "files": files(),
}

if __name__ == "__main__":
    print(json.dumps(STATE))
