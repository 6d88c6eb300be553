# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put the parts of a service together: what every service has beside its own operations."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from testbed_service.contract import Contract, merged
from testbed_service.etcd import Gateway, Indeterminate, Refused
from testbed_service.events import Publisher
from testbed_service.feed import Feed
from testbed_service.metrics import Metrics
from testbed_service.mode import Limits
from testbed_service.problems import Problem
from testbed_service.serve import Service
from testbed_service.store import NoMajority, Store
from testbed_service.web import Answer, Arguments, Handler, application

COMMON = files("testbed_service") / "openapi.yml"


def described(*parts: Traversable) -> Contract:
    """Return the contract that the parts, and what every service has, make together."""
    return Contract(merged([yaml.safe_load(part.read_text(encoding="utf-8")) for part in (*parts, COMMON)]))


class Base:
    """What the operations of a service work with: its settings, its store, and its view of what is stored."""

    def __init__(
        self,
        service: str,
        settings: dict[str, Any],
        gateway: Gateway,
        prefix: str,
        leaves_out: Callable[[int], bool] | None = None,
    ) -> None:
        """Make it; `prefix` is what the keys begin with that the view follows, `leaves_out` the feed's."""
        self.settings, self.metrics = settings, Metrics(service)
        limits = Limits(settings["detect_s"], settings["safe_s"])
        self.store = Store(gateway, settings["timeout_s"], limits, self.metrics.batch)
        self.feed = Feed(gateway, prefix, leaves_out=leaves_out)
        self.publisher = Publisher(service, settings["node"])

    def faulty(self, bug: str) -> bool:
        """Whether a bug was planted."""
        return bug in self.settings["faulty"]

    async def status(self, _arguments: Arguments) -> Answer:
        """Return mode, and how far this node's view has come."""
        age_s = self.store.majority_age_s
        return Answer(
            200,
            {
                "node": self.settings["node"],
                "version": self.settings["version"],
                "mode": self.store.mode,
                "majority_age_s": None if age_s is None else round(age_s, 3),
                "revision": self.feed.revision,
                "faulty": self.settings["faulty"],
            },
        )

    async def shown_metrics(self, _arguments: Arguments) -> Answer:
        """Return the metrics."""
        return Answer(200, self.metrics.text(self.store, self.feed))

    def service(
        self,
        contract: Contract,
        handlers: Mapping[str, Handler],
        background: list[Coroutine[Any, Any, None]],
        check_answers: bool,
    ) -> Service:
        """Return the service; with `check_answers` an answer that breaks the contract is an error."""

        async def description(_arguments: Arguments) -> Answer:
            return Answer(200, contract.document)

        own = {"readStatus": self.status, "readDescription": description, "readMetrics": self.shown_metrics}
        faces = {name: with_outcome(handler) for name, handler in {**handlers, **own}.items()}
        app = application(contract, faces, self.metrics.request, check_answers)
        own_work = [self.store.watch_majority(), self.feed.follow(), self.publisher.go_on(self.store.gateway)]
        return Service(app, [*own_work, *background])


def with_outcome(handler: Handler) -> Handler:
    """Say in problems what the store did not do, or may have done."""

    async def answered(arguments: Arguments) -> Answer:
        try:
            return await handler(arguments)
        except NoMajority as error:
            raise Problem("no-majority", f"this node is in {error}", mode=str(error)) from None
        except Refused as error:
            raise Problem("unavailable", f"the store: {error}") from None
        except Indeterminate as error:
            raise Problem("indeterminate", f"the store: {error}") from None

    return answered
