"""The `ropeway` command.

Commands of the server and of the packer join by the entry point group `ropeway.commands`, so that this package need not
know them. Each group holds `register(app)` functions; they import nothing heavy before a command runs.
"""

import platform
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from ropeway.cli import (
    adopt,
    bench,
    cache,
    compact,
    doctor,
    explore,
    export,
    licence,
    mount,
    simulate,
    stream,
    verify,
    view,
    withdraw,
)
from ropeway.cli.output import stderr, stdout
from ropeway.errors import RopewayError

HELP = """Stream multimodal clinical datasets from WebDataset shards: pack, query, stream.

Try `ropeway demo` first: it packs real files, trains on two processes, and cleans up after itself.
"""


def make_app() -> typer.Typer:
    """The whole command line, installed parts included."""
    app = typer.Typer(
        name="ropeway",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_at_once)
    explore.register(app)
    view.register(app)
    licence.register(app)
    mount.register(app)
    stream.register(app)
    bench.register(app)
    simulate.register(app)
    for command in sorted(entry_points(group="ropeway.commands"), key=lambda command: command.name):
        command.load()(app)
    adopt.register(app)
    export.register(app)
    verify.register(app)
    withdraw.register(app)
    compact.register(app)
    cache.register(app)
    doctor.register(app)
    return app


def _version(asked: bool) -> None:
    if asked:
        from ropeway.publishing import software

        where = Path(__file__).parents[1]
        stdout.print(f"{software()}, Python {platform.python_version()}, {where}", markup=False, soft_wrap=True)
        raise typer.Exit


def _at_once(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version, Python's, and where it is installed."
        ),
    ] = False,
) -> None:
    """What is answered before any command."""


def main() -> None:
    """Run the command line: one clear line on stderr and exit status 1 when something is wrong."""
    try:
        make_app()()
    except RopewayError as error:
        stderr.print(f"[bold red]ropeway:[/] {_escaped(error)}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        stderr.print("[bold red]ropeway:[/] interrupted", soft_wrap=True)
        sys.exit(130)
    except BrokenPipeError:  # `ropeway ls | head`
        sys.stderr.close()
        sys.exit(1)


def _escaped(error: RopewayError) -> str:
    from rich.markup import escape

    return escape(" ".join(str(error).split()))
