# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Systems under test: every role that carries a `system.yml` is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.system_options import Option
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import parse_model
from pydantic import BaseModel, ConfigDict, Field, model_validator

ROLES_DIR = Path(__file__).resolve().parents[2] / "roles"


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class Series(BaseModel):
    """One chart of a system: a PromQL expression, its title and its unit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    unit: str = ""
    query: str


class Metrics(BaseModel):
    """Where each node's member serves its metrics to Prometheus, and what is worth keeping of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    port: Annotated[int, Field(ge=1, le=65535)]
    path: Annotated[str, Field(pattern=r"^/")] = "/metrics"
    series: dict[Name, Series] = {}


class System(BaseModel):
    """What the testbed must know of a system to deploy and judge it (`roles/<system>/system.yml`)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    packages: list[str] = []
    observer_packages: list[str] = []
    units: list[str]
    log_paths: list[str] = []
    data_paths: list[str] = []
    config_paths: list[str] = []
    ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = {}
    workloads: list[str]
    states: list[str] = []
    metrics: Metrics | None = None
    options: dict[Name, Option] = {}

    @model_validator(mode="after")
    def _bound_to_options(self) -> System:
        for name, option in self.options.items():
            if option.at_least and option.at_least.option not in self.options:
                raise ValueError(
                    f"options.{name}.at_least.option: {not_allowed(option.at_least.option, self.options)}"
                )
        return self


def known_systems(roles_dir: Path = ROLES_DIR) -> dict[str, Path]:
    """Name of every system and the folder of its role."""
    return {path.parent.name: path.parent for path in sorted(roles_dir.glob("*/system.yml"))}


def read_system(name: str, roles_dir: Path = ROLES_DIR) -> System:
    """Return a system's description; raises InputError when it is wrong, KeyError when there is none."""
    path = known_systems(roles_dir)[name] / "system.yml"
    return parse_model(System, *read_source(path))
