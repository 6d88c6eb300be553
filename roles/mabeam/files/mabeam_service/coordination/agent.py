# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An agent as a process of its own: keeps its lease alive, does steps of its groups, varies its use.

Usage: python3 -m mabeam_service.coordination.agent NAME [options]. Standard library only. It lives until it
is killed; when it is, its lease ends, and Coordination notices.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 3.0
Json = dict[str, Any]


class Refused(Exception):
    """The service answered with a problem."""

    def __init__(self, problem: Json) -> None:
        super().__init__(str(problem.get("detail")))
        self.kind = str(problem.get("type")).rsplit(":", 1)[-1]


class Service:
    """The service of one node."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/coordination"

    def ask(self, method: str, path: str, body: Json) -> Json:
        """Send one request, once; raises Refused, or OSError and ValueError where there was no answer."""
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                answer: Json = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as error:
            raise Refused(json.loads(error.read())) from None


class Agent:
    """One agent between its registration and its end."""

    def __init__(self, service: Service, name: str, available: bool) -> None:
        self._service, self._name, self._available = service, name, available
        self._lease: str | None = None
        self._done: dict[tuple[str, int, int], int] = {}

    def turn(self) -> None:
        """Register where that is to do, else keep the lease alive and do one step of everything."""
        path = f"/agents/{self._name}"
        if self._lease is None:
            self._lease = self._service.ask("PUT", path, {"available": self._available})["lease"]
            return
        try:
            duties = self._service.ask("POST", f"{path}/heartbeat", {"lease": self._lease})["assignments"]
        except Refused as refused:
            if refused.kind == "lease-not-found":
                self._lease = None
            raise
        for duty in duties:
            self._step(duty)

    def _step(self, duty: Json) -> None:
        slot = (duty["group"], duty["slot"], duty["token"])
        done = max(duty["done"], self._done.get(slot, 0))  # the node may not know yet of the latest report
        if done < duty["steps"]:
            path = f"/groups/{duty['group']}/slots/{duty['slot']}/reports"
            self._service.ask("POST", path, {"token": duty["token"], "done": done + 1})
            self._done[slot] = done + 1

    def use(self, allocation: str, resource: str, units: int) -> None:
        """Say how much of a resource is wanted from now on."""
        path = f"/allocations/{allocation}/usage/{self._name}"
        self._service.ask("PUT", path, {"demand": {resource: units}})


def main(arguments: list[str]) -> None:
    """Be an agent, without end."""
    parser = argparse.ArgumentParser(description="An agent of MABEAM's Coordination.")
    parser.add_argument("name")
    parser.add_argument("--url", default="http://127.0.0.1:4200", help="the service to ask")
    parser.add_argument(
        "--step-s", type=float, default=0.5, help="seconds that a step takes, below the lease's 2"
    )
    parser.add_argument("--reserved", action="store_true", help="replaces no other agent")
    parser.add_argument(
        "--use", nargs=3, metavar=("ALLOCATION", "RESOURCE", "MOST"), help="wants 1 to MOST units"
    )
    given = parser.parse_args(arguments)
    agent = Agent(Service(given.url), given.name, not given.reserved)
    turn = 0
    while True:
        began = time.monotonic()
        try:
            agent.turn()
            if given.use and turn % 4 == 0:
                allocation, resource, most = given.use
                agent.use(allocation, resource, 1 + (turn * 7 + len(given.name)) % int(most))
        except (Refused, OSError, ValueError) as error:
            print(f"{given.name}: {error}", file=sys.stderr, flush=True)
        turn += 1
        time.sleep(max(given.step_s - (time.monotonic() - began), 0.05))


if __name__ == "__main__":
    main(sys.argv[1:])
