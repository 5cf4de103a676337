"""A shard's file: what is written is what was given, and its hash is that of the bytes on the disk."""

import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway.stores import LocalStore, open_store
from ropeway_shardgen.hashed_file import BLOCK, HashedFile

SIZES = st.sampled_from([0, 1, 512, BLOCK // 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])


@given(st.lists(st.lists(SIZES, max_size=4), max_size=4))
def test_pieces_of_any_size_come_out_in_order_and_hashed(sizes: list[list[int]]) -> None:
    samples = [[bytes([n, m]) * (size // 2) + b"x" * (size % 2) for m, size in enumerate(own)]
               for n, own in enumerate(sizes)]  # fmt: skip
    store = open_store("memory://hashed-file")
    with store.writing("shard.tar") as plain, HashedFile(plain) as file:
        for pieces in samples:
            file.write(pieces)
        digest = file.hexdigest()
    content, _ = store.load("shard.tar")
    assert content == b"".join(piece for pieces in samples for piece in pieces)
    assert digest == hashlib.sha256(content).hexdigest()


def test_a_file_that_takes_no_more_ends_it_and_its_thread() -> None:
    full, large = Path("/dev/full"), b"x" * (BLOCK + 1)
    with pytest.raises(OSError, match="No space left"), full.open("wb", 0) as plain, HashedFile(plain) as file:
        file.write([large])
    assert not [thread for thread in threading.enumerate() if thread.name == "ropeway-hash"]


def test_a_large_object_of_a_directory_is_whole_though_it_is_written_out_early(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    piece = bytes(range(256)) * 4096
    with store.writing("a/large") as file:
        for number in range(21):
            file.write(piece)
            file.write(bytes([number]))
    content = (tmp_path / "a" / "large").read_bytes()
    assert content == b"".join(piece + bytes([number]) for number in range(21))
