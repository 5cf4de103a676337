"""The demo's steps, each done with what a user would use."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import ropeway
from ropeway.catalog import Catalog
from ropeway.errors import RopewayError, ServiceError
from ropeway.manifest import Manifest
from ropeway.stores import open_store
from ropeway.verify import verify
from ropeway_shardgen import raw_samples, recipe
from ropeway_shardgen.demo import job
from ropeway_shardgen.demo.proof import Verdict, prove
from ropeway_shardgen.demo.train import TrainPlan
from ropeway_shardgen.pack import pack

RECIPES = (
    "dicom-images", "ecg-dicom", "eeg-edf", "gbsg2", "lung", "nifti-volumes", "pbmc68k", "photographs",
)  # fmt: skip
TASK, PART, WHERE = "cell-type", "expression", "percent_mito < 0.02"
"""Cells with little mitochondrial RNA: a usual quality filter."""

WORLDS = (2, 3)
"""Processes of the first start, and of the resumed one. Both divide the global batch."""

DIE_AT = (4, 8)
"""Epoch and step at which the last rank of the first start kills itself: in the middle of an epoch."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found; `to_json` is what `--json` prints."""

    manifests: Sequence[Manifest]
    view_id: str
    view_samples: int
    query_seconds: float
    verdict: Verdict
    loss_first: float
    loss_last: float
    accuracy: float
    baseline: float
    samples_per_second: float
    data_wait: float

    def to_json(self) -> dict[str, int | float | bool]:
        """The summary as one JSON object."""
        return {
            "datasets": len(self.manifests),
            "samples": sum(manifest.samples for manifest in self.manifests),
            "bytes": sum(manifest.bytes for manifest in self.manifests),
            "shards": sum(len(manifest.shards) for manifest in self.manifests),
            "query_seconds": round(self.query_seconds, 4),
            "delivered": self.verdict.delivered,
            "expected": self.verdict.expected,
            "duplicates": self.verdict.duplicates,
            "missing": self.verdict.missing,
            "taken_back": self.verdict.taken_back,
            "exactly_once": self.verdict.exactly_once,
            "loss_first": round(self.loss_first, 4),
            "loss_last": round(self.loss_last, 4),
            "accuracy": round(self.accuracy, 4),
            "baseline": round(self.baseline, 4),
            "samples_per_second": round(self.samples_per_second, 1),
            "data_wait": round(self.data_wait, 4),
        }


@dataclass(frozen=True)
class Demo:
    """One run of the demo.

    Attributes:
        folder: where the store (unless it is on S3), the service's database, logs and checkpoints go.
        store_url: the store.
        say: told in words what is going on.
    """

    folder: Path
    store_url: str
    say: Say

    def run(self) -> Outcome:
        """All steps, in order.

        Raises:
            RopewayError: a step failed; the message says which and why.
        """
        manifests = self._pack()
        self._verify(manifests)
        with self._service() as url:
            catalog = ropeway.connect(url)
            view, seconds = self._query(catalog)
            plan = TrainPlan(service=url, task=TASK, part=PART, where=WHERE, folder=str(self._work))
            resumed_at = self._train(plan)
            keys = view.table().keys.to_pylist()
        verdict = prove([self._logs(0), self._logs(1)], [resumed_at], keys, plan.epochs)
        results = [_read(replace(plan, attempt=1).results(rank)) for rank in range(WORLDS[1])]
        self.say(f"proved from the logged keys: {told(verdict)}")
        return Outcome(
            manifests=manifests,
            view_id=view.id,
            view_samples=view.samples,
            query_seconds=seconds,
            verdict=verdict,
            loss_first=_losses(plan.losses(0))[0],
            loss_last=_losses(replace(plan, attempt=1).losses(0))[-1],
            accuracy=results[0]["correct"] / results[0]["evaluated"],
            baseline=results[0]["baseline"],
            samples_per_second=sum(one["samples"] for one in results) / max(one["elapsed"] for one in results),
            data_wait=sum(one["data_wait"] for one in results) / len(results),
        )

    @cached_property
    def _work(self) -> Path:
        work = self.folder / "job"
        work.mkdir(parents=True, exist_ok=True)
        return work

    def _pack(self) -> list[Manifest]:
        root = raw_samples.fetch(self.say)
        store = open_store(self.store_url)
        began = perf_counter()
        manifests = [pack(recipe.load(name), root, store).manifest for name in RECIPES]
        samples = sum(manifest.samples for manifest in manifests)
        shards = sum(len(manifest.shards) for manifest in manifests)
        size = sum(manifest.bytes for manifest in manifests)
        self.say(
            f"packed {len(manifests)} datasets into {self.store_url}: {samples:,} samples, {size / 1e6:.1f} MB in "
            f"{shards} shards, {perf_counter() - began:.1f} s"
        )
        return manifests

    def _verify(self, manifests: Sequence[Manifest]) -> None:
        store = open_store(self.store_url)
        problems = [problem for manifest in manifests for problem in verify(store, manifest).problems]
        if problems:
            raise RopewayError(f"what was packed does not verify: {problems[0]}")
        self.say("verified every checksum, index against tars, no subject in two splits")

    @contextmanager
    def _service(self) -> Iterator[str]:
        database = f"sqlite:///{self.folder / 'service.db'}"
        command = ["-m", "ropeway.cli", "serve", "--store", self.store_url, "--database", database, "--port", "0"]
        log = self.folder / "service.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        try:
            yield _service_url(process, log)
        finally:
            process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def _query(self, catalog: Catalog) -> tuple[ropeway.View, float]:
        datasets, tasks = catalog.datasets(), catalog.tasks()
        began = perf_counter()
        view = catalog.query(task=TASK, split="train", where=WHERE)
        view.table()
        seconds = perf_counter() - began
        self.say(
            f"asked the service: {len(datasets)} datasets, {len(tasks)} tasks; view {view.id} of task {TASK}, "
            f"split train, where {WHERE}: {view.samples} samples in {seconds * 1000:.0f} ms"
        )
        return view, seconds

    def _train(self, plan: TrainPlan) -> tuple[int, int]:
        """Two starts of the job; returns where the second one resumed."""
        first, second = WORLDS
        doomed, resumed = replace(plan, die_at=DIE_AT), replace(plan, attempt=1)
        if job.start(doomed, first) == 0 or not plan.checkpoint.exists():
            raise RopewayError(f"the first start of the training should have been killed: {job.why_failed(doomed)}")
        with np.load(plan.checkpoint, allow_pickle=False) as saved:
            state = json.loads(str(saved["__loader__"]))
        self.say(
            f"trained on {first} processes; rank {first - 1} was killed in epoch {DIE_AT[0]}, step {DIE_AT[1]}; "
            f"checkpoint at epoch {state['epoch']}, position {state['position']}"
        )
        if (status := job.start(resumed, second)) != 0:
            raise RopewayError(f"the resumed training failed (status {status}): {job.why_failed(resumed)}")
        self.say(f"resumed on {second} processes and finished epoch {plan.epochs - 1}")
        return state["epoch"], state["position"]

    def _logs(self, attempt: int) -> list[Path]:
        return sorted(self._work.glob(f"keys-{attempt}-*.jsonl"))


def told(verdict: Verdict) -> str:
    """The verdict in words."""
    sound = "each exactly once per epoch" if verdict.exactly_once else "[bold red]NOT exactly once[/]"
    return (
        f"{verdict.delivered:,} of {verdict.expected:,} deliveries, {verdict.duplicates} duplicates, "
        f"{verdict.missing} missing: {sound} ({verdict.taken_back} after the checkpoint were taken back with the model)"
    )


def _service_url(process: "subprocess.Popen[str]", log: Path) -> str:
    """The address the service prints once it is up."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+:\d+", line):
            return found.group()
    raise ServiceError(f"the service did not come up: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"nothing in {log}"


def _read(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(results.read_text())
    return found


def _losses(log: Path) -> list[float]:
    return [float(line) for line in log.read_text().splitlines()]
