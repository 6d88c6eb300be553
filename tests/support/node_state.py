# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything of a node that a fault could leave changed, as JSON; runs on the node, standard library only."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

# What changes by itself on a node that nobody touches.
RESTLESS_SYSCTLS = re.compile(
    r"fs\.(dentry-state|file-nr|inode-|aio-nr|quota)|kernel\.(random|ns_last_pid|pty\.nr)|net\.netfilter\.nf_conntrack"
    r"|\.(stable_secret|flush)|net\.ipv4\.tcp_fastopen_key|user\.|vm\.drop_caches"
)
RESTLESS_FILES = {"/etc/.updated", "/etc/.pwd.lock"}
PASSING_PROCESSES = {
    "sshd",
    "python3",
    "ps",
    "sh",
    "bash",
    "systemctl",
    "systemd-user-ru",
    "(sd-pam)",
    "agetty",
}


def said(*command: str) -> list[str]:
    """Lines of a command's output; a command that is not there says nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()


def without_counters(lines: list[str]) -> list[str]:
    """Rules without what they counted and without comments."""
    plain = (re.sub(r"packets \d+ bytes \d+|\[\d+:\d+\]|expires \S+", "", line) for line in lines)
    return [line.rstrip() for line in plain if not line.startswith("#")]


def processes() -> list[str]:
    """Names and stop states of what runs, without what comes and goes."""
    rows = [line.split(None, 1) for line in said("ps", "-eo", "state=,comm=")]
    return sorted(
        {
            f"{name} {'stopped' if state in 'Tt' else 'runs'}"
            for state, name in rows
            if name not in PASSING_PROCESSES and not name.startswith("kworker/")
        }
    )


def files(folder: str) -> list[str]:
    """Path, mode and content of every file below a folder."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink() and str(path) not in RESTLESS_FILES:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            found.append(f"{path} {path.stat().st_mode:o} {digest}")
    return found


def limits() -> list[str]:
    """Limits of PID 1 and of every service, as systemd holds them."""
    names = "--property=Id,MemoryMax,TasksMax,CPUQuotaPerSecUSec,LimitNOFILE,LimitNPROC,FreezerState"
    lines = said("systemctl", "show", "*.service", names)
    return [line for line in lines if not re.search(r"=(foundation-testbed-run|run-|user)", line)]


def disk() -> list[str]:
    """Folders in which a filler could lie."""
    return sorted(
        str(path)
        for folder in (
            "/var/lib/foundation-testbed",
            "/run/foundation-testbed",
            "/tmp",
            "/var/tmp",
            "/dev/shm",
        )
        for path in Path(folder).rglob("*")
        if path.is_file()
        and not str(path).startswith("/var/lib/foundation-testbed/runs")
        and "ansible" not in str(path)
    )


STATE = {
    "nft": without_counters(said("nft", "list", "ruleset")),
    "iptables": without_counters(said("iptables-save")),
    "qdiscs": [re.sub(r"refcnt \d+ ?", "", line) for line in said("tc", "qdisc", "show")],
    "filters": said("tc", "filter", "show", "dev", "host0"),
    "links": [re.sub(r"@if\d+", "", line.split()[0]) for line in said("ip", "-br", "link")],
    "routes": said("ip", "route", "show", "table", "all"),
    "rules": said("ip", "rule"),
    "sysctls": sorted(line for line in said("sysctl", "-a") if not RESTLESS_SYSCTLS.search(line)),
    "mounts": sorted(
        # overlayfs names its uuid only where it is mounted for the first time, though it keeps it
        re.sub(r" \d+ \d+$|,uuid=on\b", "", line)
        for line in Path("/proc/mounts").read_text().splitlines()
    ),
    "processes": processes(),
    "limits": limits(),
    "etc": files("/etc"),
    "srv": files("/srv"),
    "disk": disk(),
}

if __name__ == "__main__":
    print(json.dumps(STATE))
