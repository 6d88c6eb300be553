# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The feed: readers that go on from where they were miss nothing and see nothing twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from ansible_collections.foundation.testbed.tests.support.fake_etcd import FakeEtcd
from hypothesis import given
from hypothesis import strategies as st
from testbed_service.batch import create, remove, request
from testbed_service.feed import Change, Changes, Feed, Gone

GROUPS = st.lists(st.integers(1, 4), max_size=20)


def anything(_change):
    return True


def filled(sizes, kept):
    changes, everything = Changes(kept), []
    changes.begin(10)
    for number, size in enumerate(sizes, 11):
        group = [Change(number, f"k{i}", None, None) for i in range(size)]
        everything += group
        for change in group:
            changes.add(change)
    return changes, everything


@given(GROUPS, st.integers(1, 5))
def test_reading_on_gives_everything_once_in_order(sizes, limit):
    changes, everything = filled(sizes, kept=1000)
    found, after = [], 10
    while after is not None:
        part, after = changes.after(found[-1].revision if found else 10, anything, limit)
        found += part
    assert found == everything


@given(GROUPS, st.integers(1, 6), st.integers(8, 40))
def test_what_is_no_longer_kept_is_gone_and_never_left_out(sizes, kept, after):
    changes, everything = filled(sizes, kept)
    if after < changes.floor:
        with pytest.raises(Gone) as gone:
            changes.after(after, anything, 1000)
        assert gone.value.oldest == changes.floor
    else:
        assert changes.after(after, anything, 1000)[0] == [one for one in everything if one.revision > after]


async def written(etcd, operation):
    await etcd.ask("/v3/kv/txn", request([operation])[0], 1.0, True)


def following(scenario, **settings):
    async def go():
        etcd = FakeEtcd()
        await written(etcd, create("/f/old", "0"))
        feed = Feed(etcd, "/f/", **settings)
        task = asyncio.ensure_future(feed.follow())
        try:
            return await asyncio.wait_for(scenario(etcd, feed), 10)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return asyncio.run(go())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_the_view_follows_and_a_waiting_reader_is_woken():
    async def scenario(etcd, feed):
        await until(lambda: "/f/old" in feed.view)
        waiting = asyncio.ensure_future(feed.after(feed.revision, anything, 10, 5.0))
        await asyncio.sleep(0.01)
        await written(etcd, create("/f/new", "1"))
        found, reached = await waiting
        assert [(one.key, one.now.value) for one in found] == [("/f/new", "1")] and reached == etcd.revision
        await written(etcd, remove("/f/new"))
        found, _ = await feed.after(reached, anything, 10, 5.0)
        assert found[0].now is None and found[0].before.value == "1" and set(feed.view) == {"/f/old"}
        return await feed.after(etcd.revision, anything, 10, 0.01)

    assert following(scenario) == ([], 4)


@pytest.mark.parametrize("turns", range(5))
def test_a_reader_that_is_told_to_end_with_the_news_ends(turns):
    """Else a service that is busy would not stop: its background work would wait for the next news."""

    async def scenario(etcd, feed):
        async def reading():
            while True:
                await feed.after(feed.revision, anything, 10, 30.0)

        await until(lambda: "/f/old" in feed.view)
        reader = asyncio.ensure_future(reading())
        await asyncio.sleep(0.05)
        feed._tell()
        for _ in range(turns):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader], timeout=1.0)
        assert reader.cancelled()

    following(scenario)


def test_a_stream_that_breaks_goes_on_where_it_was():
    async def scenario(etcd, feed):
        await until(lambda: feed.view)
        start = feed.revision
        etcd.cut()
        for i in range(3):
            await written(etcd, create(f"/f/{i}", "v"))
        await until(lambda: len(feed.view) == 4)
        return [one.key for one in (await feed.after(start, anything, 10, 0))[0]]

    assert following(scenario) == ["/f/0", "/f/1", "/f/2"]


def test_a_service_that_begins_anew_still_has_the_latest_changes():
    async def scenario(etcd, feed):
        await until(lambda: feed.view)
        for i in range(5):
            await written(etcd, create(f"/f/{i}", "v"))
        other = Feed(etcd, "/f/", kept=3)
        task = asyncio.ensure_future(other.follow())
        await until(lambda: other.revision == feed.revision == etcd.revision)
        task.cancel()
        assert other.view == feed.view
        with pytest.raises(Gone):
            await other.after(etcd.revision - 4, anything, 10, 0)
        return [one.key for one in (await other.after(etcd.revision - 3, anything, 10, 0))[0]]

    assert following(scenario) == ["/f/2", "/f/3", "/f/4"]


def test_a_compacted_store_is_listed_anew_and_readers_are_told():
    async def scenario(etcd, feed):
        await until(lambda: feed.view)
        start = feed.revision
        etcd.cut()
        for i in range(3):
            await written(etcd, create(f"/f/{i}", "v"))
        etcd.compacted = etcd.revision - 1
        await until(lambda: len(feed.view) == 4)
        with pytest.raises(Gone) as gone:
            await feed.after(start, anything, 10, 0)
        return gone.value.oldest == etcd.revision == feed.revision

    assert following(scenario)
