# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One scenario against the service foundation on an etcd of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from ansible_collections.foundation.testbed.tests.support.served import serving
from foundation_service import __main__ as service

LONGEST_S = 30.0


def served(scenario: Any, etcd: FakeEtcd | None = None, **settings: Any) -> Any:
    """Run `scenario(ask, etcd)` against a service that is well; return what it returns."""

    async def go() -> Any:
        store = FakeEtcd() if etcd is None else etcd.again()
        async with serving(service, store, **settings) as ask:
            return await asyncio.wait_for(scenario(ask, store), LONGEST_S)

    return asyncio.run(go())
