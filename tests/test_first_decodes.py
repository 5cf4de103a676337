"""Threads that are the first to read a class from JSON, all at once: msgspec alone crashes the process then."""

import subprocess
import sys
from pathlib import Path

import pytest

_FIRST = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

{setup}
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)

def read():
    together.wait()
    return {read}

with ThreadPoolExecutor(8) as pool:
    assert len([one.result() for one in [pool.submit(read) for _ in range(8)]]) == 8
"""

_SIDECAR = """
from ropeway import index
from ropeway_shardgen import sidecar
import msgspec
summary = sidecar.ShardSummary(name="a.tar", split="train", bytes=1, samples=1, sha256="0" * 64, parts=(), skipped={})
written = msgspec.json.encode(summary)
sidecar.index.decode = lambda data, url: Rows
class Rows:
    class schema: metadata = {b"ropeway.shard": written}
    replace_schema_metadata = staticmethod(lambda _: None)
class Store:
    url = "memory://"
    load = staticmethod(lambda path: (b"", ""))
"""
_ANSWER = """
from ropeway import service
from ropeway.described import DatasetInfo
"""


@pytest.mark.parametrize(
    ("setup", "read"),
    [
        (_SIDECAR, "sidecar.read(Store, 'a.parquet')"),
        (_ANSWER, "service._decoder(list[DatasetInfo]).decode(b'[]')"),
    ],
    ids=["sidecars", "answers of a service"],
)
def test_threads_may_be_the_first_to_decode_a_class(setup: str, read: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _FIRST.format(setup=setup, read=read)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
