"""`ropeway token` and `ropeway group`: who may ask, and with whom they are granted to."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import output
from ropeway.cli.options import OPERATE, Json
from ropeway.cli.output import stderr, stdout
from ropeway_server.cli.options import DATABASE, Database, existing, opened, operator

if TYPE_CHECKING:
    from ropeway_server.tokens import TokenInfo

token = typer.Typer(help="Who may ask: make, list and revoke bearer tokens.", no_args_is_help=True)
group = typer.Typer(help="Groups of principals, to grant to.", no_args_is_help=True)

Group = Annotated[str, typer.Argument(help="The group.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Name of the principal.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(token, name="token", rich_help_panel=OPERATE)
    app.add_typer(group, name="group", rich_help_panel=OPERATE)


@token.command()
def create(
    name: Annotated[str, typer.Option(help="Whose token it is: a person, or a job.", show_default=False)],
    admin: Annotated[bool, typer.Option("--admin", help="May read everything, make tokens and grants.")] = False,
    dataset: Annotated[list[str] | None, typer.Option(help="Good for this dataset only (may be repeated).")] = None,
    expires: Annotated[str, typer.Option(metavar="WHEN", help="90d, 12h, a date, or never.")] = "90d",
    database: Database = DATABASE,
) -> None:
    """Make a token and print it, alone, on the last line. It is not kept: only its hash is."""
    from ropeway_server.times import until

    end = until(expires)
    with opened(database) as state:
        from ropeway_server.tokens import Tokens

        made, text = Tokens(state).create(name, by=operator(), admin=admin, datasets=dataset, expires=end)
    good = "for ever" if end is None else f"until {_day(end)}"
    stderr.print(f"token {made.id} of {name}, good {good}; it is shown this once")
    sys.stdout.write(f"{text}\n")


@token.command("list")
def list_tokens(database: Database = DATABASE, json: Json = False) -> None:
    """List all tokens, without their secrets."""
    with existing(database) as state:
        from ropeway_server.tokens import Tokens

        found = Tokens(state).listed()
    if json:
        output.print_json(found)
        return
    table = output.table("id", "name", "may", "made", "expires", "state")
    for one in found:
        may = "everything" if one.admin else "as granted"
        only = "" if one.datasets is None else f", of {', '.join(one.datasets) or 'nothing'}"
        table.add_row(one.id, one.name, may + only, _day(one.created), _day(one.expires), _state(one))
    stdout.print(table if found else "no tokens: make one with `ropeway token create --name NAME`")


@token.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `ropeway token list` shows it.")],
    database: Database = DATABASE,
) -> None:
    """End a token: it holds no more from the next request on."""
    with existing(database) as state:
        from ropeway_server.tokens import Tokens

        Tokens(state).revoke(token_id, by=operator())
    stdout.print(f"token {token_id} holds no more")


@group.command()
def add(group: Group, principal: Name, database: Database = DATABASE) -> None:
    """Put somebody into a group."""
    with opened(database) as state:
        from ropeway_server.groups import Groups

        Groups(state).add(group, principal, by=operator())
    stdout.print(f"{principal} is in {group}")


@group.command()
def remove(group: Group, principal: Name, database: Database = DATABASE) -> None:
    """Take somebody out of a group."""
    with existing(database) as state:
        from ropeway_server.groups import Groups

        Groups(state).remove(group, principal, by=operator())
    stdout.print(f"{principal} is no more in {group}")


@group.command("list")
def list_groups(database: Database = DATABASE, json: Json = False) -> None:
    """List all groups and who is in them."""
    with existing(database) as state:
        from ropeway_server.groups import Groups

        found = Groups(state).listed()
    if json:
        output.print_json(found)
        return
    for name, members in found.items():
        stdout.print(f"{name}: {', '.join(members)}")


def _day(time: datetime | None) -> str:
    return "never" if time is None else time.strftime("%Y-%m-%d %H:%M")


def _state(one: "TokenInfo") -> str:
    if one.revoked is not None:
        return f"revoked {_day(one.revoked)}"
    return "expired" if one.expires is not None and one.expires <= datetime.now(UTC) else "good"
