"""What a loader holds stays within what it was allowed, measured by the operating system."""

import subprocess
import sys
from pathlib import Path

import pytest

import packed
import ropeway
import ropeway.budget
from ropeway.errors import UsageError
from ropeway.stores import open_store

pytestmark = pytest.mark.xdist_group("s3")

MIB = 1 << 20

JOB = """
import sys
import torch
import ropeway
from ropeway.order import Shuffled

def resident(field):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(field))

memory, open_bytes = int(sys.argv[2]), int(sys.argv[3])
view = ropeway.connect(sys.argv[1]).query()
order = Shuffled(lanes=8, open_bytes=open_bytes)
def loader(view):
    return ropeway.StreamingLoader(view, 16, parts=["x"], memory=memory, order=order, threads=2, requests=8)
next(iter(loader(view.limit(16))))  # what is imported and allocated once is none of the loader's
before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak is measured from here on
count = sum(len(batch["x"]) for batch in loader(view))
print(count, resident("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def store(s3_server, tmp_path_factory):  # type: ignore[no-untyped-def]
    """320 MB of samples in a bucket."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in s3_server.environment().items():
            patched.setenv(name, value)
        s3_server.create_bucket("memory")
        packed.publish(open_store("s3://memory/store"), samples=1280, per_shard=160, shape=(2, 64, 1024))
        yield "s3://memory/store"


def peak(store: str, memory: int, open_bytes: int) -> int:
    """Bytes that streaming the whole store added to a process."""
    done = subprocess.run(
        [sys.executable, "-c", JOB, store, str(memory), str(open_bytes)], capture_output=True, text=True, check=True
    )
    count, added = map(int, done.stdout.split())
    assert count == 1280
    return added


def test_a_stream_from_s3_stays_within_its_memory(store: str) -> None:
    small = peak(store, 48 * MIB, 16 * MIB)
    assert small <= 48 * MIB + 24 * MIB  # thread stacks, the allocator's slack, and the batch that the caller holds
    large = peak(store, 256 * MIB, 160 * MIB)
    assert large > small + 48 * MIB  # what may be held is held: the bound is what bounds


def test_an_order_that_would_not_fit_is_refused_with_the_numbers(store: str) -> None:
    view = ropeway.connect(store).query()
    loader = ropeway.StreamingLoader(view, 16, memory=4 * MIB)
    with pytest.raises(
        UsageError, match=r"keeps .* bytes open on this rank, memory=4,194,304 leaves 3,145,728 .* give memory="
    ):
        next(iter(loader))
    budget = ropeway.Budget(ropeway.budget.content_bytes("x"), 8 * MIB)
    with pytest.raises(UsageError, match="bytes open on this rank"):
        next(iter(ropeway.StreamingLoader(view, budget, memory=4 * MIB)))
    wide = ropeway.StreamingLoader(view, 16, memory=64 * MIB, order=ropeway.Shuffled(lanes=8, open_bytes=40 * MIB))
    assert len(next(iter(wide))["x"]) == 16


def test_mapped_shards_are_not_held(tmp_path: Path) -> None:
    """Their pages are the page cache's; of its own, a process keeps little more than the batches made ahead."""
    packed.publish(open_store(tmp_path), samples=640, per_shard=160, shape=(2, 64, 1024))
    job = JOB.replace('resident("VmHWM") - before', 'resident("RssAnon") - anonymous').replace(
        'before = resident("VmRSS")', 'before = anonymous = resident("RssAnon")'
    )
    done = subprocess.run(
        [sys.executable, "-c", job, str(tmp_path), str(64 * MIB), str(16 * MIB)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, added = map(int, done.stdout.split())
    assert count == 640
    assert added <= 40 * MIB


@pytest.mark.parametrize("options", [{"memory": 0}, {"memory": -5}, {"threads": -1}, {"requests": 0}])
def test_what_no_loader_can_do_with_is_refused(store: str, options: dict[str, int]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(UsageError, match=f"{name} is at least .*, not {value}"):
        ropeway.StreamingLoader(ropeway.connect(store).query(), 16, **options)  # type: ignore[arg-type]
