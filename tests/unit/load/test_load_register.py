# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from itertools import combinations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.load.clients import numbering
from ansible_collections.foundation.testbed.plugins.module_utils.load.workloads.register import Register

MIX = {"read": 0.5, "write": 0.3, "cas": 0.2}


def values(program, count=500):
    workload = Register(MIX, *numbering(program))
    return {workload.prepare(n, "write", "k")[1] for n in range(count)}


def test_generators_never_collide_by_index():
    sets = [values({"index": i, "generators": 3}) for i in range(3)]
    assert all(len(s) == 500 for s in sets)
    assert not any(a & b for a, b in combinations(sets, 2))


def test_generators_never_collide_by_name():
    names = [f"observer{o}-{i}" for o in range(1, 9) for i in range(8)]
    sets = [values({"generator": name}) for name in names]
    assert not any(a & b for a, b in combinations(sets, 2))
    assert max(max(s) for s in sets) < 2**53


def test_cas_expects_what_was_last_known():
    workload = Register(MIX, 0, 1)
    f, first = workload.prepare(0, "cas", "k")
    assert f == "write"  # nothing is known yet
    workload.observe("write", "k", first, "ok")
    f, pair = workload.prepare(1, "cas", "k")
    assert (f, pair) == ("cas", [first, 2])
    workload.observe("cas", "k", pair, "ok")
    assert workload.prepare(2, "cas", "k")[1] == [2, 3]
    workload.observe("write", "k", 99, "info")
    assert workload.prepare(3, "cas", "k")[1] == [2, 4]
    workload.observe("read", "k", None, "ok")
    assert workload.prepare(4, "cas", "k") == ("write", 5)


def test_every_key_used_is_read_at_the_end():
    workload = Register(MIX, 0, 1)
    for number, key in enumerate(["b", "a", "b"]):
        workload.prepare(number, "read", key)
    assert workload.final_reads() == [("read", "b"), ("read", "a")]


def test_unknown_function():
    with pytest.raises(ValueError, match=r"\['append'\]; allowed are"):
        Register({"append": 1.0}, 0, 1)
