"""`ropeway doctor`: what is in the way of streaming from this host."""

from typing import Annotated

import typer

from ropeway.cli import options, output
from ropeway.cli.output import stdout

_COLOURS = {"good": "green", "unknown": "dim", "slow": "yellow", "bad": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=options.OPERATE)(doctor)


def doctor(
    store: options.StoreIfAny = None,
    view: Annotated[
        str | None, typer.Option(metavar="VIEW", help="Id of the view that a job streams, as `query` printed it.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="SAMPLES", min=0, help="Samples per second that jobs on this host take.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check versions, memory, FUSE, GPU, store access, credentials, clock and network, and say what to change.

    Reads for two seconds. Exit status 1 when something does not work.
    """
    from rich.markup import escape

    from ropeway.doctor import Finding, Need, examine, worst

    found: list[Finding] = []
    for finding in examine(store, Need(view=view, rate=rate)):
        found.append(finding)
        if not json:
            mark = f"[{_COLOURS[finding.verdict]}]{finding.verdict:8}[/]"
            stdout.print(f"{mark}{finding.name:14}{escape(finding.found)}", soft_wrap=True)
            if finding.advice:
                stdout.print(f"{'':22}[bold]→[/] {escape(finding.advice)}", soft_wrap=True)
    if json:
        output.print_json({"verdict": worst(found), "findings": found})
    if worst(found) == "bad":
        raise typer.Exit(1)
