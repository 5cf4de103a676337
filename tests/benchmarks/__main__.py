"""`python -m benchmarks run|report|packing|service|mount|adopt`: see `--help`."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from benchmarks import chart, report, results
from benchmarks.runner import Settings, run
from benchmarks.servers import SOURCES
from benchmarks.systems import ENTRIES
from benchmarks.workloads import WORKLOADS

_ALL = dict.fromkeys(SOURCES, 2) | {"local": 5, "s3": 3}
_SECOND = {"local": 5, "s3": 3, "s3-20ms": 1}
_ONCE = {"local": 1, "s3": 1, "s3-20ms": 1}

PLAN: Mapping[str, Mapping[str, int]] = {
    "ecg": _ALL,
    "tiny": {"local": 3, "s3": 1, "s3-20ms": 1},
    "jpeg": _SECOND,
    "volume": _SECOND,
    "mixed": _ONCE,
    "clustered": _ONCE,
    "scattered": _ONCE,
}
"""What is streamed from where, and in how many rounds, unless told otherwise."""

QUICK: Mapping[str, Mapping[str, int]] = {"ecg": {"local": 1, "s3": 1}, "jpeg": {"local": 1}, "clustered": {"local": 1}}
"""The same for a quick run."""


APART = ("adopt", "mount", "packing", "service")
"""Benchmarks that have no rivals of the loader in them."""


def main() -> None:
    if sys.argv[1:] and sys.argv[1] in APART:  # each with libraries of its own, which the rivals' environment lacks
        import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        return
    given = _arguments()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("benchmarks").setLevel(logging.DEBUG if given.verbose else logging.INFO)
    given.output.mkdir(parents=True, exist_ok=True)
    where = given.output / "bench.json"
    if given.command == "run":
        with tempfile.TemporaryDirectory(prefix="ropeway-bench-", dir=given.scratch) as scratch:
            run(_settings(given, Path(scratch)), lambda found: results.save(found, where))
    found = results.load(where)
    chart.draw(found, given.output / "bench.png")
    told = report.text(found)
    (given.output / "bench.txt").write_text(told)
    sys.stdout.write(told)
    if given.readme is not None:
        report.write_readme(found, given.readme)
    failed = [one for one in found.measured if one.system == "ropeway" and one.missing]
    if failed:
        sys.exit(f"Ropeway itself failed: {failed[0].workload} from {failed[0].source}: {failed[0].missing}")


def _settings(given: argparse.Namespace, scratch: Path) -> Settings:
    plan = {
        name: {source: given.repeats or rounds for source, rounds in sources.items() if source in given.sources}
        for name, sources in (QUICK if given.quick else PLAN).items()
        if name in given.workloads
    }
    sizes = {name: work.quick if given.quick else work.samples for name, work in WORKLOADS.items()}
    return Settings(
        plan={name: sources for name, sources in plan.items() if sources},
        systems=given.systems,
        samples={name: given.samples or sizes[name] for name in plan},
        seconds=given.seconds or (0.3 if given.quick else 1.2),
        workers=given.workers or ((0,) if given.quick else (0, 1, 2)),
        resumes=None if given.only_speed else "ecg",
        waits=[] if given.only_speed else [name for name in ("ecg", "jpeg") if name in plan],
        pythons={"main": sys.executable, "mosaic": given.mosaic_python or sys.executable},
        scratch=scratch,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__package__ and sys.modules[__package__].__doc__))
    parser.add_argument("command", choices=("run", "report"), help="measure, or tell again what was measured")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few samples, one round, no worker processes: whether it works, not how fast",
    )
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--systems", nargs="+", choices=list(ENTRIES), default=list(ENTRIES))
    parser.add_argument("--samples", type=int, help="of each workload")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of worker processes to try (0 1 2; quick: 0)")
    parser.add_argument("--repeats", type=int, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, help="of steady state in each measurement, at least (1.2; quick: 0.3)")
    parser.add_argument("--only-speed", action="store_true", help="neither resume nor data-wait")
    parser.add_argument("--scratch", type=Path, help="where to make the temporary folder (up to 20 GB)")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder of bench.json, .png and .txt")
    parser.add_argument("--readme", type=Path, help=f"also write the tables between {report.BEGIN} and {report.END}")
    parser.add_argument("--mosaic-python", help="interpreter of the environment that has mosaicml-streaming")
    parser.add_argument("--verbose", action="store_true", help="why what is n/a failed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
