"""What Ropeway wants to reach, and whether a run shows that it does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.results import Measured, Results
from benchmarks.systems import ENTRIES
from benchmarks.workloads import WORKLOADS

LITDATA = ("litdata", "litdata_arrays")


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `figure` is None where the run did not measure it."""

    text: str
    figure: float | None
    met: bool
    shown: str

    @property
    def verdict(self) -> str:
        if self.figure is None:
            return "not measured"
        return f"{'met' if self.met else 'not met'} ({self.shown})"


def judge(results: Results) -> list[Target]:
    """All targets, in the order of the table."""
    return [*_local(results), *_remote(results), *_mixing(results), *_reads(results), *_times(results)]


def rival(results: Results, workload: str, source: str, names: tuple[str, ...] = ()) -> Measured | None:
    """The fastest rival (of those named), with its best number of workers."""
    found = [results.find(name, workload, source) for name in names or ENTRIES if name != "ropeway"]
    there = [one for one in found if one is not None]
    return max(there, key=lambda one: one.samples_per_second, default=None)


def latest_first_batch(results: Results) -> Measured | None:
    """Ropeway's on the workload whose first batch from S3 takes longest."""
    remote = [one for one in results.measured if (one.system, one.source, one.missing) == ("ropeway", "s3", "")]
    return max(remote, key=lambda one: one.first_batch_seconds, default=None)


def _local(results: Results) -> Iterator[Target]:
    yield _times_rival(results, "ecg", 2.5, LITDATA)
    yield _times_rival(results, "ecg", 2.5, ("litdata_arrays",))
    yield _times_rival(results, "ecg", 12, ("mosaic",))
    yield _times_rival(results, "ecg", 25, ("webdataset",))
    yield _share(results, "ecg", 0.6, "readv")
    yield _times_rival(results, "tiny", 6, LITDATA)
    yield _times_rival(results, "tiny", 6, ("litdata_arrays",))
    yield _share(results, "jpeg", 0.9, "decode")
    yield _times_rival(results, "jpeg", 2, limit="decode")
    yield _share(results, "volume", 0.6, "readv")
    yield _times_rival(results, "volume", 2, limit="gather")


def _remote(results: Results) -> Iterator[Target]:
    for workload in ("ecg", "jpeg", "volume"):
        yield _share(results, workload, 0.9, "gets", "s3", limit="gets_given")
        yield _share(results, workload, 0.9, "gets_kept", "s3", "decode" if workload == "jpeg" else None)
        if workload != "jpeg":
            yield _share(results, workload, 0.9, "gets_given", "s3")
        yield _times_rival(results, workload, 1.5, source="s3")
    slow, fast = results.find("ropeway", "ecg", "s3-20ms"), results.find("ropeway", "ecg", "s3-proxy")
    ratio = slow.loop_per_second / fast.loop_per_second if slow and fast else None
    yield _at_least("S3 with 20 ms latency ≥ 0.85 of without (both through the proxy)", ratio, 0.85)


def _mixing(results: Results) -> Iterator[Target]:
    ours = [one.shuffle_quality for one in results.measured if one.system == "ropeway" and not one.missing]
    yield _at_least("shuffle quality ≥ 0.95 of uniform, everywhere", min(ours, default=None), 0.95)


def _reads(results: Results) -> Iterator[Target]:
    found = {one.workload: one for one in results.reads}
    near, apart = found.get("clustered"), found.get("scattered")
    yield _at_most(
        "5 % subset, matches together: reads ≤ 1.3 × the matching bytes",
        near.read_bytes / near.matching_bytes if near else None, 1.3,
    )  # fmt: skip
    yield _at_most(
        "5 % subset, matches apart: reads ≤ all bytes", apart.read_bytes / apart.dataset_bytes if apart else None, 1
    )


def _times(results: Results) -> Iterator[Target]:
    latest = latest_first_batch(results)
    yield _below("first batch from S3 < 1 s", latest.first_batch_seconds if latest else None, 1, "s")
    resumed = [one.seconds for one in results.resumes if one.system == "ropeway" and not one.missing]
    yield _below("resume at 90 % of an epoch < 1 s", max(resumed, default=None), 1, "s")
    waits = [100 * one.data_wait for one in results.waiting]
    yield _below("data-wait < 1 % while a step takes 1.2 × the batch's time", max(waits, default=None), 1, "%")


def _times_rival(
    results: Results, workload: str, times: float, names: tuple[str, ...] = (), source: str = "local", limit: str = ""
) -> Target:
    """How many times a rival's rate ours is; `limit`: a ceiling whose rate is told as well."""
    ours, theirs = results.find("ropeway", workload, source), rival(results, workload, source, names)
    who = "the best rival" if not names else ENTRIES[names[0]].title if len(names) == 1 else "litdata's best format"
    text = f"{workload} from {_place(source)} ≥ {times:g} × {who}"
    if ours is None or theirs is None:
        return Target(text, None, False, "")
    ratio = ours.samples_per_second / theirs.samples_per_second
    named = "" if names and len(names) == 1 else f", {ENTRIES[theirs.system].title}"
    best = results.ceiling(limit, workload, source)
    at_best = f"; {CEILING_TITLES[limit]}: {best / theirs.samples_per_second:.2f} ×" if best else ""
    return Target(text, ratio, ratio >= times, f"{ratio:.2f} ×{named}{at_best}")


def _share(
    results: Results, workload: str, share: float, ceiling: str, source: str = "local", then: str | None = None,
    limit: str = "",
) -> Target:  # fmt: skip
    """What we reach of a ceiling; or of two together, where the same cores have to do both. `limit`: a lower ceiling,
    whose share is told as well."""
    names = [ceiling] if then is None else [ceiling, then]
    ours, limits = results.find("ropeway", workload, source), [results.ceiling(n, workload, source) for n in names]
    there = [limit for limit in limits if limit]
    ratio = ours.loop_per_second * sum(1 / limit for limit in there) if ours and len(there) == len(names) else None
    of = " and ".join(CEILING_TITLES[name] for name in names)
    judged = _at_least(f"{workload} from {_place(source)} ≥ {share:g} of {of}", ratio, share)
    best = results.ceiling(limit, workload, source)
    if not best or not limits[0]:
        return judged
    return replace(judged, shown=f"{judged.shown}; {CEILING_TITLES[limit]}: {best / limits[0]:.2f}")


CEILING_TITLES = {
    "memcpy": "memcpy",
    "readv": "readv (1 MiB pieces, one buffer)",
    "readv_batches": "readv (batch buffers in turn)",
    "gather": "gathering in shuffled order, all cores",
    "decode": "decode only, all cores",
    "gets": "raw range GETs, same client",
    "gets_kept": "the same GETs, all bytes kept",
    "gets_given": "the same GETs, all samples checked and gathered",
    "gets_whole": "whole shards by GETs of 4 MiB",
}
"""In words."""

_PLACES = {
    "local": "the page cache",
    "s3": "S3",
    "s3-proxy": "S3 through a proxy",
    "s3-20ms": "S3 with 20 ms latency",
}


def _place(source: str) -> str:
    return _PLACES[source]


def title(workload: str, source: str) -> str:
    """A workload from a source, in words."""
    first = "" if source == "local" else ": first epoch"
    return f"{WORKLOADS[workload].title}, from {_place(source)}{first}"


def _at_least(text: str, figure: float | None, floor: float) -> Target:
    return Target(text, figure, figure is not None and figure >= floor, f"{figure:.2f}" if figure is not None else "")


def _at_most(text: str, figure: float | None, most: float) -> Target:
    return Target(text, figure, figure is not None and figure <= most, f"{figure:.2f}" if figure is not None else "")


def _below(text: str, figure: float | None, bound: float, unit: str) -> Target:
    shown = f"{figure:.2f} {unit}" if figure is not None else ""
    return Target(text, figure, figure is not None and figure < bound, shown)
