"""The audit log: who got what and when. It is only added to, and chained by hashes (see `audit_chain`)."""

import re
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from time import monotonic

import sqlalchemy as sa

from ropeway.errors import Conflict, FormatError, UsageError
from ropeway_server import audit_chain, tables
from ropeway_server.audit_chain import START, Event, Logged
from ropeway_server.database import Connection, Database

__all__ = ["AuditLog", "Event", "Logged", "write"]

AGAIN = 600.0
"""Seconds in which the same principal doing the same to the same is told once: a job reads a shard by many ranges."""

_REMEMBERED = 1 << 14
_PAGE = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")


def write(connection: Connection, events: Sequence[Event]) -> None:
    """Add events in a transaction of `Database.alone`, with the change that they tell of."""
    last = connection.execute(
        sa.select(tables.audit.c.number, tables.audit.c.digest).order_by(tables.audit.c.number.desc()).limit(1)
    ).first()
    number, digest = last or (0, START)
    rows, found = [], []
    for event in events:
        number, text = number + 1, audit_chain.dumps(event)
        digest = audit_chain.digest(digest, text)
        rows.append({"number": number, "entry": text, "digest": digest})
        found += [{"dataset": dataset, "number": number} for dataset in dict.fromkeys(event.datasets)]
    connection.execute(tables.audit.insert(), rows)
    if found:
        connection.execute(tables.audit_datasets.insert(), found)


@dataclass(slots=True, eq=False)
class _Waiting:
    events: Sequence[Event]
    written: bool = False


class AuditLog:
    """The log in a database. Safe to use from threads.

    Events that come at once are written at once: whoever is first writes for all who wait, so that each answer can wait
    for its own event to be safe.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: deque[_Waiting] = deque()
        self._writing, self._looking = threading.Lock(), threading.Lock()
        self._lately: OrderedDict[tuple[object, ...], float] = OrderedDict()

    def add(self, *events: Event) -> None:
        """Add events; they are safe when this returns.

        Raises:
            ServiceError: the database does not take them; then what they tell of must not happen.
        """
        mine = _Waiting(events)
        self._pending.append(mine)
        with self._writing:
            if mine.written:
                return
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            try:
                with self._database.alone() as connection:
                    write(connection, [event for waiting in batch for event in waiting.events])
            except BaseException:
                self._pending.extend(waiting for waiting in batch if waiting is not mine)  # they try for themselves
                raise
            for waiting in batch:
                waiting.written = True

    def add_once(self, event: Event, *unlike: object) -> None:
        """Add an event unless its like was added in the last ten minutes.

        Args:
            event: what somebody did.
            unlike: what sets it apart from others, and is not told.
        """
        detail = tuple(event.detail.items())
        like = event.principal, event.token, event.action, event.view, event.datasets, event.objects, detail, unlike
        with self._looking:
            known = monotonic() - self._lately.get(like, -AGAIN) < AGAIN
        if known:
            return
        self.add(event)
        with self._looking:
            self._lately[like] = monotonic()
            self._lately.move_to_end(like)
            while len(self._lately) > _REMEMBERED:
                self._lately.popitem(last=False)

    def events(
        self, *, dataset: str | None = None, since: str = "", view: str | None = None, after: int = 0
    ) -> Iterator[Logged]:
        """Logged events, oldest first.

        Args:
            dataset: only those about it.
            since: ISO 8601 in UTC; only those from then on.
            view: only those about it.
            after: only those with a higher number.
        """
        for number, text, digest in self._rows(dataset, after):
            event = audit_chain.loads(text)
            if event.at >= since and view in (None, event.view):
                yield Logged(number, event, digest)

    def check(self, head: str | None = None) -> Logged | None:
        """Recompute the whole chain; the last event, or None of an empty log.

        Args:
            head: a digest that was the last one before, kept elsewhere: it must still be there.

        Raises:
            FormatError: the log was tampered with.
            Conflict: what was kept is not in it any more.
            UsageError: what was kept is no digest.
        """
        if head is not None and not _DIGEST.fullmatch(head):
            raise UsageError(f"not a digest of the audit, which has 64 hex digits: {head!r:.80}")
        last, there, first = None, head is None, 1
        about: set[tuple[str, int]] = set()
        for last in audit_chain.check(self._rows(None)):
            there = there or last.digest == head
            about |= {(dataset, last.number) for dataset in last.event.datasets}
            if last.number % _PAGE == 0:
                self._check_datasets(first, last.number, about)
                first, about = last.number + 1, set()
        if last is not None:
            self._check_datasets(first, last.number, about)
        if not there:
            raise Conflict("the digest that was kept is not in the audit: it was tampered with, or is of another one")
        return last

    def _check_datasets(self, first: int, last: int, about: Set[tuple[str, int]]) -> None:
        listed = tables.audit_datasets
        asked = sa.select(listed.c.dataset, listed.c.number).where(listed.c.number.between(first, last))
        with self._database.reading() as connection:
            found = {(dataset, number) for dataset, number in connection.execute(asked)}
        if found != about:
            raise FormatError("the audit was tampered with: its list of datasets differs from its events")

    def _rows(self, dataset: str | None, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Page by page: a log is longer than memory, and a transaction should be short."""
        columns = tables.audit.c
        asked = sa.select(columns.number, columns.entry, columns.digest).order_by(columns.number).limit(_PAGE)
        if dataset is not None:
            listed = tables.audit_datasets.c
            asked = asked.join(tables.audit_datasets, listed.number == columns.number).where(listed.dataset == dataset)
        while True:
            with self._database.reading() as connection:
                page = connection.execute(asked.where(columns.number > after)).all()
            yield from ((row.number, row.entry, row.digest) for row in page)
            if len(page) < _PAGE:
                return
            after = page[-1].number
