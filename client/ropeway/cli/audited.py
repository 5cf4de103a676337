"""Commands that change what a service answers, and tell its audit so.

The service's package joins by the entry point group `ropeway.audit`, so that this package need not know it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from ropeway.lifecycle.versions import Announce
    from ropeway.manifest import Manifest

Tell: TypeAlias = "Callable[[str, Manifest, Mapping[str, int]], None]"
"""Writes into an audit: what was done, to which version, in figures."""

Database = Annotated[
    str | None,
    typer.Option(
        "--database", envvar="ROPEWAY_DATABASE", metavar="URL", show_default=False,
        help="Tell the audit of the service whose state this is (as `ropeway serve --database`).",
    ),
]  # fmt: skip


@contextmanager
def audited(database: str | None) -> "Iterator[Callable[[str], Announce]]":
    """Gives, for what is done in words, who is to be told of it before it can be seen; nobody without a database.

    Raises:
        UsageError: the service is not installed, or has never kept its state there.
        ServiceError: the database does not answer.
    """
    if database is None:
        yield lambda _: _nobody
        return
    from ropeway.errors import UsageError

    logs = list(entry_points(group="ropeway.audit"))
    if not logs:
        raise UsageError("--database is a service's, which is not installed: pip install 'ropeway[server]'")
    with logs[0].load()(database) as tell:
        yield lambda action: partial(tell, action)


def _nobody(made: "Manifest", figures: Mapping[str, int]) -> None:
    """There is no audit."""
