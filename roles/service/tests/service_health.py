# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the health checks of the testbed's own services share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

NODES_SEE_IT_S = 10.0
ASK = (
    "import json, sys, urllib.request as u, urllib.error as e\n"
    "url, method, body = sys.argv[1:]\n"
    "r = u.Request(url, body.encode() or None, "
    "{'Content-Type': 'application/json'} if body else {}, method=method)\n"
    "try: a = u.urlopen(r, timeout=5)\n"
    "except e.HTTPError as error: a = error\n"
    "print(json.dumps([a.status, json.loads(a.read() or b'null')]))"
)


class Service:
    """The service of a node, a testinfra host, asked at the node itself."""

    def __init__(self, host: Any, name: str, port: int) -> None:
        self._host, self._name, self._url = host, name, f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: Any = None) -> list[Any]:
        """Return status and answer of a request."""
        said = "" if body is None else json.dumps(body)
        answer = self._host.check_output("python3 -c %s %s %s %s", ASK, self._url + path, method, said)
        return list(json.loads(answer))

    def ask_until(self, path: str, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Return the first answer that is enough, or the last within the time that nodes have to see it."""
        end = time.monotonic() + NODES_SEE_IT_S
        while not enough(answer := self.ask("GET", path)) and time.monotonic() < end:
            time.sleep(0.2)
        return answer

    def check_unit(self) -> None:
        """Check that systemd runs it, would restart it, and not as root."""
        show = f"systemctl show {self._name}.service"
        answer = self._host.check_output(f"{show} --property=ActiveState,Restart,UnitFileState,DynamicUser")
        assert set(answer.split()) == {
            *("ActiveState=active", "Restart=always", "UnitFileState=enabled", "DynamicUser=yes")
        }
        pid = self._host.check_output(f"{show} --property=MainPID --value")
        assert int(self._host.check_output(f"stat -c %u /proc/{pid}")) != 0
