"""Everything Ropeway raises on purpose.

    RopewayError                    any of the below; carries where it happened
    ├── StoreError                  a store could not do what was asked
    │   ├── NotFound                (also FileNotFoundError) no such object
    │   ├── AlreadyExists           (also FileExistsError) a create lost: the object is there
    │   ├── Conflict                a swap lost: the object changed meanwhile
    │   └── AccessDenied            (also PermissionError) the credentials do not allow it
    ├── FormatError                 stored bytes are not what the format says
    │   └── ChecksumError           bytes changed since they were packed
    ├── Withdrawn                   a view of a version from before a subject was withdrawn
    ├── QueryError                  (also ValueError) a query that cannot be answered as written
    ├── RecipeError                 (also ValueError) a recipe that cannot be followed as written
    ├── SourceError                 a raw file or raw value that a recipe cannot take
    ├── StateError                  (also ValueError) a saved position that does not fit this job
    ├── UsageError                  (also ValueError) an argument outside what the callee can do
    └── ServiceError                the index service answered with a problem, or not at all

Each error is rebuilt from its one message (torch's workers re-raise as `type(error)(message)`) and survives pickling.
"""


class RopewayError(Exception):
    """An error with a place: `dataset`, `shard`, `key`, `offset` and `url` say where, as far as it is known.

    The message names the problem and what to do next; the places are appended in brackets.
    """

    def __init__(
        self,
        problem: str,
        *,
        dataset: str | None = None,
        shard: str | None = None,
        key: str | None = None,
        offset: int | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.dataset, self.shard, self.key, self.offset, self.url = dataset, shard, key, offset, url

    def __str__(self) -> str:
        places = [
            f"{name} {value}"
            for name in ("dataset", "shard", "key", "offset", "url")
            if (value := getattr(self, name)) is not None
        ]
        problem = super().__str__()
        return f"{problem} [{', '.join(places)}]" if places else problem


class StoreError(RopewayError):
    """A store could not do what was asked of it."""


class NotFound(StoreError, FileNotFoundError):
    """There is no such object, dataset or view."""


class AlreadyExists(StoreError, FileExistsError):
    """A create-if-absent found the object already there."""


class Conflict(StoreError):
    """A compare-and-swap found another content than the caller had read."""


class AccessDenied(StoreError, PermissionError):
    """The credentials in use do not allow the operation."""


class FormatError(RopewayError):
    """Stored bytes are not what the storage format says."""


class ChecksumError(FormatError):
    """Bytes differ from the checksum that was recorded when they were packed."""


class Withdrawn(RopewayError):
    """What was asked for is of a dataset version from before a subject was withdrawn: it is not given any more."""


class QueryError(RopewayError, ValueError):
    """A query names something that does not exist or uses something that is not allowed."""


class RecipeError(RopewayError, ValueError):
    """A recipe is not well-formed, or is not known."""


class SourceError(RopewayError):
    """A raw file is missing or unreadable, or a raw value does not fit what the recipe declares."""


class StateError(RopewayError, ValueError):
    """A saved loader state belongs to another view or another order."""


class UsageError(RopewayError, ValueError):
    """An argument is outside what the callee can do; the message says what would be accepted."""


class ServiceError(RopewayError):
    """The index service could not be reached or answered with a problem document."""

    def __init__(self, problem: str, *, status: int | None = None, url: str | None = None) -> None:
        super().__init__(problem, url=url)
        self.status = status
