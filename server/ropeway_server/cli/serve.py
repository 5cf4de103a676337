"""`ropeway serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ropeway.cli.options import OPERATE
from ropeway.cli.output import stdout
from ropeway_server.cli.options import DATABASE, installed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=OPERATE)(serve)


def serve(
    store: Annotated[
        str | None,
        typer.Option("--store", "-s", envvar="ROPEWAY_STORE", metavar="URL", help="The store to answer for."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="ROPEWAY_DATABASE",
            metavar="URL",
            show_default=DATABASE,
            help="The service's state: sqlite:///file.db or postgresql+psycopg://…",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="ROPEWAY_CONFIG", metavar="FILE", help="Settings in TOML, see deploy/ropeway.toml."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535, show_default="8080")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer.", min=1, show_default="1")] = None,
    anonymous: Annotated[
        bool | None,
        typer.Option("--anonymous/--no-anonymous", help="Whether `open` datasets may be read without a token."),
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Print an admin token, good for 12 hours.")] = False,
) -> None:
    """Run the index service: queries, views and shard bytes over HTTP. Ends on Ctrl-C or SIGTERM.

    Without a token one reads datasets of the tier `open`; the rest takes a token (`ropeway token create`) and a grant
    (`ropeway grant add`). A file (--config) or the environment (ROPEWAY_SERVE_…) has these and all other settings:
    OIDC, TLS, limits, CORS, proxies.
    """
    with installed():
        from ropeway_server.dev import admin_token
        from ropeway_server.metrics import Metrics
        from ropeway_server.run import check_tls, listen, run
        from ropeway_server.service import open_service
        from ropeway_server.settings import load

    options = {
        "store": store, "database": database, "host": host, "port": port, "workers": workers, "anonymous": anonymous
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    settings = load(config, os.environ, given)
    check_tls(settings.tls)  # what is wrong with these is told before anything listens
    open_service(settings, Metrics()).database.close()
    token = admin_token(settings) if dev else ""
    socket = listen(settings.host, settings.port)
    scheme, port = "https" if settings.tls else "http", socket.getsockname()[1]
    address = f"{scheme}://{settings.host}:{port}"

    def up() -> None:
        stdout.print(f"serving {settings.store} at {address}   (API: {address}/docs)", soft_wrap=True)
        if token:
            stdout.print(f"admin token for 12 hours: export ROPEWAY_TOKEN={token}", soft_wrap=True)

    run(settings, socket, up)
