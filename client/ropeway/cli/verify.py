"""`ropeway verify`: is what is stored what was packed, does it name anybody, does it repeat itself?"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ropeway.cli import options, output
from ropeway.cli.output import size, stdout

if TYPE_CHECKING:
    from ropeway.catalog import StoreCatalog
    from ropeway.manifest import Manifest

T = TypeVar("T")

SHOWN = 20
"""Findings told to people; programs get all that were kept."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.STEWARD)(verify)


def verify(
    store: options.OwnStore,
    dataset: Annotated[list[str] | None, typer.Argument(help="Dataset ids; all of the store by default.")] = None,
    privacy: Annotated[bool, typer.Option("--privacy", help="Instead, look for what may name a person.")] = False,
    identifiers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --privacy: names and ids to look for, one a line.")
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="With --privacy: read text in pictures too, about one a second and core.")
    ] = False,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Instead, look for samples that hold the same, in any dataset.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Recompute every checksum, compare index and tars, look for subjects in two splits.

    Exit status 1 when something is found: a problem, a trace of a person, equal samples in two splits.
    """
    from ropeway.errors import UsageError

    if privacy and duplicates:
        raise UsageError("--privacy and --duplicates are two checks: ask for one at a time")
    if identifiers and not privacy:
        raise UsageError("--identifiers is what --privacy looks for: give both")
    if pixels and not privacy:
        raise UsageError("--pixels is where --privacy looks: give both")
    catalog, manifests = _chosen(store, dataset or [])
    if privacy:
        clean = _private(catalog, manifests, identifiers, pixels, json)
    elif duplicates:
        clean = _distinct(catalog, manifests, json)
    else:
        clean = _sound(catalog, manifests, json)
    if not clean:
        raise typer.Exit(1)


def _chosen(store: str, names: Sequence[str]) -> "tuple[StoreCatalog, list[Manifest]]":
    from ropeway.catalog import StoreCatalog
    from ropeway.errors import UsageError
    from ropeway.stores import open_store

    catalog = StoreCatalog(open_store(store))
    manifests = [catalog.manifest(name) for name in names] if names else catalog.current()
    if not manifests:
        raise UsageError("the store holds no dataset", url=store)
    return catalog, manifests


def _sound(catalog: "StoreCatalog", manifests: "Sequence[Manifest]", json: bool) -> bool:
    from ropeway.verify import verify as check

    reports = _each(manifests, lambda manifest, advance: check(catalog.store, manifest, advance))
    if json:
        output.print_json(reports)
    else:
        for report in reports:
            verdict = f"[bold red]{len(report.problems)} problems[/]" if report.problems else "sound"
            stdout.print(f"{report.dataset}@{report.version}: {report.samples:,} samples, {report.shards:,} shards, "
                         f"{size(report.bytes)}: {verdict}")  # fmt: skip
            if report.unchecked:
                stdout.print(f"  {report.unchecked:,} samples have no checksum to compare: adopted by headers alone")
            for problem in report.problems:
                stdout.print(f"  {problem}", markup=False, soft_wrap=True)
    return not any(report.problems for report in reports)


def _private(
    catalog: "StoreCatalog", manifests: "Sequence[Manifest]", planted: Path | None, pixels: bool, json: bool
) -> bool:
    from ropeway.privacy import lint
    from ropeway.privacy_pixels import TextReader
    from ropeway.privacy_rules import Identifiers

    wanted = Identifiers.read(planted) if planted else Identifiers(())
    reader = TextReader() if pixels else None
    reports = _each(manifests, lambda manifest, advance: lint(catalog.store, manifest, wanted, advance, reader=reader))
    if json:
        output.print_json(reports)
    else:
        for report in reports:
            found = sum(report.counts.values())
            verdict = f"[bold red]{found:,} findings[/]" if found else "nothing found"
            stdout.print(f"{report.dataset}@{report.version}: {report.samples:,} samples: {verdict}")
            for rule, count in report.counts.items():
                stdout.print(f"  {count:,} {rule}")
            for form, count in report.unseen.items():
                stdout.print(f"  {count:,} {form} not looked at")
            for finding in report.findings[:SHOWN]:
                stdout.print(f"  {finding}", markup=False, soft_wrap=True)
    return not any(report.counts for report in reports)


def _distinct(catalog: "StoreCatalog", manifests: "Sequence[Manifest]", json: bool) -> bool:
    from ropeway.twins import find

    with output.byte_progress() as progress:
        bar = progress.add_task("reading", total=sum(manifest.bytes for manifest in manifests))
        found = find(catalog.store, manifests, partial(progress.advance, bar))
    if json:
        output.print_json(found)
        return not found.leaks
    leaks = f"[bold red]{found.leaks:,} groups in more than one split[/]" if found.leaks else "none across splits"
    stdout.print(f"{found.samples:,} samples, {found.compared:,} compared: {len(found.groups):,} groups hold the same, "
                 f"{leaks}; distinct would leave out {found.repeated:,}")  # fmt: skip
    table = output.table("in", "and in", "groups>")
    for pair in found.pairs:
        table.add_row(pair.one, "itself" if pair.one == pair.other else pair.other, f"{pair.groups:,}")
    if found.pairs:
        stdout.print(table)
    for group in found.groups[:SHOWN]:
        twins = " = ".join(f"{twin.dataset}/{twin.split}/{twin.key}" for twin in group[:SHOWN])
        more = f" and {len(group) - SHOWN} more" if len(group) > SHOWN else ""
        stdout.print(f"  {twins}{more}", markup=False, soft_wrap=True)
    return not found.leaks


def _each(manifests: "Sequence[Manifest]", check: "Callable[[Manifest, Callable[[int], None]], T]") -> list[T]:
    """A check of each dataset, with a progress bar over its bytes."""
    reports = []
    with output.byte_progress() as progress:
        for manifest in manifests:
            bar = progress.add_task(manifest.dataset, total=manifest.bytes)
            reports.append(check(manifest, partial(progress.advance, bar)))
    return reports
