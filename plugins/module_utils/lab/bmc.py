# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Management controllers: the power of a machine by Redfish or IPMI, whatever its own kernel does."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError

# Seconds that a management controller has to answer; they are slow machines.
ANSWER_S = 15.0
RESET = "#ComputerSystem.Reset"

Record = dict[str, Any]


class Redfish:
    """Power of one system behind a Redfish service; its certificate is always verified."""

    def __init__(self, said: Record):
        port = int(said.get("port") or 443)
        self.base = f"https://{said['address']}:{port}"
        self.system_id = said.get("system")
        secret = base64.b64encode(f"{said['user']}:{said['password']}".encode()).decode("ascii")
        self.headers = {
            "Authorization": f"Basic {secret}",
            "Accept": "application/json",
            "OData-Version": "4.0",
        }
        self.ca = said.get("ca")
        self._path: Optional[str] = None

    def running(self) -> bool:
        """Whether the system has power."""
        return self._system().get("PowerState") not in ("Off", "PoweringOff")

    def off(self) -> None:
        """Cut the power at once."""
        self._reset("ForceOff")

    def on(self) -> None:
        """Switch the power on."""
        self._reset("On")

    def _reset(self, kind: str) -> None:
        """Ask for a reset of a kind that the system knows; raises LabError."""
        action = self._system().get("Actions", {}).get(RESET, {})
        known = action.get("ResetType@Redfish.AllowableValues")
        if "target" not in action or (known is not None and kind not in known):
            shown = ", ".join(known or ()) or "none"
            raise LabError(f"the system at {self.base} cannot do {kind}; it offers {shown}")
        self._ask(action["target"], {"ResetType": kind})

    def _system(self) -> Record:
        if self._path is None:
            members = [str(one["@odata.id"]) for one in self._ask("/redfish/v1/Systems").get("Members", [])]
            self._path = chosen_system(members, self.system_id, self.base)
        return self._ask(self._path)

    def _ask(self, path: str, body: Optional[Record] = None) -> Record:
        if not path.startswith("/"):
            raise LabError(f"{self.base} names {path!r}, which is no path of its own")
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, **({"Content-Type": "application/json"} if data else {})}
        request = urllib.request.Request(self.base + path, data=data, headers=headers)
        try:
            with self._opener().open(request, timeout=ANSWER_S) as answer:
                text = answer.read()
            return dict(json.loads(text)) if text.strip() else {}
        except urllib.error.HTTPError as error:
            raise LabError(f"{self.base}{path}: {error.code} {error.reason}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise LabError(f"{self.base}{path}: {error}") from None

    def _opener(self) -> urllib.request.OpenerDirector:
        """Return what asks this service alone: by no proxy, and led to no other host by a redirection."""
        try:
            tls = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise LabError(f"power.ca: given {self.ca}, which cannot be read: {error}") from None
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        return urllib.request.build_opener(*handlers, _SameService(self.base))


class _SameService(urllib.request.HTTPRedirectHandler):
    """Follows no redirection to elsewhere: the password would go along."""

    def __init__(self, base: str):
        self.base = base

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(f"{self.base}/"):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def chosen_system(members: list[str], wanted: Optional[str], base: str) -> str:
    """Return the path of the wanted system, or of the only one; raises LabError. Pure."""
    names = {path.rstrip("/").rpartition("/")[2]: path for path in members}
    if wanted is None and len(names) == 1:
        return next(iter(names.values()))
    if wanted in names:
        return names[str(wanted)]
    raise LabError(
        f"power.system: given {wanted!r} for {base}; allowed: {', '.join(sorted(names)) or 'none'}"
    )


class Ipmi:
    """Power of a chassis by IPMI over LAN, with ipmitool; the password is never part of a command line."""

    def __init__(self, said: Record):
        end = ["-H", str(said["address"]), "-p", str(said.get("port") or 623), "-U", str(said["user"])]
        suite = ["-C", str(int(said["cipher_suite"]))] if said.get("cipher_suite") else []
        self.command = ["ipmitool", "-I", "lanplus", *end, *suite, "-E", "chassis", "power"]
        self.environment = {**os.environ, "IPMI_PASSWORD": str(said["password"])}

    def running(self) -> bool:
        """Whether the chassis has power."""
        return parse_status(self._do("status"))

    def off(self) -> None:
        """Cut the power at once."""
        self._do("off")

    def on(self) -> None:
        """Switch the power on."""
        self._do("on")

    def _do(self, verb: str) -> str:
        shown = " ".join([*self.command, verb])
        try:
            done = subprocess.run(
                [*self.command, verb],
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=ANSWER_S,
            )
        except FileNotFoundError:
            raise LabError("the command 'ipmitool' is not installed on the controller") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"{shown}: no end after {ANSWER_S:g} s") from None
        if done.returncode != 0:
            raise LabError(f"{shown}: {' '.join((done.stderr or done.stdout).split())}")
        return done.stdout


def parse_status(text: str) -> bool:
    """Whether `chassis power status` says that the power is on; raises LabError for anything else. Pure."""
    said = text.strip().lower()
    if said not in ("chassis power is on", "chassis power is off"):
        raise LabError(f"ipmitool says of the chassis power: {text.strip()!r}")
    return said.endswith("on")


CONTROLLERS: dict[str, Callable[[Record], Any]] = {"redfish": Redfish, "ipmi": Ipmi}
