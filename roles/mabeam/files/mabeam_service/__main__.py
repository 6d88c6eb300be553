# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service mabeam: put its parts together, and serve them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from mabeam_service.coordination import assembly as coordination
from mabeam_service.economics import assembly as economics
from mabeam_service.part import Part
from testbed_service.assembly import Base, described
from testbed_service.contract import Contract
from testbed_service.etcd import Gateway
from testbed_service.serve import Service, main

PREFIX = "/mabeam/"
HERE = files("mabeam_service")
PARTS: dict[str, Callable[[Base], Part]] = {"coordination": coordination.make, "economics": economics.make}
"""By the name of the folder that has its description, in one file or several."""
FAULTY = (coordination.TWO_COORDINATORS, economics.PAYMENT_RETRIED_WITHOUT_KEY)
"""Bugs that can be planted, so that tests can prove that they would be found."""


def description() -> Contract:
    """Return the contract of all parts."""
    of_parts = [each for name in PARTS for each in (HERE / name).iterdir() if each.name.endswith(".yml")]
    return described(HERE / "openapi.yml", *of_parts)


def build(settings: dict[str, Any], gateway: Gateway, check_answers: bool = False) -> Service:
    """Return the service; with `check_answers` an answer that breaks the contract is an error."""
    base = Base("mabeam", settings, gateway, PREFIX)
    parts = [make(base) for make in PARTS.values()]
    handlers = {name: handler for part in parts for name, handler in part.handlers.items()}
    background = [each for part in parts for each in part.background]
    return base.service(description(), handlers, background, check_answers)


if __name__ == "__main__":
    sys.exit(main(build, sys.argv[1:]))
