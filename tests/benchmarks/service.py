"""`python -m benchmarks service`: what the index service takes, at CLIMB's size: 4.51 M samples in 45 datasets.

One service (`ropeway serve`, one worker; for small queries also two) and this process share the machine; what it asks
for goes over loopback.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep

import psutil
import pyarrow as pa
import urllib3

import ropeway
from benchmarks import service_store
from benchmarks.service_load import Load, Request, closed, once, steady
from ropeway.arriving import Arriving
from ropeway.bursts import grouped
from ropeway.order import Shuffled
from ropeway.steps import Batching
from ropeway.stores import open_store
from ropeway.view import View
from ropeway.world import World

CLIENTS = 64
RANKS = 1000
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement, and what is asked of it."""

    name: str
    value: float
    unit: str
    wanted: str = ""

    def __str__(self) -> str:
        return f"{self.name:58} {self.value:>10,.1f} {self.unit:9} {self.wanted}"


def main(arguments: Sequence[str]) -> None:
    given = _arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="ropeway-service-", dir=given.scratch) as scratch:
        store = given.store or Path(scratch, "store")
        if not store.exists():
            service_store.build(open_store(store), service_store.plans(given.samples))
        with _service(store, Path(scratch)) as (url, process):
            figures = list(_figures(url, process, given.seconds))
        with _service(store, Path(scratch), workers=2) as (url, process):
            figures += _small(url, process, given.seconds, workers=2)
    for figure in figures:
        sys.stdout.write(f"{figure}\n")
    if given.json is not None:
        told = [{"name": one.name, "value": one.value, "unit": one.unit, "wanted": one.wanted} for one in figures]
        given.json.write_text(json.dumps(told, indent=2))


def _figures(url: str, process: psutil.Process, seconds: float) -> Iterator[Figure]:
    catalog = ropeway.connect(url)
    yield _timed("first answer of all: every index is read", lambda: catalog.stats([]))
    yield from _views(url)
    yield from _stats(url)
    yield from _small(url, process, seconds)
    yield from _pages(url, seconds)
    yield from _ranks(url, process)
    yield Figure("memory of the service at the end", process.memory_info().rss / 1e6, "MB")


def _views(url: str) -> Iterator[Figure]:
    """From a filter to the first rows of a rank of 64, at a client that has nothing of the view: where all samples and
    one part of them lie, an order of that, and the keys, checksums and labels of the rows that come first in it."""
    # 4.51 M rows, of which a third have sex F and 95 % an age
    asked = {"all datasets": "age >= {} and sex = 'F'", "one domain": "domain = 'CT' and age >= {}"}
    for name, where in asked.items():
        cold, warm, count = [], [], 0
        for number in range(ROUNDS):
            query = {"where": where.format(27 + number if name == "all datasets" else 45 + number)}
            began = perf_counter()
            count = _stream(ropeway.connect(url).query(**query))  # type: ignore[arg-type]
            cold.append(perf_counter() - began)
            began = perf_counter()
            _stream(ropeway.connect(url).query(**query))  # type: ignore[arg-type]
            warm.append(perf_counter() - began)
        yield Figure(f"a new view of {count:,} samples of {name}, streaming", 1e3 * _median(cold), "ms", "≤ 500")
        yield Figure(f"the same where the view exists ({name})", 1e3 * _median(warm), "ms", "≤ 150")
    view = ropeway.connect(url).query(where="domain = 'CT' and age >= 45")
    yield _timed("all there is to know of those of one domain", view.table)


def _stream(view: View) -> int:
    """Everything that a loader does before it reads a shard."""
    samples = Arriving(view)
    samples.table.parts[view.info.parts[0].name]
    steps = Batching(64 * 256, World(0, 64), "drop").steps(Shuffled().epoch(view.layout(), 0, 0), 0)
    _, rows = next(samples.ahead(grouped(steps, view.layout().length)))
    samples.table.keys.take(pa.array(rows))
    return view.samples


def _stats(url: str) -> Iterator[Figure]:
    catalog = ropeway.connect(url)
    for by in (["domain", "split"], ["dataset", "split", "sex"], ["age"]):
        yield _timed(f"stats by {', '.join(by)}, first", lambda by=by: catalog.stats(by), "≤ 100")  # type: ignore[misc]
        yield _timed(f"stats by {', '.join(by)}, again", lambda by=by: catalog.stats(by), "≤ 100")  # type: ignore[misc]
    yield _timed("stats by domain, split of age >= 60 and sex = 'F'",
                 lambda: catalog.stats(["domain", "split"], where="age >= 60 and sex = 'F'"), "≤ 100")  # fmt: skip


def _small(url: str, process: psutil.Process, seconds: float, *, workers: int = 1) -> Iterator[Figure]:
    names = [dataset.id for dataset in ropeway.connect(url).datasets()]
    known = [json.dumps({"datasets": [name], "where": "age >= 60"}).encode() for name in names[8:]]
    requests = [Request("/v1/views", body) for body in known]
    requests += [Request(f"/v1/stats?by=split&dataset={name}") for name in names[8:]]
    requests += [Request("/v1/tasks"), Request("/v1/datasets")] * 4
    for _ in range(4 * workers**2):  # views that exist, columns that were counted before, in each worker
        once(url, workers, requests)
    told = "small queries" if workers == 1 else f"small queries, {workers} workers"
    rate = 500.0
    loads: list[tuple[str, str, Callable[[], Load]]] = [
        (f"{CLIENTS} clients without a pause", "≥ 500", lambda: closed(url, CLIENTS, requests, seconds)),
        (f"{rate:.0f}/s over {CLIENTS} clients", "", lambda: steady(url, CLIENTS, requests, rate, seconds)),
    ]
    for name, wanted, make in loads:
        theirs, ours = _cpu(process), process_time()
        load = make()
        theirs, ours = _cpu(process) - theirs, process_time() - ours
        yield from _told(f"{told}, {name}", load, wanted)
        yield Figure("… of the service's processor time, each", 1e6 * theirs / len(load.seconds), "µs")
        yield Figure("… and of that of who asks", 1e6 * ours / len(load.seconds), "µs")
    if workers > 1:
        return
    fresh = [
        Request("/v1/views", json.dumps({"datasets": [name], "where": f"age >= {age}"}).encode())
        for age in range(30)
        for name in names[8:]
    ]
    yield from _told("new small views, 8 clients", closed(url, 8, fresh, min(seconds, 3.0)), "")


def _pages(url: str, seconds: float) -> Iterator[Figure]:
    view = ropeway.connect(url).query(where="domain = 'CT' and age >= 45")
    with urllib3.PoolManager() as http:
        pages = len(http.request("GET", f"{url}/v1/views/{view.id}/shards").json()["pages"])
    for encoding in ("identity", "zstd"):
        place = f"/v1/views/{view.id}/samples?page="
        requests = [Request(f"{place}{number}", b"", "application/msgpack", encoding) for number in range(pages)]
        once(url, 1, requests)
        load = closed(url, 4, requests, seconds)
        told = f"pages of views, {encoding}, 4 clients"
        yield Figure(told, load.bytes / load.wall / 1e6, "MB/s", "≥ 300" if encoding == "identity" else "")


def _ranks(url: str, process: psutil.Process) -> Iterator[Figure]:
    """Every rank opens the same view, as `_stream` does, and asks for URLs of some shards."""
    view = ropeway.connect(url).query(where="domain = 'CT' and age >= 45")
    _stream(view)
    before = process.memory_info().rss
    place = f"/v1/views/{view.id}"
    rows = json.dumps({"rows": [[40 * block, 40 * block + 4] for block in range(256)]}).encode()
    pages = ["shards", "layout", f"layout/{view.info.parts[0].name}"]
    requests = [Request(place), *(Request(f"{place}/{page}", encoding="zstd") for page in pages),
                Request(f"{place}/details", rows, "application/msgpack", "zstd"),
                Request(f"{place}/access", b'{"shards": [0]}')]  # fmt: skip
    load = once(url, RANKS, requests)
    _check(load)
    after = process.memory_info().rss
    yield Figure(f"{RANKS:,} ranks open a view of {view.samples:,} samples at once", load.wall, "s")
    yield Figure("… the service's memory then, more than before", (after - before) / 1e6, "MB", "flat")


def _told(name: str, load: Load, wanted: str) -> Iterator[Figure]:
    _check(load)
    yield Figure(name, load.rate, "/s", wanted)
    yield Figure("… half of them within", 1e3 * load.percentile(0.5), "ms")
    yield Figure("… 99 % of them within", 1e3 * load.percentile(0.99), "ms", "≤ 50")


def _check(load: Load) -> None:
    if load.failed:
        sys.exit(f"{len(load.failed)} of {len(load.seconds)} requests failed, first with status {load.failed[0]}")


def _timed(name: str, work: Callable[[], object], wanted: str = "") -> Figure:
    began = perf_counter()
    work()
    return Figure(name, 1e3 * (perf_counter() - began), "ms", wanted)


def _cpu(process: psutil.Process) -> float:
    """Seconds that a process and its children have worked."""
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


@contextmanager
def _service(store: Path, scratch: Path, *, workers: int = 1) -> Iterator[tuple[str, psutil.Process]]:
    """A service without a limit of requests per address: all of them are ours."""
    command = [sys.executable, "-m", "ropeway.cli", "serve", "--store", str(store), "--port", "0",
               "--workers", str(workers), "--database", f"sqlite:///{scratch / 'state.db'}"]  # fmt: skip
    environment: Mapping[str, str] = {**os.environ, "ROPEWAY_SERVE_LIMITS_RATE": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            url = next(word for word in line.split() if word.startswith("http"))
            sleep(0.2)
            yield url, psutil.Process(running.pid)
        finally:
            running.terminate()


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks service", description=__doc__)
    parser.add_argument("--samples", type=int, default=4_510_000, help="of all datasets together")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--store", type=Path, help="keep the store there, and take it from there the next time")
    parser.add_argument("--scratch", type=Path, help="where to make the temporary folder (200 MB)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)
