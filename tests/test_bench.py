"""The benchmark harness works: a minuscule run from samples to tables and chart, and what it makes of figures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks import report, results
from benchmarks.chart import DASHES
from benchmarks.places import Place, Unable
from benchmarks.quality import shuffle_quality
from benchmarks.results import Ceiling, Measured, Reads, Results, Resume, Waiting
from benchmarks.targets import CEILING_TITLES, judge
from benchmarks.workloads import WORKLOADS

TESTS = Path(__file__).parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_a_minuscule_run_measures_tells_and_draws(tmp_path: Path) -> None:
    output, readme = tmp_path / "out", tmp_path / "README.md"
    readme.write_text(f"# x\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    done = bench(
        *("run", "--workloads", "ecg", "--sources", "local", "--systems", "ropeway", "webdataset", "files"),
        *("--samples", "1200", "--repeats", "1", "--seconds", "0.01", "--workers", "0", "--only-speed"),
        *("--output", str(output), "--scratch", str(tmp_path), "--readme", str(readme)),
    )
    assert done.returncode == 0, done.stderr
    found = results.load(output / "bench.json")
    assert [one.system for one in found.measured] == ["ropeway", "webdataset", "files"]
    for one in found.measured:
        assert not one.missing
        assert min(one.samples_per_second, one.first_epoch_per_second, one.first_batch_seconds) > 0
        assert min(one.cpu_seconds, one.peak_anonymous_bytes) > 0
        assert one.bytes_per_second == pytest.approx(one.samples_per_second * 24_000)
        assert one.peak_bytes >= one.peak_anonymous_bytes
    shuffled = {one.system: one.shuffle_quality for one in found.measured}
    assert shuffled["ropeway"] == pytest.approx(1, abs=0.03)
    assert shuffled["webdataset"] < 0.9  # a buffer over one sorted shard
    assert {one.name for one in found.ceilings} == {"memcpy", "readv", "readv_batches", "gather"}
    assert (output / "bench.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "webdataset" in (output / "bench.txt").read_text()
    assert done.stdout == (output / "bench.txt").read_text()
    written = readme.read_text()
    assert written.startswith("# x\n\n<!-- bench -->\n| samples/s")
    assert written.endswith("<!-- /bench -->\n\nafter\n")
    assert "old" not in written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "out"]  # the samples are gone


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.run_one", "advance", "--system", "files", "--workload", "ecg"),
            *("--samples", "300", "--folder", str(tmp_path / "data"), "--cache", str(tmp_path)),
            *("--labels", str(tmp_path / "labels.npy"), "--url", "s3://bucket/x"),
        ],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(TESTS)}, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == {"missing": "reads paths only"}


def test_samples_know_their_labels() -> None:
    work = WORKLOADS["mixed"].resized(40)
    samples = [sample for sample in work if set(sample.parts) == {"ecg", "note"}]
    batch: dict[str, Any] = {
        "ecg": np.stack([np.asarray(sample.parts["ecg"]) for sample in samples]),
        "note": [sample.contents["note"].decode() for sample in samples],
        "photo": [None] * len(samples),
        "label": np.array([sample.labels["label"] for sample in samples]),
    }
    work.check(batch)
    with pytest.raises(ValueError, match="labels do not belong to their ecg"):
        work.check(batch | {"label": batch["label"][::-1]})
    with pytest.raises(ValueError, match="note"):
        work.check(batch | {"note": batch["note"][1:]})


def test_shuffle_quality_tells_sorted_from_shuffled() -> None:
    work = WORKLOADS["tiny"].resized(20_000)
    labels = work.labels("label", np.arange(20_000))
    assert shuffle_quality(work, labels) < 0.1
    assert shuffle_quality(work, np.random.default_rng(0).permutation(labels)) == pytest.approx(1, abs=0.01)
    subset = WORKLOADS["scattered"].resized(24_000)
    kept = subset.labels(subset.label, subset.delivered())
    assert len(kept) == pytest.approx(1200, rel=0.05)
    assert shuffle_quality(subset, np.random.default_rng(0).permutation(kept)) == pytest.approx(1, abs=0.01)


def test_labels_of_no_sample_have_no_shuffle_quality() -> None:
    work = WORKLOADS["tiny"].resized(400)
    labels = work.labels("label", np.arange(400))
    labels[7] = work.classes
    with pytest.raises(Unable, match="labels that no sample has"):
        shuffle_quality(work, labels)


MADE_UP = Results(
    machine={"date": "2026-01-01", "cores": "2", "processor": "P", "memory": "8 GiB", "python": "3.12"},
    settings={"rounds": "3"},
    samples={"ecg": 1000},
    measured=[
        Measured(workload="ecg", source="local", system="ropeway", samples_per_second=100.0,
                 loop_per_second=100.0, first_epoch_per_second=60.0, shuffle_quality=0.99),
        Measured(workload="ecg", source="local", system="litdata", samples_per_second=50.0,
                 first_epoch_per_second=40.0, shuffle_quality=0.1),
        Measured(workload="ecg", source="local", system="litdata_arrays", samples_per_second=30.0, shuffle_quality=0.1),
        Measured(workload="ecg", source="local", system="mosaic", missing="not installed"),
        Measured(workload="ecg", source="s3", system="ropeway", samples_per_second=90.0,
                 loop_per_second=95.0, shuffle_quality=0.99, first_batch_seconds=1.5),
        Measured(workload="jpeg", source="s3", system="ropeway", samples_per_second=70.0,
                 loop_per_second=72.0, shuffle_quality=0.99, first_batch_seconds=0.5),
        Measured(workload="jpeg", source="local", system="ropeway", samples_per_second=70.0,
                 loop_per_second=72.0, first_epoch_per_second=69.0, shuffle_quality=0.99),
        Measured(workload="jpeg", source="local", system="files", samples_per_second=40.0,
                 first_epoch_per_second=39.0, shuffle_quality=1.0),
    ],
    ceilings=[Ceiling(workload="ecg", source="local", name="readv", samples_per_second=125.0),
              Ceiling(workload="ecg", source="s3", name="gets", samples_per_second=190.0),
              Ceiling(workload="ecg", source="s3", name="gets_kept", samples_per_second=100.0),
              Ceiling(workload="ecg", source="s3", name="gets_given", samples_per_second=133.0),
              Ceiling(workload="jpeg", source="local", name="decode", samples_per_second=90.0),
              Ceiling(workload="jpeg", source="s3", name="gets_kept", samples_per_second=400.0),
              Ceiling(workload="jpeg", source="s3", name="decode", samples_per_second=100.0)],
    resumes=[Resume(system="ropeway", workload="ecg", seconds=0.1, exact=True),
             Resume(system="webdataset", workload="ecg", missing="it has no state")],
    reads=[Reads(workload="clustered", read_bytes=120, matching_bytes=100, dataset_bytes=2000, requests=3)],
    waiting=[Waiting(workload="ecg", step_seconds=0.01, data_wait=0.002)],
)  # fmt: skip


def test_targets_are_judged_against_each_rivals_best() -> None:
    verdicts = {target.text: target.verdict for target in judge(MADE_UP)}
    assert verdicts["ecg from the page cache ≥ 2.5 × litdata's best format"] == "not met (2.00 ×, litdata, raw bytes)"
    assert verdicts["ecg from the page cache ≥ 2.5 × litdata, arrays"] == "met (3.33 ×)"
    assert verdicts["ecg from the page cache ≥ 12 × mosaicml-streaming"] == "not measured"
    assert verdicts["ecg from the page cache ≥ 0.6 of readv (1 MiB pieces, one buffer)"] == "met (0.80)"
    given = "the same GETs, all samples checked and gathered: 0.70"
    assert verdicts["ecg from S3 ≥ 0.9 of raw range GETs, same client"] == f"not met (0.50; {given})"
    decode = "decode only, all cores: 2.25 ×"
    assert verdicts["jpeg from the page cache ≥ 2 × the best rival"] == f"not met (1.75 ×, torch over files; {decode})"
    assert verdicts["ecg from S3 ≥ 0.9 of the same GETs, all bytes kept"] == "met (0.95)"
    both = "jpeg from S3 ≥ 0.9 of the same GETs, all bytes kept and decode only, all cores"
    assert verdicts[both] == "met (0.90)"  # 400 and 100 a second: one after the other 80, of which we reach 72
    assert verdicts["5 % subset, matches together: reads ≤ 1.3 × the matching bytes"] == "met (1.20)"
    assert verdicts["first batch from S3 < 1 s"] == "not met (1.50 s)"
    assert verdicts["data-wait < 1 % while a step takes 1.2 × the batch's time"] == "met (0.20 %)"


def test_the_report_has_every_figure_and_every_reason() -> None:
    told = report.text(MADE_UP)
    for said in ("not installed", "it has no state", "0.990", "2.00", "1.20 × the matching bytes"):
        assert said in told
    first = "- First epoch of ecg from the page cache, opening and all checksums included: 60 samples/s, 1.50 × litdata"
    assert first in report.markdown(MADE_UP)
    untimed = [msgspec.structs.replace(one, first_epoch_per_second=0.0) for one in MADE_UP.measured]
    assert "First epoch" not in report.markdown(msgspec.structs.replace(MADE_UP, measured=untimed))


def test_every_ceiling_can_be_drawn_and_has_a_title() -> None:
    from benchmarks.ceilings import CEILINGS  # which imports what it measures

    assert set(DASHES) == set(CEILINGS) == set(CEILING_TITLES)


def test_the_requests_of_an_epoch_are_known_without_making_them_here(tmp_path: Path) -> None:
    from benchmarks import ceilings, inside
    from benchmarks.systems import ropeway as system

    work, place = WORKLOADS["ecg"].resized(1536), Place(tmp_path / "data", None, tmp_path / "cache")
    system.write(work, place.folder)
    table = system.open_view(work, place).table()
    ranges, most = inside.asked(work, place)
    assert sum(stop - start for _, start, stop in ranges) == table.length.sum()
    assert len(set(ranges)) == len(ranges) >= most >= 1
    assert ceilings.gets_kept(work, place, 0.0) > 0


def test_results_survive_their_file(tmp_path: Path) -> None:
    results.save(MADE_UP, tmp_path / "bench.json")
    assert results.load(tmp_path / "bench.json") == MADE_UP
    (tmp_path / "bench.json").write_text('{"format": 1}')
    with pytest.raises(msgspec.ValidationError):
        results.load(tmp_path / "bench.json")


def test_a_readme_without_a_place_for_the_tables_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# x\n")
    with pytest.raises(ValueError, match="bench"):
        report.write_readme(MADE_UP, readme)
    assert readme.read_text() == "# x\n"
