"""Programs that mount a bucket, or a tar in one: by which command, and where our files are then.

rclone and s3fs are measured twice: as they come, and "at best", with the options that were fastest of those tried on
this store without latency: of s3fs, `multipart_size` from 10 to 128 MB, `parallel_count` from 1 to 10, and `max_read`;
of rclone 1.60, `--max-read-ahead`, `--buffer-size` from 0 to 64 MiB, `--vfs-cache-mode full`, and `mount2`, which is
its other FUSE library (`--vfs-read-chunk-streams` came later). One request for a whole shard suits SeaweedFS best.
ratarmount reads 5 MB for each small file; "at best" it reads the file alone, by a setting of fsspec. Its index is
there when it is measured, and how long it took to make is told apart. `ropeway mount` has no option for speed and is
given none.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import packed
from benchmarks.servers import BUCKET

URL = f"s3://{BUCKET}/mount"

_PATIENCE = 300.0
_FOLDER = f"mount/signals/{packed.VERSION}"


@dataclass(frozen=True, slots=True)
class Rival:
    """A program that mounts.

    Attributes:
        program: what it needs to have installed.
        command: mounts on a folder.
        inside: where in the mount our files are.
    """

    name: str
    program: str
    command: Callable[[Path], list[str]]
    inside: str


def ropeway(inside: str = f"shards/signals/{packed.VERSION}", source: str = URL, name: str = "ropeway") -> Rival:
    """Our own mount, of a source."""
    command = [sys.executable, "-m", "ropeway.cli", "mount", source, "{}"]
    return Rival(name, sys.executable, partial(_at, command), inside)


def s3fs(scratch: Path, environment: Mapping[str, str]) -> Iterator[Rival]:
    keys = scratch / "s3fs.keys"
    keys.touch(mode=0o600)
    keys.write_text(f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}")
    options = f"passwd_file={keys},url={environment['AWS_ENDPOINT_URL']},use_path_request_style,ro"
    for name, more in (("s3fs", ""), ("s3fs at best", ",multipart_size=128,parallel_count=1")):
        yield Rival(name, "s3fs", partial(_at, ["s3fs", BUCKET, "{}", "-f", "-o", options + more]), _FOLDER)


def rclone(environment: Mapping[str, str]) -> Iterator[Rival]:
    remote = (
        f":s3,provider=Other,access_key_id={environment['AWS_ACCESS_KEY_ID']},"
        f"secret_access_key={environment['AWS_SECRET_ACCESS_KEY']},endpoint='{environment['AWS_ENDPOINT_URL']}':{BUCKET}"
    )
    for name, command, more in (("rclone", "mount", ()), ("rclone at best", "mount2", ("--max-read-ahead", "1M"))):
        yield Rival(name, "rclone", partial(_at, ["rclone", command, remote, "{}", "--read-only", *more]), _FOLDER)


def ratarmount(program: str, scratch: Path) -> Iterator[Rival]:
    """Of one shard; the first that is mounted makes the index."""
    tar = f"{URL}/signals/{packed.VERSION}/train-000000.tar"
    command = [program, "-f", "--index-file", str(scratch / "ratarmount.sqlite"), tar, "{}"]
    alone = 'FSSPEC_S3={"default_cache_type": "none"}'
    yield Rival("ratarmount", program, partial(_at, command), ".")
    yield Rival("ratarmount at best", program, partial(_at, ["env", alone, *command]), ".")


def _at(command: Sequence[str], mount: Path) -> list[str]:
    return [str(mount) if word == "{}" else word for word in command]


def attempt(
    scratch: Path, rival: Rival, environment: Mapping[str, str], measure: Callable[[Path, int], object]
) -> object:
    """What is measured in a rival's mount, by its folder and process; or why there is nothing."""
    if shutil.which(rival.program) is None:
        return "not installed"
    try:
        with mounted(scratch / "mount", rival.command(scratch / "mount"), environment) as process:
            return measure(scratch / "mount" / rival.inside, process)
    except (OSError, AssertionError) as error:
        if rival.name == "ropeway":
            raise
        return f"failed: {error}"


@contextmanager
def mounted(at: Path, command: list[str], environment: Mapping[str, str]) -> Iterator[int]:
    """The id of a process that has mounted, until the context ends."""
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
            yield process.pid
        finally:
            process.terminate()
            subprocess.run(["fusermount3", "-uz", str(at)], check=False, capture_output=True)
            process.wait(_PATIENCE)
