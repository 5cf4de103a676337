"""The results as text for a terminal and as the tables of the README."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.results import Measured, Results
from benchmarks.servers import OURS_ONLY
from benchmarks.systems import ENTRIES
from benchmarks.targets import CEILING_TITLES, Target, judge, latest_first_batch, title
from benchmarks.workloads import WORKLOADS

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def groups(results: Results) -> dict[tuple[str, str], list[Measured]]:
    """What was measured by (workload, source), Ropeway first."""
    found: dict[tuple[str, str], list[Measured]] = {}
    for one in results.measured:
        found.setdefault((one.workload, one.source), []).append(one)
    return found


def compared(results: Results) -> dict[tuple[str, str], list[Measured]]:
    """The same without sources that only Ropeway is measured on."""
    return {where: measured for where, measured in groups(results).items() if where[1] not in OURS_ONLY}


def text(results: Results) -> str:
    """Everything, in plain text."""
    return "\n".join([*_systems(results), *_once(results), *_targets(judge(results)), "", _told(results), ""])


def _systems(results: Results) -> Iterator[str]:
    for (workload, source), measured in groups(results).items():
        ours = results.find("ropeway", workload, source)
        yield title(workload, source)
        yield (f"  {'':<22}{'samples/s':>11}{'MB/s':>8}{'shuffle':>9}{'Ropeway ×':>11}{'workers':>9}{'first batch':>13}"
               f"{'1st epoch/s':>13}{'peak MB':>9}{'anonymous':>11}{'CPU s/1000':>12}")  # fmt: skip
        for one in measured:
            name = ENTRIES[one.system].title
            if one.missing:
                yield f"  {name:<22}{'n/a':>11}  {one.missing}"
                continue
            ratio = f"{ours.samples_per_second / one.samples_per_second:.2f}" if ours else ""
            yield (f"  {name:<22}{one.samples_per_second:>11,.0f}{one.bytes_per_second / 1e6:>8,.0f}"
                   f"{one.shuffle_quality:>9.3f}{ratio:>11}{one.workers:>9}{one.first_batch_seconds:>11.3f} s"
                   f"{one.first_epoch_per_second:>13,.0f}{one.peak_bytes / 1e6:>9,.0f}"
                   f"{one.peak_anonymous_bytes / 1e6:>11,.0f}{one.cpu_seconds:>12.3f}")  # fmt: skip
        for limit in results.ceilings:
            if (limit.workload, limit.source) == (workload, source):
                share = f"{ours.loop_per_second / limit.samples_per_second:.2f} of it" if ours else ""
                yield f"  · {CEILING_TITLES[limit.name]:<34}{limit.samples_per_second:>11,.0f}  {share}"
        yield ""


def _once(results: Results) -> Iterator[str]:
    """What is measured beside speed."""
    if results.resumes:
        yield f"Resume at 90 % of an epoch ({results.resumes[0].workload})"
        for one in results.resumes:
            said = one.missing or f"{one.seconds:.3f} s, {'exact' if one.exact else 'not the batch that was due'}"
            yield f"  {ENTRIES[one.system].title:<22}{'no: ' if one.missing else ''}{said}"
        yield ""
    for read in results.reads:
        yield (f"{WORKLOADS[read.workload].title}: reads {read.read_bytes / read.matching_bytes:.2f} × the matching "
               f"bytes, {read.read_bytes / read.dataset_bytes:.2f} of all, in {read.requests:,} requests")  # fmt: skip
    for wait in results.waiting:
        yield f"{wait.workload}: steps of {1000 * wait.step_seconds:.1f} ms wait {wait.data_wait:.2%} of the time"
    yield ""


def _targets(targets: list[Target]) -> Iterator[str]:
    yield "Targets"
    for target in targets:
        yield f"  {target.text:<76}{target.verdict}"


def _told(results: Results) -> str:
    samples = ", ".join(f"{count:,} {name}" for name, count in results.samples.items())
    rounds = results.settings["rounds"]
    return f"{machine.sentence(results.machine)}. Samples: {samples}; medians of up to {rounds} rounds."


def markdown(results: Results) -> str:
    """The README's tables, without the markers."""
    names = [name for name in ENTRIES if any(one.system == name for one in results.measured)]
    lines = [
        f"| samples/s (shuffle quality) | {' | '.join(ENTRIES[name].title for name in names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for workload, source in compared(results):
        cells = [_cell(results.find(name, workload, source), bold=name == "ropeway") for name in names]
        lines.append(f"| {title(workload, source)} | {' | '.join(cells)} |")
    lines += [
        "",
        "| Ropeway | GB/s | of the ceiling | first batch | memory, without file pages |",
        "|---|---|---|---|---|",
    ]
    for workload, source in compared(results):
        ours = results.find("ropeway", workload, source)
        if ours is not None:
            cells = [
                title(workload, source),
                f"{ours.bytes_per_second / 1e9:.2f}",
                _limits(results, ours),
                f"{ours.first_batch_seconds:.2f} s",
                f"{ours.peak_anonymous_bytes / 1e6:,.0f} MB",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_sentences(results), "", *_judged(results), "", _told(results)])


def _cell(one: Measured | None, *, bold: bool) -> str:
    if one is None:
        return "–"
    mark = "**" if bold else ""
    return f"{mark}{one.samples_per_second:,.0f}{mark} ({one.shuffle_quality:.2f})"


def _limits(results: Results, ours: Measured) -> str:
    """The share of the ceilings that bound this workload."""
    for names in (("gets", "gets_kept", "gets_given"), ("decode",), ("gather", "readv"), ("readv_batches",)):
        limits = [(name, limit) for name in names if (limit := results.ceiling(name, ours.workload, ours.source))]
        if limits:
            return ", ".join(f"{ours.loop_per_second / limit:.2f} of {CEILING_TITLES[name]}" for name, limit in limits)
    return "–"


def _sentences(results: Results) -> Iterator[str]:
    for read in results.reads:
        times = read.read_bytes / read.matching_bytes
        yield f"- {WORKLOADS[read.workload].title}: Ropeway reads {times:.2f} × the matching bytes."
    yield from _first_epochs(results)
    resumed = [one for one in results.resumes if not one.missing]
    if resumed:
        told = ", ".join(
            f"{ENTRIES[one.system].title} {one.seconds:.2f} s{'' if one.exact else ' (not exact)'}" for one in resumed
        )
        others = ", ".join(ENTRIES[one.system].title for one in results.resumes if one.missing)
        yield f"- Resume at 90 % of an epoch: {told}{f'; not: {others}' if others else ''}."
    latest = latest_first_batch(results)
    alone = results.ceiling("gets_kept", latest.workload, "s3") if latest else None
    if latest and alone:
        bytes_alone = f"all bytes of its view alone {results.samples[latest.workload] / alone:.2f} s"
        yield f"- The first batch of {latest.workload} from S3 takes {latest.first_batch_seconds:.2f} s, {bytes_alone}."
    for wait in results.waiting:
        step = f"{1000 * wait.step_seconds:.1f} ms"
        yield f"- {wait.workload}: training steps of {step} wait for data {wait.data_wait:.2%} of the time."


def _first_epochs(results: Results) -> Iterator[str]:
    """What the steady state leaves out, where epochs come from the page cache; those of subsets are mostly opening."""
    for (workload, source), measured in compared(results).items():
        ours = results.find("ropeway", workload, source)
        rivals = [one for one in measured if one.system != "ropeway" and one.first_epoch_per_second]
        if source == "local" and ours and rivals and WORKLOADS[workload].keep is None:
            best = max(rivals, key=lambda one: one.first_epoch_per_second)
            times = ours.first_epoch_per_second / best.first_epoch_per_second
            told = f"{ours.first_epoch_per_second:,.0f} samples/s, {times:.2f} × {ENTRIES[best.system].title}"
            yield f"- First epoch of {workload} from the page cache, opening and all checksums included: {told}."


def _judged(results: Results) -> Iterator[str]:
    """A table to be opened, its sum above it."""
    targets = judge(results)
    measured = [one for one in targets if one.figure is not None]
    met = sum(one.met for one in measured)
    yield f"<details><summary>{met} of the {len(measured)} targets that were measured are met.</summary>"
    yield ""
    yield "| target | this run |"
    yield "|---|---|"
    for one in targets:
        yield f"| {one.text} | {one.verdict} |"
    yield ""
    yield "</details>"


def write_readme(results: Results, path: Path) -> None:
    """Put the tables between the markers of a README.

    Raises:
        ValueError: it has no such markers.
    """
    content = path.read_text()
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN} and {END} for the tables to go between")
    path.write_text(f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}")
