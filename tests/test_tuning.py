"""Requests are as large and as many as the network and the memory ask for, and no more."""

from math import ceil
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packed
import ropeway
from benchmarks.inside import Noted, Notes
from ropeway.plan import MAX_REQUEST
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import open_store
from ropeway.tuning import MIN_REQUEST, MOST, OBJECT_STORE, Network, Tuning, suggest
from ropeway.view import View

GIB = 1 << 30

networks = st.builds(Network, st.floats(1e-5, 0.5), st.floats(1e6, 2e9), st.floats(1e6, 1e11))


def test_large_ranges_of_an_object_store_go_by_large_parts() -> None:
    assert suggest(256 << 20, memory=GIB) == Tuning(part=MAX_REQUEST, requests=16)


@pytest.mark.parametrize(
    ("samples", "shape", "largest"), [(1700, (12, 1000), 2 * MAX_REQUEST), (24, (8, 128, 1024), MAX_REQUEST)]
)
def test_a_view_that_is_needed_whole_at_once_comes_in_larger_requests(
    samples: int, shape: tuple[int, ...], largest: int
) -> None:
    url = f"memory://needed-{samples}"
    packed.publish(open_store(url), samples=samples, per_shard=samples, shape=shape)
    view, notes = ropeway.connect(url).query(), Notes()
    loader = ropeway.NumpyLoader(View(view.info, Noted(view.source, notes)), 8, parts=["x"], tail="pad")
    assert sum(len(batch["x"]) for batch in loader) >= samples
    sizes = [stop - start for _, start, stop in notes.ranges]
    assert largest // 2 < max(sizes) <= largest
    assert sum(sizes) <= 1.05 * view.bytes


@pytest.mark.parametrize("requests", [1, 3])
def test_as_many_ranges_are_under_way_as_asked_for(requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = StoreBytes.read

    def late(reader: StoreBytes, shard: int, start: int, stop: int) -> memoryview:
        sleep(0.005)
        return genuine(reader, shard, start, stop)

    monkeypatch.setattr(StoreBytes, "read", late)
    url = f"memory://bounded-{requests}"
    packed.publish(open_store(url), samples=64, per_shard=8, shape=(8, 1024))
    view, notes = ropeway.connect(url).query(), Notes()
    noted = View(view.info, Noted(view.source, notes))
    loader = ropeway.NumpyLoader(noted, 8, parts=["x"], requests=requests, request_bytes=20_000)
    assert sum(len(batch["x"]) for batch in loader) == 64
    assert notes.most == requests
    assert len(notes.ranges) == 64  # a sample of 16 KB is never cut


def test_small_ranges_far_away_take_many_requests() -> None:
    assert suggest(256 << 10, memory=GIB).requests == MOST


def test_a_near_server_takes_few() -> None:
    near = Network(latency=0.001, stream=500e6, bandwidth=1e9)
    assert suggest(8 << 20, memory=GIB, network=near).requests == 3


def test_little_memory_makes_parts_smaller_rather_than_connections_fewer() -> None:
    little = suggest(256 << 20, memory=64 << 20)
    assert MIN_REQUEST <= little.part < MAX_REQUEST
    assert little.requests >= ceil(OBJECT_STORE.bandwidth / OBJECT_STORE.stream)


@given(st.integers(1, GIB), st.integers(1, 8 * GIB), networks)
def test_bounds_are_kept_and_the_bandwidth_is_reached_where_they_allow(
    size: int, memory: int, network: Network
) -> None:
    tuning = suggest(size, memory=memory, network=network)
    asked = min(size, tuning.part)
    assert MIN_REQUEST <= tuning.part <= MAX_REQUEST
    assert 1 <= tuning.requests <= MOST
    assert tuning.requests == 1 or tuning.requests * asked <= memory // 2
    reached = tuning.requests * asked / (network.latency + asked / network.stream)
    bounded = tuning.requests == MOST or (tuning.requests + 1) * asked > memory // 2
    assert bounded or reached >= 0.999 * network.bandwidth


@given(st.integers(1, GIB), networks, st.floats(1, 10))
def test_distance_takes_more_requests(size: int, network: Network, factor: float) -> None:
    further = Network(network.latency * factor, network.stream, network.bandwidth)
    near = suggest(size, memory=GIB, network=network)
    assert suggest(size, memory=GIB, network=further).requests >= near.requests
