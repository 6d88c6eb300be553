# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Four nodes with foundation and mabeam, as their clients and agents see them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any, NamedTuple

from support import Lab

NODES = ("n1", "n2", "n3", "n4")
PORTS = {"foundation": 4100, "mabeam": 4200}
TIMEOUT_S = 35


def fresh(what: str) -> str:
    """Return a name that nothing has had."""
    return f"{what}-{uuid.uuid4().hex[:8]}"


class Answer(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: Any

    @property
    def kind(self) -> str:
        """The type of the problem that was answered."""
        return str(self.body["type"]).rsplit(":", 1)[-1]


class Services:
    """The services of one node, asked over the network from this machine."""

    def __init__(self, lab: Lab, node: str) -> None:
        self.lab, self.node = lab, node
        self._address = lab.variables(node)["ansible_host"]

    def ask(self, method: str, path: str, body: Any = None, service: str = "mabeam") -> Answer:
        """Send one request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        url = f"http://{self._address}:{PORTS[service]}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, json.loads(answer.read() or b"null"))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read()))

    def start_agents(self, *names: str, options: str = "") -> None:
        """Start agents of Coordination as processes of this node."""
        commands = [
            f"systemd-run --quiet --collect --unit=agent-{name} --setenv=PYTHONPATH=/opt/mabeam/mabeam.zip "
            f"python3 -m mabeam_service.coordination.agent {name} {options}"
            for name in names
        ]
        self.lab.on(self.node, " && ".join(commands))

    def kill_agent(self, name: str) -> None:
        """Kill an agent as kill -9 does."""
        self.lab.on(self.node, f"systemctl kill --signal=KILL agent-{name}.service")

    def stop_agents(self) -> None:
        """End all agents of this node."""
        self.lab.on(self.node, "systemctl stop 'agent-*.service'")
