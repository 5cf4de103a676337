"""`ropeway grant`: who may read what, until when, by which agreement."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ropeway.cli import output
from ropeway.cli.options import OPERATE, Json
from ropeway.cli.output import stderr, stdout
from ropeway_server.cli.options import DATABASE, Database, existing, opened, operator

grant = typer.Typer(help="Who may read what: give, list and revoke rights.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(grant, name="grant", rich_help_panel=OPERATE)


@grant.command()
def add(
    holder: Annotated[str, typer.Argument(help="A principal's name, group:NAME, or everyone.", show_default=False)],
    agreement: Annotated[str, typer.Option(help="What was agreed to, by name and version.", show_default=False)],
    dataset: Annotated[str | None, typer.Option(help="The dataset it is for …")] = None,
    tier: Annotated[str | None, typer.Option(help="… or the tier: registered, credentialed or restricted.")] = None,
    signed: Annotated[
        str, typer.Option(metavar="DATE", help="The day the agreement was signed; today by default.")
    ] = "",
    expires: Annotated[str, typer.Option(metavar="WHEN", help="365d, a date, or never.")] = "365d",
    count: Annotated[bool, typer.Option("--count", help="Only counts without small cells, no samples.")] = False,
    store: Annotated[
        str,
        typer.Option("--store", "-s", metavar="URL", envvar="ROPEWAY_STORE", help="Look whether the dataset is there."),
    ] = "",
    database: Database = DATABASE,
) -> None:
    """Give a right to read (or only count) a dataset, or all datasets of a tier."""
    from ropeway_server.times import since, until

    day = since(signed).date() if signed else datetime.now(UTC).date()
    end = until(expires)
    with opened(database) as state:
        from ropeway.catalog import StoreCatalog
        from ropeway.stores import open_store
        from ropeway_server.grants import Grants, checked, note_on

        asked = checked({"holder": holder, "agreement": agreement, "signed": day, "dataset": dataset, "tier": tier,
                         "level": "count" if count else "read", "expires": end})  # fmt: skip
        note = note_on(asked, StoreCatalog(open_store(store))) if store else _unseen(dataset)
        made = Grants(state).add(asked, by=operator())
    if note:
        stderr.print(note)
    stdout.print(f"grant {made.id}: {holder} may {made.level} {_what(made.dataset, made.tier)} {_until(end)}")


def _unseen(dataset: str | None) -> str | None:
    return dataset and f"without --store nobody looked whether there is a dataset {dataset}"


@grant.command("list")
def list_grants(database: Database = DATABASE, json: Json = False) -> None:
    """List all grants."""
    with existing(database) as state:
        from ropeway_server.grants import Grants

        found = Grants(state).listed()
    if json:
        output.print_json(found)
        return
    table = output.table("grant>", "holder", "may", "of", "agreement", "expires", "state")
    for one in found:
        expired = one.expires is not None and one.expires <= datetime.now(UTC)
        state_now = "revoked" if one.revoked else "expired" if expired else "good"
        table.add_row(str(one.id), one.holder, one.level, _what(one.dataset, one.tier), one.named,
                      "never" if one.expires is None else f"{one.expires:%Y-%m-%d %H:%M}", state_now)  # fmt: skip
    stdout.print(table if found else "no grants: give one with `ropeway grant add`")


@grant.command()
def revoke(
    number: Annotated[int, typer.Argument(help="As `ropeway grant list` shows it.")],
    database: Database = DATABASE,
) -> None:
    """End a right: it holds no more from the next request on."""
    with existing(database) as state:
        from ropeway_server.grants import Grants

        Grants(state).revoke(number, by=operator())
    stdout.print(f"grant {number} holds no more")


def _what(dataset: str | None, tier: str | None) -> str:
    return dataset or f"every {tier} dataset"


def _until(end: datetime | None) -> str:
    return "for ever" if end is None else f"until {end:%Y-%m-%d %H:%M}"
