# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import time
from types import ModuleType

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load.main import run_load
from ansible_collections.foundation.testbed.tests.support import services
from load_support import Records, make_program

services.on_path()


@pytest.fixture
def run(tmp_path):
    """Run a program against a client class in this process."""

    def call(client: type, **changes) -> Records:
        module = ModuleType("fake")
        module.Client = client
        assert run_load(make_program(**changes), time.time_ns() + 50_000_000, str(tmp_path), module) == 0
        return Records(tmp_path)

    return call
