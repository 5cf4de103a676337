"""Gathering rows from anywhere in memory, and buffers that come back by themselves."""

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ropeway import buffers
from ropeway.buffers import GATHERED, Pool, address, copied, gather, move, small_pages
from ropeway.samples import Bytes


@given(
    st.integers(1, 700), st.one_of(st.integers(1, 5000), st.sampled_from([GATHERED - 1, GATHERED])), st.integers(0, 9)
)
def test_gathered_rows_are_those_at_the_addresses(count: int, size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    buffers = [generator.integers(0, 256, 3 * size + 17, dtype=np.uint8) for _ in range(3)]
    which, starts = generator.integers(0, 3, count), generator.integers(0, 2 * size + 17, count)
    addresses = np.array([address(buffers[n]) + int(at) for n, at in zip(which, starts, strict=True)])
    expected = np.stack([buffers[n][at : at + size] for n, at in zip(which, starts, strict=True)])
    assert np.array_equal(gather(addresses, size), expected)
    into = np.zeros(count * size, np.uint8)
    move(addresses, size, into)
    assert np.array_equal(into.reshape(count, size), expected)


def test_large_rows_are_moved_whole() -> None:
    source = np.random.default_rng(0).integers(0, 256, (5, GATHERED + 1000), dtype=np.uint8)
    into = np.zeros(3 * source.shape[1], np.uint8)
    move(np.array([address(source[n]) for n in (4, 0, 4)]), source.shape[1], into)
    assert np.array_equal(into.reshape(3, -1), source[[4, 0, 4]])


def test_gathering_nothing_is_nothing() -> None:
    assert gather(np.empty(0, np.int64), 12).shape == (0, 12)


def test_a_copy_outlives_its_source() -> None:
    source = np.arange(100, dtype=np.uint8)
    copy = copied(address(source), 100)
    source[:] = 0
    assert np.array_equal(copy, np.arange(100))


VIEWS: dict[str, Callable[[Bytes], object]] = {
    "array": lambda buffer: buffer,
    "part": lambda buffer: buffer[5:].view(np.int8).reshape(-1, 5),
    "memoryview": lambda buffer: buffer.data,
    "tensor": lambda buffer: torch.from_numpy(buffer)[10:20],
}


@pytest.mark.parametrize("kept", VIEWS)
def test_a_buffer_comes_back_when_nobody_refers_to_it(kept: str) -> None:
    pool = Pool(keep=1 << 20)
    buffer = pool.take(10_000)
    place = address(buffer)
    holder: object = VIEWS[kept](buffer)
    del buffer
    assert address(pool.take(10_000)) != place
    del holder
    gc.collect()
    assert place in {address(buffer) for buffer in [pool.take(9_900) for _ in range(2)]}  # a near size will do


def test_a_buffer_comes_back_though_the_program_is_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(keep=1 << 20)
    buffer = pool.take(4096)
    for name in [name for name in vars(buffers) if not name.startswith("__")]:  # as the interpreter does at its end
        monkeypatch.setattr(buffers, name, None)
    del buffer
    assert (pool.idle, pool.lent) == (4096, 0)


def test_idle_buffers_are_kept_within_the_bound() -> None:
    pool = Pool(keep=1 << 20)
    many = [pool.take(1 << 18) for _ in range(10)]
    del many
    assert 0 < pool.idle <= 1 << 20


def test_what_was_needed_once_is_kept_and_no_more() -> None:
    pool = Pool(keep=None, make=small_pages)
    many = [pool.take(2 << 20) for _ in range(10)]
    del many
    assert pool.idle == 20 << 20
    several = [pool.take(3 << 20) for _ in range(4)]
    assert pool.idle <= 8 << 20
    assert all(len(buffer) == 3 << 20 and not buffer.any() for buffer in several)
    del several
    assert pool.idle <= 20 << 20


def test_no_two_threads_hold_one_buffer() -> None:
    pool = Pool(keep=1 << 20)
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(300):
            mine = pool.take(4096)
            mine[:] = mark
            if not (mine == mark).all():
                wrong.append(mark)
            del mine

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
