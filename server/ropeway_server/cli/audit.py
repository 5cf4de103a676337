"""`ropeway audit`: who got what and when, and whether the log is what was logged."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import output
from ropeway.cli.options import OPERATE, Json
from ropeway.cli.output import stdout
from ropeway_server.cli.options import DATABASE, Database, existing

if TYPE_CHECKING:
    from ropeway_server.audit import Logged
    from ropeway_server.database import Database as State
    from ropeway_server.exposure import Exposure


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=OPERATE)(audit)


def audit(
    dataset: Annotated[str | None, typer.Option(help="Only what was done to this dataset.")] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="Only from then on: 7d, 12h, or a date.")] = None,
    view: Annotated[str | None, typer.Option(help="Only what was done to this view.")] = None,
    subject: Annotated[str | None, typer.Option(help="Instead, who saw this subject (--dataset and --store).")] = None,
    store: Annotated[
        str, typer.Option("--store", "-s", metavar="URL", envvar="ROPEWAY_STORE", help="The service's.")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Instead, look whether the log was tampered with.")] = False,
    head: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="With --check: one that it printed before.")
    ] = None,
    database: Database = DATABASE,
    json: Json = False,
) -> None:
    """Show who got what: views, URLs of shards, samples, and who gave the right to it."""
    from ropeway.errors import UsageError
    from ropeway_server import times

    if subject is not None and not (dataset and store):
        raise UsageError("--subject needs the --dataset it is of, and the service's --store")
    begin = "" if since is None else times.since(since).astimezone(UTC).isoformat(timespec="milliseconds")
    with existing(database) as state:
        from ropeway_server.audit import AuditLog

        log = AuditLog(state)
        if check or head:
            last = log.check(head)
            found = {"events": last.number if last else 0, "head": last.digest if last else None}
            if json:
                output.print_json(found)
            else:
                stdout.print(f"{found['events']:,} events, none changed, added or removed; keep this digest elsewhere, "
                             f"for --head next time:\n{found['head'] or '(an empty log has none)'}")  # fmt: skip
        elif subject is not None and dataset is not None:
            _print_exposures(_saw(state, store, dataset, subject), json=json)
        else:
            _print_events(list(log.events(dataset=dataset, since=begin, view=view)), json=json)


def _saw(state: "State", store: str, dataset: str, subject: str) -> "list[Exposure]":
    from ropeway.catalog import StoreCatalog
    from ropeway.stores import open_store
    from ropeway_server.audit import AuditLog
    from ropeway_server.exposure import exposures
    from ropeway_server.saved import SavedViews
    from ropeway_server.views import Views

    catalog = StoreCatalog(open_store(store))
    return exposures(AuditLog(state), catalog, Views(catalog, SavedViews(state)), dataset, subject)


def _print_events(found: "Sequence[Logged]", *, json: bool) -> None:
    if json:
        output.print_json(found)
        return
    from rich.markup import escape

    table = output.table("event>", "when", "who", "what", "view", "datasets", "objects>", "agreements", "more")
    for one in found:
        event = one.event
        more = ", ".join(f"{name} {value}" for name, value in event.detail.items() if value not in (None, ""))
        table.add_row(str(one.number), event.at, event.principal, event.action, event.view, ", ".join(event.datasets),
                      f"{len(event.objects):,}" if event.objects else "", "; ".join(event.agreements),
                      escape(more))  # fmt: skip
    stdout.print(table if found else "nothing")


def _print_exposures(found: "Sequence[Exposure]", *, json: bool) -> None:
    if json:
        output.print_json(found)
        return
    table = output.table("who", "what", "view", "the subject is", "first", "last", "times>")
    for one in found:
        table.add_row(one.principal, one.action, one.view, one.how, one.first, one.last, f"{one.times:,}")
    stdout.print(table if found else "nobody")
