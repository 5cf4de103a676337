"""What other commands tell the audit: those that work on the store itself, such as `ropeway withdraw`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ropeway_server.cli.options import existing, operator

if TYPE_CHECKING:
    from ropeway.manifest import Manifest


@contextmanager
def telling(database: str) -> "Iterator[Callable[[str, Manifest, Mapping[str, int]], None]]":
    """Gives what adds an event: what the operator did, to which version, in figures. It is safe when that returns.

    Raises:
        UsageError: the service is not installed, or has never kept its state there.
        ServiceError: the database does not answer, or does not take the event: then what it tells of must not happen.
    """
    with existing(database) as state:
        from ropeway_server.audit import AuditLog, Event

        log, who = AuditLog(state), operator()

        def tell(action: str, made: "Manifest", figures: Mapping[str, int]) -> None:
            told: dict[str, str | int] = {"version": made.version, "parent": made.provenance.parent, **figures}
            log.add(Event(principal=who.name, action=action, datasets=(made.dataset,), detail={**told}))

        yield tell
