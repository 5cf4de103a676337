"""`python -m benchmarks adopt`: what adopting costs, read through and by headers alone, of small members and of large.

Small: pictures of 20 KB with a caption and JSON. Large: arrays of 2 MB with JSON. Labels come from the JSON.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import foreign
from benchmarks.servers import serving
from ropeway.adopt import HEADERS, THROUGH, adopt
from ropeway.adopt.reading import Manner
from ropeway.adopt.rules import MetaRules, Rules
from ropeway.stores import open_store

RULES = Rules(meta={"age": MetaRules(from_="json.age")})
SHARDS, SHARD = 8, 64 << 20
"""Shards of each kind, and bytes of one."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks adopt", description=__doc__)
    parser.add_argument("--scratch", type=Path, help="where to keep two gigabytes meanwhile")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ropeway-bench-", dir=given.scratch) as scratch:
        json.dump(measure(Path(scratch)), sys.stdout, indent=1)
    sys.stdout.write("\n")


def measure(scratch: Path) -> dict[str, dict[str, float]]:
    """By place, kind of members and manner: share of the bytes that was read, requests, seconds and CPU s per GB."""
    for kind in ("small", "large"):
        for number in range(SHARDS):
            foreign.write_members(scratch / "raw" / f"{kind}-{number}.tar", list(_members(kind, number)))
    found: dict[str, dict[str, float]] = {}
    with serving(scratch / "s3", {"s3", "s3-20ms"}) as sources:
        assert sources is not None
        roots = {"local": str(scratch / "raw"), "s3": sources.upload(scratch / "raw", "raw")}
        roots["s3-20ms"] = roots["s3"]
        for place, root in roots.items():
            for kind in ("small", "large"):
                for manner in (THROUGH, HEADERS):
                    pattern = f"{root}/{kind}-{{0..{SHARDS - 1}}}.tar"
                    environment = sources.environments.get(place, {})
                    found[f"{place}, {kind}, {manner.name}"] = _alone(scratch, pattern, manner, environment)
    return found


def _members(kind: str, number: int) -> Iterator[tuple[str, bytes]]:
    size = 20_000 if kind == "small" else 2 << 20
    array = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    head = array + f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}".ljust(117).encode() + b"\n"
    for sample in range(SHARD // size):
        key, content = f"{number}-{sample:06d}", np.random.default_rng(sample).bytes(size)
        yield f"{key}.jpg" if kind == "small" else f"{key}.npy", content if kind == "small" else head + content
        if kind == "small":
            yield f"{key}.txt", b"a caption of some words"
        yield f"{key}.json", foreign.note({"age": sample % 90})


def _alone(scratch: Path, pattern: str, manner: Manner, environment: dict[str, str]) -> dict[str, float]:
    """One adoption in a process of its own, whose processor time is told with that of its children."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (str(scratch / "store"), pattern, manner, environment))


def _measured(store: str, pattern: str, manner: Manner, environment: dict[str, str]) -> dict[str, float]:
    os.environ |= environment
    name = f"d{abs(hash((pattern, manner.name, os.getpid())))}"
    before = _processor()
    done = adopt(open_store(store), name, {"train": [pattern]}, RULES, manner=manner, processes=1)
    whole = sum(shard.bytes for shard in done.manifest.shards)
    return {
        "read": round(done.read / whole, 4), "requests": done.requests,
        "seconds per GB": round(done.seconds / whole * 1e9, 2),
        "CPU seconds per GB": round((_processor() - before) / whole * 1e9, 2),
    }  # fmt: skip


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
