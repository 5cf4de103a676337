"""`ropeway licence`: what a view's licences say together, and accepting that."""

from typing import TYPE_CHECKING, Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import stdout

if TYPE_CHECKING:
    from ropeway.licences import Licence


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.EXPLORE)(licence)


def licence(
    view: options.View,
    store: options.Store,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept them: once per view, in the name of ROPEWAY_TOKEN.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show the licences of a view's datasets, the terms of all together, and where those contradict."""
    from ropeway import licences
    from ropeway.catalog import connect
    from ropeway.errors import UsageError
    from ropeway.remote import ServiceCatalog

    catalog = connect(store)
    found = catalog.view(view)
    if isinstance(catalog, ServiceCatalog):
        told = catalog.accept(found.id) if accept else catalog.licence(found.id)
        joined, needed, accepted = told.licence, told.needed, told.accepted
    else:
        joined = licences.joined([catalog.manifest(dataset, version) for dataset, version in found.datasets.items()])
        needed, accepted = False, None
        if accept:
            raise UsageError("licences are accepted at an index service: give its URL (http://…) as --store")
    if json:
        output.print_json({"licence": joined, "needed": needed, "accepted": accepted})
        return
    _print(joined)
    if accepted:
        stdout.print(f"accepted {accepted}")
    elif needed:
        stdout.print("not accepted yet: add --accept once you have read them")


def _print(found: "Licence") -> None:
    table = output.table("dataset", "licence", "access", "terms", "homepage")
    for one in found.datasets:
        table.add_row(one.dataset, one.licence, one.access, ", ".join(one.terms), one.homepage)
    stdout.print(table)
    stdout.print(f"together: {', '.join(found.terms) or 'none but to name the source'}")
    for conflict in found.conflicts:
        stdout.print(f"[yellow]conflict:[/] {conflict}", soft_wrap=True)
