# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics of a service, for Prometheus."""

from __future__ import annotations

import gc
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from testbed_service.feed import Feed
from testbed_service.mode import MODES
from testbed_service.store import Store

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 100)


class Metrics:
    """Counts what a service does; names begin with the service's own."""

    def __init__(self, service: str) -> None:
        own = self._registry = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter(
            f"{service}_requests", "Requests answered", ["operation", "status"], registry=own
        )
        self._seconds = Histogram(
            f"{service}_request_seconds", "Time to answer", ["operation"], registry=own, buckets=SECONDS
        )
        self._batch = Histogram(
            f"{service}_batch_operations", "Operations in one transaction", registry=own, buckets=SIZES
        )
        self._batch_seconds = Histogram(
            f"{service}_batch_seconds", "Time of one transaction", registry=own, buckets=SECONDS
        )
        self._mode = Gauge(f"{service}_mode", "1 for the mode of this node", ["mode"], registry=own)
        self._revision = Gauge(f"{service}_view_revision", "Revision that the local view has", registry=own)
        self._gc = Counter(f"{service}_gc_seconds", "Time of garbage collection", registry=own)
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._gc_began = 0.0
        gc.callbacks.append(self._collecting)

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        known = self._known.get((operation, status))
        if known is None:
            known = self._requests.labels(operation, status), self._seconds.labels(operation)
            self._known[operation, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def batch(self, operations: int, seconds: float) -> None:
        """Count one transaction."""
        self._batch.observe(operations)
        self._batch_seconds.observe(seconds)

    def text(self, store: Store, feed: Feed) -> bytes:
        """Return everything as Prometheus wants it."""
        self._look(store, feed)
        text: bytes = generate_latest(self._registry)
        return text

    def current(self, store: Store, feed: Feed) -> list[dict[str, Any]]:
        """Return the same as plain values, with the labels that a value has."""
        self._look(store, feed)
        return [
            {
                "name": family.name,
                "type": family.type,
                "about": family.documentation,
                "samples": [
                    {"name": sample.name, "labels": dict(sample.labels), "value": float(sample.value)}
                    for sample in family.samples
                ],
            }
            for family in self._registry.collect()
        ]

    def _look(self, store: Store, feed: Feed) -> None:
        now = store.mode
        for mode in MODES:
            self._mode.labels(mode).set(mode == now)
        self._revision.set(feed.revision)

    def _collecting(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self._gc.inc(time.perf_counter() - self._gc_began)
