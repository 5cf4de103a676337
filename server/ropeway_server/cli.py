"""`ropeway serve`."""

from typing import Annotated

import typer

from ropeway.cli.output import OPERATE, stdout


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=OPERATE)(serve)


def serve(
    store: Annotated[
        str, typer.Option("--store", "-s", envvar="ROPEWAY_STORE", metavar="URL", help="The store to answer for.")
    ],
    database: Annotated[
        str, typer.Option(metavar="URL", help="Where views are remembered: sqlite:///file.db or postgresql+psycopg://…")
    ] = "sqlite:///ropeway.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
) -> None:
    """Run the index service: queries, views and shard bytes over HTTP. Ends on Ctrl-C or SIGTERM."""
    try:
        from ropeway_server.run import listen, run
    except ModuleNotFoundError as error:
        from ropeway.errors import UsageError

        raise UsageError(f"the service needs {error.name}: pip install 'ropeway[server]'") from error
    from ropeway_server.metrics import Metrics
    from ropeway_server.service import open_service
    from ropeway_server.settings import Settings

    settings = Settings(store=store, database=database, host=host, port=port)
    open_service(settings, Metrics()).database.close()  # a wrong store or database is told before anything listens
    socket = listen(host, port)
    address = f"http://{host}:{socket.getsockname()[1]}"
    run(settings, socket, lambda: stdout.print(f"serving {store} at {address}   (API: {address}/docs)", soft_wrap=True))
