"""`ropeway verify`: is what is stored what was packed?"""

from functools import partial
from typing import Annotated

import typer

from ropeway.cli import output
from ropeway.cli.output import STEWARD, Json, Store, size, stdout


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=STEWARD)(verify)


def verify(
    store: Store,
    dataset: Annotated[list[str] | None, typer.Argument(help="Dataset ids; all of the store by default.")] = None,
    json: Json = False,
) -> None:
    """Recompute every checksum, compare index and tars, look for subjects in two splits."""
    from ropeway.catalog import StoreCatalog
    from ropeway.errors import UsageError
    from ropeway.stores import open_store
    from ropeway.verify import verify as check

    if store.startswith(("http://", "https://")):
        raise UsageError("verify reads the store itself, not a service: give the store's URL", url=store)
    catalog = StoreCatalog(open_store(store))
    manifests = [catalog.manifest(name) for name in dataset] if dataset else catalog.current()
    if not manifests:
        raise UsageError("the store holds no dataset", url=store)
    reports = []
    with output.byte_progress() as progress:
        for manifest in manifests:
            bar = progress.add_task(manifest.dataset, total=manifest.bytes)
            reports.append(check(catalog.store, manifest, partial(progress.advance, bar)))
    if json:
        output.print_json(reports)
    else:
        for report in reports:
            verdict = f"[bold red]{len(report.problems)} problems[/]" if report.problems else "sound"
            stdout.print(f"{report.dataset}@{report.version}: {report.samples:,} samples, {report.shards:,} shards, "
                         f"{size(report.bytes)}: {verdict}")  # fmt: skip
            for problem in report.problems:
                stdout.print(f"  {problem}", markup=False, soft_wrap=True)
    if any(report.problems for report in reports):
        raise typer.Exit(1)
