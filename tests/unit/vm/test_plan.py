# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What happens to machines that there are, compared with those that are wanted."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.foundation.testbed.plugins.module_utils.lab.cgroup import Limits
from ansible_collections.foundation.testbed.plugins.module_utils.lab.node import NodeSpec
from ansible_collections.foundation.testbed.plugins.module_utils.lab.vm import Present, plan, size_of
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("n1", "n2", "n3")


def spec(name, memory=384 * 2**20, address="10.77.30.11"):
    return NodeSpec(name, address, 24, "10.77.30.1", Limits(memory, 1.0, 0), ("/images/base",))


def there(made_from, running=True):
    return Present(made_from.identity(), size_of(made_from), running)


def test_what_is_as_wanted_is_left_alone():
    change = plan([spec("n1")], {"n1": there(spec("n1"))})
    assert not change.needed and not change.cut


def test_another_address_makes_it_anew():
    change = plan([spec("n1", address="10.77.30.99")], {"n1": there(spec("n1"))})
    assert (change.remove, change.create, change.cut, change.define) == (["n1"], ["n1"], ["n1"], ["n1"])


def test_another_size_keeps_its_disk_and_costs_a_power_cycle():
    change = plan([spec("n1", memory=2**30)], {"n1": there(spec("n1"))})
    assert (change.remove, change.create) == ([], [])
    assert (change.cut, change.define, change.start) == (["n1"], ["n1"], ["n1"])


def test_one_that_is_off_is_started_and_no_more():
    change = plan([spec("n1")], {"n1": there(spec("n1"), running=False)})
    assert (change.define, change.cut, change.start) == ([], [], ["n1"])


def test_a_half_made_one_is_made_anew():
    change = plan([spec("n1")], {"n1": Present(None, None, False)})
    assert (change.remove, change.create, change.start) == (["n1"], ["n1"], ["n1"])


machines = st.sampled_from(
    [None, there(spec("n1")), there(spec("n1"), running=False), Present(None, None, True)]
)


@given(st.dictionaries(st.sampled_from(NAMES), machines), st.sets(st.sampled_from(NAMES)))
def test_afterwards_just_those_that_are_wanted_run(found, wanted):
    """Carried out step by step, a plan ends with every wanted machine running, and no other there at all."""
    present = {
        name: replace(one, identity=one.identity and spec(name).identity())
        for name, one in found.items()
        if one is not None
    }
    change = plan([spec(name) for name in sorted(wanted)], present)
    running = {name for name, one in present.items() if one.running} - set(change.cut)
    assert not running & set(change.remove), "whoever is removed has lost its power before"
    known = set(present) - set(change.remove) | set(change.define)
    assert known == wanted
    assert running | set(change.start) == wanted
