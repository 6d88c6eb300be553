# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small Redfish service over TLS whose systems are real containers: what it is told happens to them."""

from __future__ import annotations

import base64
import http.server
import json
import re
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch

SYSTEMS = "/redfish/v1/Systems"
KINDS = ("On", "ForceOff")


class Machines:
    """The containers of a lab, as machines with a power button. `silent`: the service answers nobody."""

    def __init__(self, paths: LabPaths, names: list[str]):
        self.paths, self.names, self.silent = paths, names, False
        self.done: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._notes = {name: ContainerSwitch(paths, name).note() for name in names}

    def running(self, name: str) -> bool:
        return ContainerSwitch(self.paths, name).running()

    def reset(self, name: str, kind: str) -> None:
        with self._lock:
            self.done.append((name, kind))
            switch = ContainerSwitch(self.paths, name)
            if kind == "ForceOff":
                switch.cut()
            else:
                switch.on(self._notes[name])


class Handler(http.server.BaseHTTPRequestHandler):
    """What the service says; a class of its own for each service."""

    machines: Machines
    authorization: str

    def do_GET(self) -> None:
        if not self._let_in():
            return
        name = self.path.removeprefix(f"{SYSTEMS}/")
        if self.path == SYSTEMS:
            self._answer({"Members": [{"@odata.id": f"{SYSTEMS}/{one}"} for one in self.machines.names]})
        elif name in self.machines.names:
            self._answer(self._system(name))
        else:
            self.send_error(404)

    def _system(self, name: str) -> dict[str, Any]:
        target = f"{SYSTEMS}/{name}/Actions/ComputerSystem.Reset"
        reset = {"target": target, "ResetType@Redfish.AllowableValues": list(KINDS)}
        power = "On" if self.machines.running(name) else "Off"
        return {"Id": name, "PowerState": power, "Actions": {"#ComputerSystem.Reset": reset}}

    def do_POST(self) -> None:
        if not self._let_in():
            return
        asked = re.fullmatch(rf"{SYSTEMS}/([^/]+)/Actions/ComputerSystem\.Reset", self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked is None or asked[1] not in self.machines.names or body.get("ResetType") not in KINDS:
            self.send_error(400)
            return
        self.machines.reset(asked[1], body["ResetType"])
        self._answer({})

    def _let_in(self) -> bool:
        if self.machines.silent:
            self.close_connection = True
            return False
        if self.headers["Authorization"] != self.authorization:
            self.send_error(401)
            return False
        return True

    def _answer(self, said: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


def make_certificate(folder: Path, address: str) -> None:
    """Write `key.pem` and `cert.pem` for an address."""
    said = ("-subj", "/CN=emulator", "-addext", f"subjectAltName=IP:{address}")
    files = ("-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem")
    kind = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run(["openssl", "req", *kind, *said, *files], check=True, capture_output=True)


class Emulator:
    """The service, while it is entered."""

    def __init__(self, machines: Machines, address: str, folder: Path, user: str, password: str):
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        own = type("OneHandler", (Handler,), {"machines": machines, "authorization": f"Basic {secret}"})
        self.server = http.server.ThreadingHTTPServer((address, 0), own)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Emulator:
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
