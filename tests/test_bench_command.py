"""`ropeway bench`: what it measures, what it says of it, and that the line it gives makes such a loader."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

import packed
import ropeway
import tiny_store
from ropeway import cli
from ropeway.bench import Outcome, Settings, bench, settings
from ropeway.bench.decoding import decoding
from ropeway.bench.limits import Limit, together
from ropeway.bench.noting import Notes, noted
from ropeway.bench.runs import Memory, Run, both, run
from ropeway.cache.counters import Counters as CacheCounts
from ropeway.cli.bench import bench as command
from ropeway.errors import FormatError, UsageError
from ropeway.loader import StreamingLoader
from ropeway.manifest import Part
from ropeway.meter import Stats
from ropeway.parts import PartReader
from ropeway.ranges import Counts
from ropeway.stores import open_store
from ropeway.view import View
from ropeway.wanted import MEMORY
from serving import serving

QUICK = ("--seconds", "0.02", "--batch-size", "32")
FIGURES = {"samples_per_second", "bytes_per_second", "first_batch", "of_tightest_limit", "memory"}


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=103, lacks=[4])
    return str(tmp_path / "store")


@pytest.fixture
def ropeway_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command here and gives its exit status, output and errors."""

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ropeway", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return called


def made(line: str, view: View) -> StreamingLoader:
    """The loader that a line makes where `ropeway` and `view` are known."""
    built = eval(line, {"ropeway": ropeway, "view": view})  # noqa: S307 - it is what a user pastes
    assert isinstance(built, StreamingLoader)
    return built


def test_a_local_store_is_measured(store: str, ropeway_bench: Callable[..., Any]) -> None:
    status, output, errors = ropeway_bench("--store", store, *QUICK, "--json")
    assert (status, errors) == (0, "")
    told = json.loads(output)
    view = ropeway.connect(store).query()
    assert (told["view"], told["samples"], told["remote"]) == (view.id, 103, False)
    assert [limit["name"] for limit in told["limits"]] == ["reading", "copying", "decoding"]
    assert all(limit["samples_per_second"] > 0 and limit["bytes_per_second"] > 0 for limit in told["limits"])
    names = [one["name"] for one in told["runs"]]
    assert names[:2] == ["defaults, first epoch", "defaults"]
    assert all(name.startswith("threads=") for name in names[2:])
    assert all(one[figure] > 0 for one in told["runs"] for figure in FIGURES)
    assert told["bound_by"] in {"reading", "copying", "decoding", *told["runs"][0]["stages"]}
    assert told["verdict"].startswith("bound by ")
    assert sum(len(batch["__key__"]) for batch in made(told["python"], view)) == 96


def test_people_get_a_table_a_sentence_and_a_line_to_paste(store: str, ropeway_bench: Callable[..., Any]) -> None:
    wanted = ("--task", "cls", "--where", "age < 20", "--part", "x")
    status, output, errors = ropeway_bench("--store", store, *wanted, "--seconds", "0.05")
    assert status == 0, errors
    head, *rows, verdict, line = output.splitlines()
    assert head.endswith("  peak memory")
    assert [row.split("  ")[0] for row in rows[:4]] == [
        "reading alone", "copying alone", "defaults, first epoch", "defaults"
    ]  # fmt: skip
    assert verdict.startswith("bound by ")
    assert "view " in errors
    view = ropeway.connect(store).query(task="cls", where="age < 20", parts=["x"])
    (batch,) = made(line, view)  # fewer samples than one batch: the line keeps them
    assert int(batch["__mask__"].sum()) == view.samples == 33
    assert "note" not in batch


def test_an_object_store_and_a_disk_cache(bucket: str, tmp_path: Path, ropeway_bench: Callable[..., Any]) -> None:
    url = f"s3://{bucket}/x"
    packed.publish(open_store(url), samples=103)
    status, output, errors = ropeway_bench("--store", url, *QUICK, "--cache", str(tmp_path / "cache"), "--json")
    assert (status, errors) == (0, "")
    told = json.loads(output)
    assert told["remote"]
    runs = {one["name"]: one for one in told["runs"]}
    assert list(runs)[:2] == ["defaults, first epoch", "defaults"]
    assert list(runs)[-2:] == ["a disk cache, first epoch", "a disk cache"]
    assert len({one["settings"]["requests"] for one in runs.values()} - {None}) == 2
    assert all((one["settings"]["cache"] is None) == ("cache" not in name) for name, one in runs.items())
    view = ropeway.connect(url).query()
    cache = ropeway.DiskCache(tmp_path / "cache", limit=100 << 30)
    loader = made(Settings(batch_size=32, cache=cache).python(view), view)
    assert sum(len(batch["__key__"]) for batch in loader) == 96
    assert loader.stats().traffic.requests == 0  # the command has filled it


def test_a_service_by_the_id_of_a_view(store: str, ropeway_bench: Callable[..., Any]) -> None:
    with serving(store) as url:
        view = ropeway.connect(url).query(task="cls")
        status, output, errors = ropeway_bench(view.id, "--store", url, *QUICK, "--part", "x", "--json")
        assert (status, errors) == (0, "")
        told = json.loads(output)
        assert (told["view"], told["remote"], told["samples"]) == (view.id, True, 103)
        assert [limit["name"] for limit in told["limits"]] == ["reading", "copying"]
        assert sum(len(batch["__key__"]) for batch in made(told["python"], view)) == 96


def test_what_a_loader_reads_is_noted(bucket: str) -> None:
    url = f"s3://{bucket}/x"
    packed.publish(open_store(url), samples=103)
    notes, view = Notes(), ropeway.connect(url).query()
    ran = run(noted(view, notes), Settings(batch_size=32, requests=2), 0.0, 3)
    assert ran.stats.traffic.requests >= len(notes.ranges) > 0
    assert ran.stats.traffic.bytes >= view.bytes  # it is small: all of it comes before the first batch
    assert sum(stop - start for _, start, stop in notes.ranges) == ran.stats.traffic.bytes
    assert 1 <= notes.most <= 2
    assert ran.sample == pytest.approx(view.bytes / view.samples, rel=0.2)


def test_a_joined_view_has_the_limits_of_both_sides(tmp_path: Path) -> None:
    for dataset, part in (("scans", "scan"), ("notes", "note")):
        content = [replace(one, parts={part: one.parts["note"]}) for one in tiny_store.samples() if "note" in one.parts]
        alone = [one for number, one in enumerate(content) if number % 3 == 0 or dataset == "scans"]
        tiny_store.build(open_store(tmp_path), dataset, alone, namespace="site")
    catalog = ropeway.connect(str(tmp_path))
    joined = catalog.query(datasets=["scans"]).join(catalog.query(datasets=["notes"]), on="key", missing="keep")
    outcome = bench(joined, Settings(batch_size=8), seconds=0.02, told=lambda what: None)
    assert [limit.name for limit in outcome.limits] == ["reading", "decoding"]
    assert "note" in next(iter(made(outcome.python, joined)))


def test_decoding_is_the_parts_alone(store: str) -> None:
    def slow(content: memoryview) -> str:
        sleep(0.01)
        return str(content, "ascii")

    view = ropeway.connect(store).query()
    part = PartReader.of(Part(name="note", kind="text", format="txt", samples=102), {"txt": slow})
    measured = decoding(view, [part], 2, 0.05)
    assert measured is not None
    assert 0 < measured.samples_per_second <= 2 / 0.01 * 103 / 102  # one sample lacks the part

    def broken(content: memoryview) -> None:
        raise ValueError("not this one")

    with pytest.raises(FormatError, match="does not decode: not this one") as failed:
        decoding(view, [replace(part, decoder=ropeway.Decoder(broken))], 2, 0.05)
    assert (failed.value.dataset, failed.value.shard is not None) == ("d", True)
    assert decoding(ropeway.connect(store).query(where="not has('note')"), [part], 2, 0.05) is None


def test_who_fails_ends_what_is_measured_beside() -> None:
    def fails() -> int:
        raise UsageError("no more")

    with pytest.raises(UsageError):
        together([fails, lambda: 1], 1e9)


def test_memory_is_what_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    memory.look()
    before = memory.most
    held = np.ones(100 << 20, np.uint8)
    sleep(0.03)
    memory.look()
    assert before is not None
    assert memory.most is not None
    assert memory.most - before > 0.9 * len(held)


def test_few_settings_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    base = Settings(batch_size=1)
    assert [one.threads for one in settings.near(base)] == [None, 1, 2, 4]
    assert [one.requests for one in settings.far(base, 8)] == [None, 4, 16]
    assert [one.requests for one in settings.far(base, 1)] == [None, 1, 2]
    assert replace(base, threads=2, memory=512 << 20).name == "threads=2, memory=512 << 20"
    assert replace(base, memory=1000).name == "memory=1000"


def ran(rate: float, stages: dict[str, float] | None = None, cache: CacheCounts | None = None, **given: Any) -> Run:
    counted = Stats(samples=1, batches=1, bytes=1, elapsed=10, wait=9, stages=stages or {}, cache=cache,
                    traffic=Counts(requests=1))  # fmt: skip
    return Run(settings=Settings(batch_size=4, **given), samples_per_second=rate, first_batch=1.0, memory=None,
               sample=10.0, delivered=10, stats=counted)  # fmt: skip


def outcome(view: View, *runs: Run, **given: Any) -> Outcome:
    limits = [Limit("reading", 200, 2000), Limit("copying", 1000, 10_000), Limit("decoding", 400, 4000)]
    return Outcome(view=view, remote=True, limits=limits, first=runs[0], runs=runs, **given)


def test_the_verdict_and_the_best_settings(store: str) -> None:
    view = ropeway.connect(store).query()
    near = outcome(view, ran(180), ran(186, requests=2))
    assert (near.fine, near.bound_by, near.share(near.runs[0])) == (True, "reading", 0.9)
    assert near.verdict == ("bound by reading: 0.90 of what reading alone reaches; the defaults are fine: no setting "
                            "is better by 5%")  # fmt: skip
    assert near.python == "ropeway.StreamingLoader(view, batch_size=4)"

    far = outcome(view, ran(50), ran(100, {"collate": 3.0, "fetch": 1.0}, requests=2))
    assert (far.fine, far.bound_by) == (False, "collate")
    assert far.verdict.startswith("bound by putting batches together")
    told = "; 0.50 of what reading alone, the tightest limit, reaches; requests=2 gives 2.00 × the defaults"
    assert far.verdict.endswith(told)
    assert far.python == "ropeway.StreamingLoader(view, batch_size=4, requests=2)"


def test_a_cache_is_not_held_against_the_store(store: str, tmp_path: Path) -> None:
    view, cache = ropeway.connect(store).query(), ropeway.DiskCache(tmp_path / "cache", limit=1 << 30)
    settings = Settings(batch_size=4, cache=cache)
    filling = replace(ran(100, cache=CacheCounts(misses=9)), settings=settings)
    cached = replace(ran(380, cache=CacheCounts(hits=9)), settings=settings)
    told = outcome(view, ran(150), cached=(filling, cached))
    assert (told.share(filling), told.share(cached)) == (0.5, 0.95)
    assert told.verdict == ("bound by decoding: 0.95 of what decoding alone reaches; a disk cache gives 2.53 × the "
                            "defaults from the second epoch on")  # fmt: skip
    assert told.python.endswith(f'cache=ropeway.DiskCache("{tmp_path}/cache", limit=1 << 30))')


def test_two_runs_are_their_mean() -> None:
    one, other = ran(100), replace(ran(50), memory=7, first_batch=0.5)
    together = both(one, other)
    assert (together.samples_per_second, together.memory, together.first_batch) == (75, 7, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--where", "age > 1000"), "no sample matches"),
        (("--part", "nope"), "unknown part 'nope'; there is: note, x"),
        (("mine", "--task", "cls"), "'mine' names one view: leave out --task"),
        (("--cache-limit", "5"), "--cache-limit says nothing without --cache"),
        (("--store", "/no/such/folder"), "no such folder [url file:///no/such/folder]"),
    ],
)
def test_mistakes_are_one_clear_line(
    store: str, ropeway_bench: Callable[..., Any], arguments: tuple[str, ...], words: str
) -> None:
    status, output, errors = ropeway_bench("--store", store, *arguments)
    assert (status, output) == (1, "")
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_store_that_can_not_be_read_is_one_clear_line(store: str, ropeway_bench: Callable[..., Any]) -> None:
    Path(store, f"d/{packed.VERSION}/train-000001.tar").unlink()
    status, output, errors = ropeway_bench("--store", store, *QUICK)
    assert (status, output) == (1, "")
    assert "train-000001.tar" in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_view_of_keys_only_has_nothing_to_measure(store: str) -> None:
    view = ropeway.connect(store).query()
    with pytest.raises(UsageError, match=f"view {view.id} has keys and labels only, no part"):
        bench(view, Settings(batch_size=4, parts=()), seconds=0.1, told=lambda what: None)
    with pytest.raises(UsageError, match="no part 'nope' in this view"):
        bench(view, Settings(batch_size=4, parts=("nope",)), seconds=0.1, told=lambda what: None)
    lacking = ropeway.connect(store).query(where="not has('note')")
    with pytest.raises(UsageError, match=f"no sample of view {lacking.id} has anything of note"):
        bench(lacking, Settings(batch_size=1, parts=("note",)), seconds=0.1, told=lambda what: None)


def test_an_interrupt_is_quiet_and_leaves_nothing(store: str) -> None:
    command = [sys.executable, "-m", "ropeway.cli", "bench", "--store", store, "--seconds", "100", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "train-000000.tar" not in Path(f"/proc/{process.pid}/maps").read_text():  # until the loader streams
        assert process.poll() is None
        sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert errors == ""


def test_defaults_that_help_shows_are_the_librarys() -> None:
    assert signature(command).parameters["memory"].default << 20 == MEMORY
