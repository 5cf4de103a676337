"""`python -m benchmarks mount`: the mount beside rclone, s3fs and ratarmount, over the same S3 in the same run.

rclone and s3fs are Debian packages (`apt-get install rclone s3fs`); ratarmount is on PyPI and wants an environment of
its own (`pip install 'ratarmount[fsspec]' s3fs`, then `--ratarmount PATH`). Who is not there is left out, and said so.

The floor is the store itself: our range client, without a file system, at the best of three ways to read a shard.
All are mounted anew in each of some rounds, one after the other, and the median counts.

rclone and s3fs are measured twice: as they come, and "at best", with the options that were fastest of those tried on
this store without latency: of s3fs, `multipart_size` from 10 to 128 MB, `parallel_count` from 1 to 10, and `max_read`;
of rclone 1.60, `--max-read-ahead`, `--buffer-size` from 0 to 64 MiB, `--vfs-cache-mode full`, and `mount2`, which is
its other FUSE library (`--vfs-read-chunk-streams` came later). One request for a whole shard suits SeaweedFS best.
`ropeway mount` has no option for speed and is given none.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import indexed
import packed
from benchmarks.servers import BUCKET, Sources, serving
from ropeway.stores import LocalStore, open_store

URL = f"s3://{BUCKET}/mount"
SAMPLES, PER_SHARD, SHAPE = 32_000, 4_000, (12, 1000)
"""Eight shards of 105 MB, of samples of 24 KB."""

READ = 1 << 20
"""Bytes of a program's read."""

RAW = ((4 << 20, 8), (32 << 20, 4), (1 << 30, 1))
"""How the store itself is read: bytes of a range, and how many of them at once."""

ROUNDS, SHARDS, FILES, LARGE = 3, 3, 300, 1_000_000
"""Mounts of each; shards and files read through each mount, each for the first time; files of the folder that is
listed."""

READERS = 16
"""Programs that read small files at once, where it is not one."""

_PATIENCE = 300.0
_FOLDER = f"mount/signals/{packed.VERSION}"


@dataclass(frozen=True, slots=True)
class Rival:
    """A program that mounts the bucket, and where our shards are then."""

    name: str
    command: Callable[[Path], list[str]]
    shards: str


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks mount", description=__doc__)
    parser.add_argument("--ratarmount", default="ratarmount", help="its command")
    parser.add_argument("--scratch", type=Path, help="where to keep a gigabyte meanwhile")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ropeway-bench-", dir=given.scratch) as scratch:
        found = measure(Path(scratch), given.ratarmount)
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


def measure(scratch: Path, ratarmount: str) -> dict[str, object]:
    """All figures: MB/s through a shard, small files per second, seconds to look into a large folder."""
    found: dict[str, object] = {"large folder": _large(scratch)}
    with serving(scratch / "s3", {"s3", "s3-20ms"}) as sources:
        assert sources is not None
        os.environ |= sources.environments["s3"]
        packed.publish(open_store(URL), "signals", samples=SAMPLES, per_shard=PER_SHARD, shape=SHAPE)
        for place in ("s3", "s3-20ms"):
            found[place] = _measured(scratch, sources, place, ratarmount)
    return found


def _measured(scratch: Path, sources: Sources, place: str, ratarmount: str) -> dict[str, object]:
    environment = {**os.environ, **sources.environments[place]}
    environment.pop("AWS_CA_BUNDLE", None)  # nothing here is TLS, and rclone refuses it
    raw: list[float] = []
    through: dict[str, list[object]] = {}
    for _ in range(ROUNDS):
        raw.append(_raw(environment))
        for rival in (_ropeway(), *_s3fs(scratch, environment), *_rclone(environment)):
            told = _attempt(scratch, rival, environment, partial(_through, rival.shards))
            through.setdefault(rival.name, []).append(told)
    small: dict[str, object] = {}
    for readers in (1, READERS):
        for rival in (_ropeway("samples/signals/train"), _ratarmount(ratarmount)):
            told = _attempt(scratch, rival, environment, partial(_small, rival.shards, readers))
            small[f"{rival.name}, {readers} at once"] = told
    medians = {"the store itself": statistics.median(raw)} | {name: _median(told) for name, told in through.items()}
    return {"MB/s through a shard": medians, "files of 24 KB per second": small}


def _median(told: Sequence[object]) -> object:
    """The median of a rival's figures, or why it has none."""
    figures = [one for one in told if isinstance(one, float)]
    return statistics.median(figures) if figures else told[0]


def _raw(environment: Mapping[str, str]) -> float:
    done = subprocess.run([sys.executable, "-c", _RAW], env=environment, check=True, capture_output=True)
    return float(done.stdout)


_RAW = f"""
import time
from concurrent.futures import ThreadPoolExecutor
from ropeway.stores import open_store
store = open_store({URL!r})
shards = [stat for stat in store.objects("signals") if stat.path.endswith(".tar")][:{SHARDS}]
store.read(shards[0].path, 0, 1)
medians = []
for part, at_once in {RAW!r}:
    speeds = []
    with ThreadPoolExecutor(at_once) as pool:
        for shard in shards:
            begun = time.perf_counter()
            ranges = [(at, min(at + part, shard.size)) for at in range(0, shard.size, part)]
            sizes = pool.map(lambda span: len(store.read(shard.path, *span)), ranges)
            assert sum(sizes) == shard.size
            speeds.append(shard.size / 1e6 / (time.perf_counter() - begun))
    medians.append(sorted(speeds)[len(speeds) // 2])
print(max(medians))
"""


def _through(shards: str, mount: Path) -> float:
    """Median MB/s of reading whole shards."""
    speeds = []
    for shard in sorted((mount / shards).glob("*.tar"))[:SHARDS]:
        begun, size = time.perf_counter(), 0
        with shard.open("rb", buffering=0) as file:
            while got := file.read(READ):
                size += len(got)
        speeds.append(size / 1e6 / (time.perf_counter() - begun))
    return statistics.median(speeds)


def _small(folder: str, readers: int, mount: Path) -> float:
    """Small files per second, of one shard, in random order, each opened, read and closed once."""
    names = [f"k{number:06d}.x.npy" for number in random.Random(readers).sample(range(PER_SHARD), FILES)]
    where = mount / folder
    (where / f"k{PER_SHARD - 1:06d}.x.npy").read_bytes()
    begun = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool:
        sizes = list(pool.map(lambda name: len((where / name).read_bytes()), names))
    assert len(set(sizes)) == 1
    return FILES / (time.perf_counter() - begun)


def _large(scratch: Path) -> dict[str, float]:
    """Seconds until a folder of a million files answers."""
    rows = [indexed.row(number) for number in range(LARGE)]
    indexed.publish(LocalStore(scratch / "large"), "large", rows)
    command = [sys.executable, "-m", "ropeway.cli", "mount", str(scratch / "large"), str(scratch / "mount")]
    found = {}
    begun = time.perf_counter()
    with _mounted(scratch / "mount", command, os.environ):
        split = scratch / "mount/samples/large/train"
        split.stat()
        found["from the command to the first look into the index"] = time.perf_counter() - begun
        begun = time.perf_counter()
        (split / f"k{LARGE // 2}.x.npy").stat()
        found["first stat"] = time.perf_counter() - begun
        begun = time.perf_counter()
        with os.scandir(split) as entries:
            next(entries)
            found["first name"] = time.perf_counter() - begun
            assert sum(1 for _ in entries) == LARGE - 1
        found["all names"] = time.perf_counter() - begun
    return found


def _ropeway(shards: str = f"shards/signals/{packed.VERSION}") -> Rival:
    return Rival("ropeway", lambda at: [sys.executable, "-m", "ropeway.cli", "mount", URL, str(at)], shards)


def _s3fs(scratch: Path, environment: Mapping[str, str]) -> Iterator[Rival]:
    keys = scratch / "s3fs.keys"
    keys.touch(mode=0o600)
    keys.write_text(f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}")
    options = f"passwd_file={keys},url={environment['AWS_ENDPOINT_URL']},use_path_request_style,ro"
    for name, more in (("s3fs", ""), ("s3fs at best", ",multipart_size=128,parallel_count=1")):
        command = ["s3fs", BUCKET, "{}", "-f", "-o", options + more]
        yield Rival(name, partial(_at, command), _FOLDER)


def _rclone(environment: Mapping[str, str]) -> Iterator[Rival]:
    remote = (
        f":s3,provider=Other,access_key_id={environment['AWS_ACCESS_KEY_ID']},"
        f"secret_access_key={environment['AWS_SECRET_ACCESS_KEY']},endpoint='{environment['AWS_ENDPOINT_URL']}':{BUCKET}"
    )
    for name, command, more in (("rclone", "mount", ()), ("rclone at best", "mount2", ("--max-read-ahead", "1M"))):
        yield Rival(name, partial(_at, ["rclone", command, remote, "{}", "--read-only", *more]), _FOLDER)


def _at(command: Sequence[str], mount: Path) -> list[str]:
    return [str(mount) if word == "{}" else word for word in command]


def _ratarmount(command: str) -> Rival:
    tar = f"{URL}/signals/{packed.VERSION}/train-000000.tar"
    return Rival("ratarmount", lambda at: [command, "-f", "--index-file", ":memory:", tar, str(at)], ".")


def _attempt(scratch: Path, rival: Rival, environment: Mapping[str, str], measure: Callable[[Path], float]) -> object:
    """A rival's figure, or why there is none."""
    at = scratch / "mount"
    command = rival.command(at)
    if shutil.which(command[0]) is None:
        return "not installed"
    try:
        with _mounted(at, command, environment):
            return measure(at)
    except (OSError, AssertionError) as error:
        if rival.name == "ropeway":
            raise
        return f"failed: {error}"


@contextmanager
def _mounted(at: Path, command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    at.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(command, env=environment, stdout=told, stderr=told) as process,
    ):
        try:
            end = time.monotonic() + _PATIENCE
            while not at.is_mount():
                if process.poll() is not None or time.monotonic() > end:
                    told.seek(0)
                    raise OSError(f"did not mount: {told.read()[-500:].decode(errors='replace')}")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()
            subprocess.run(["fusermount3", "-uz", str(at)], check=False, capture_output=True)
            process.wait(_PATIENCE)
