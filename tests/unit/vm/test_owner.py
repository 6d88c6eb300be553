# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab is changed and removed by the provider that made it, and by no other."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.lab import owner
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.paths import LabPaths


@pytest.mark.parametrize(
    ("written", "nodes", "allowed"),
    [
        (None, [], {"container", "vm"}),
        (None, ["n1"], {"container"}),
        ("vm", ["n1"], {"vm"}),
        ("vm", [], {"vm"}),
    ],
)
def test_only_who_made_it_may_touch_it(tmp_path, written, nodes, allowed):
    paths = LabPaths(tmp_path, "lab")
    for name in nodes:
        paths.node(name).home.mkdir(parents=True)
    if written:
        owner.write(paths, written)
    for provider in ("container", "vm"):
        if provider in allowed:
            owner.require(paths, provider)
        else:
            with pytest.raises(LabError, match=f"provider: given {provider}, but the lab lab has nodes"):
                owner.require(paths, provider)
