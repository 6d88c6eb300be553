# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cloud-init in a machine with an image of the user's own is told at its first boot (NoCloud)."""

from __future__ import annotations

import base64
import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import run

# Where the machine says how its first boot ended: "ok", or what failed.
OUTCOME = "/var/lib/foundation-testbed/first-boot"
_SCRIPT = "/usr/local/sbin/foundation-testbed-first-boot"
# cloud-init places these by itself
_BY_CLOUD_INIT = ("etc/hostname", "root/.ssh/authorized_keys")

Files = Mapping[str, tuple[str, int]]


def first_boot(packages: Sequence[str], masked: Sequence[str]) -> str:
    """Return the script that installs what is missing, starts none of it, and says how that went. Pure."""
    names = " ".join(shlex.quote(name) for name in sorted(set(packages)))
    units = " ".join(shlex.quote(unit) for unit in masked)
    return f"""#!/bin/sh
# Packages that the image lacks; services of them are not started, as their roles do that.
mkdir -p {Path(OUTCOME).parent}
exec > /run/foundation-testbed-first-boot.log 2>&1
systemctl mask --now {units}
missing=
for name in {names}; do
  dpkg-query --show --showformat='${{db:Status-Status}}' "$name" 2> /dev/null | grep -qx installed \\
    || missing="$missing $name"
done
outcome=ok
if [ -n "$missing" ]; then
  export DEBIAN_FRONTEND=noninteractive
  printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
  mkdir -p /etc/systemd/system-preset
  echo 'disable *' > /etc/systemd/system-preset/00-foundation-testbed.preset
  options='-o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o DPkg::Lock::Timeout=120'
  {{ apt-get $options -q update && apt-get $options -y -q --no-install-recommends install $missing; }} \\
    || outcome="packages cannot be installed:$missing: $(tail -n 1 /run/foundation-testbed-first-boot.log)"
  rm -f /usr/sbin/policy-rc.d /etc/systemd/system-preset/00-foundation-testbed.preset
fi
echo "$outcome" > {OUTCOME}.new && mv {OUTCOME}.new {OUTCOME}
"""


def user_data(
    name: str,
    files: Files,
    script: str,
    authorized_key: str,
    host_key: tuple[str, str],
) -> str:
    """Return who the machine is; `host_key` is its private and its public half. Pure."""
    written = {**files, _SCRIPT.lstrip("/"): (script, 0o755)}
    told: dict[str, Any] = {
        "hostname": name,
        "manage_etc_hosts": False,
        "preserve_hostname": False,
        "disable_root": False,
        "ssh_pwauth": False,
        "users": [{"name": "root", "lock_passwd": False}],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key[0], "ed25519_public": host_key[1]},
        "ssh_authorized_keys": authorized_key.split("\n"),
        "write_files": [
            {
                "path": f"/{path}",
                "encoding": "b64",
                "content": base64.b64encode(text.encode()).decode(),
                "permissions": f"{mode:04o}",
            }
            for path, (text, mode) in sorted(written.items())
            if path not in _BY_CLOUD_INIT
        ],
        "runcmd": [[_SCRIPT]],
    }
    # JSON of ASCII is YAML, and needs no library
    return "#cloud-config\n" + json.dumps(told, indent=1, sort_keys=True) + "\n"


def meta_data(instance: str, name: str) -> str:
    """Return which machine this is: another instance has a first boot of its own. Pure."""
    return json.dumps({"instance-id": instance, "local-hostname": name}) + "\n"


def network_config(mac: str, address: str, gateway: Optional[str], nameservers: Sequence[str]) -> str:
    """Return the address of the link with this hardware address; `address` has its prefix. Pure."""
    link: dict[str, Any] = {"match": {"macaddress": mac}, "addresses": [address], "dhcp4": False}
    if gateway:
        link["routes"] = [{"to": "0.0.0.0/0", "via": gateway}]
    if nameservers:
        link["nameservers"] = {"addresses": list(nameservers)}
    return json.dumps({"version": 2, "ethernets": {"testbed": link}}) + "\n"


def write(target: Path, texts: Mapping[str, str]) -> None:
    """Write the disk that cloud-init looks for; it holds a private key. Raises LabError."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        run(["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(target), folder])
