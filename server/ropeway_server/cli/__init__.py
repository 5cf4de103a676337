"""The operators' commands: `serve`, `token`, `group`, `grant` and `audit`.

Nothing of the service is imported before a command runs.
"""

import typer

from ropeway_server.cli import audit, grants, serve, tokens


def register(app: typer.Typer) -> None:
    """Add the commands."""
    serve.register(app)
    tokens.register(app)
    grants.register(app)
    audit.register(app)
