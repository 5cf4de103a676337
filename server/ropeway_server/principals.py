"""Who asks: a name, its groups, and what the means of asking are limited to."""

import re
from dataclasses import dataclass

from ropeway.errors import AccessDenied, UsageError
from ropeway.keys import is_dataset

EVERYONE = "everyone"
"""Holder of grants for all who have a name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+|-]{0,127}")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OIDC = re.compile(r"oidc:[^\s]{1,120}")
_TAKEN = ("anonymous", EVERYONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks.

    Attributes:
        name: of a person or a job; empty for somebody without a token.
        token: id of the token it came by; empty for OIDC and for nobody.
        groups: that it is in.
        claimed: those of them that its OIDC token names; the others are looked up again.
        admin: may read everything, make tokens and grants, and read the audit.
        only: datasets that the token is limited to; None for no such limit.
    """

    name: str = ""
    token: str = ""
    groups: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()
    admin: bool = False
    only: frozenset[str] | None = None

    @property
    def shown(self) -> str:
        """The name in logs and answers."""
        return self.name or "anonymous"

    @property
    def holders(self) -> list[str]:
        """What grants to it may be in the name of."""
        return [self.name, EVERYONE, *(f"group:{group}" for group in sorted(self.groups))] if self.name else []


ANONYMOUS = Principal()


class Refused(AccessDenied):
    """The service does not let somebody do something, and tells the audit.

    Attributes:
        reason: in a few words of ours, without anything that was asked.
        who: holds what was refused, where nobody else is known: of a token that has ended.
    """

    def __init__(self, problem: str, reason: str = "not allowed", who: Principal = ANONYMOUS) -> None:
        super().__init__(problem)
        self.reason, self.who = reason, who


class NotIdentified(Refused):
    """Nobody knows who asks: no token where one is needed, or one that does not hold."""


def check_name(name: str) -> str:
    """Return a name that a token may have.

    Raises:
        UsageError: it could be taken for something else.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise UsageError(f"not a name for a principal: {name!r} (letters, digits and . _ @ + | -; not {_TAKEN})")
    return name


def check_group(name: str) -> str:
    """Return a name that a group may have, or raise UsageError."""
    if not _GROUP.fullmatch(name):
        raise UsageError(f"not a name for a group: {name!r} (letters, digits and . _ -)")
    return name


def check_member(name: str) -> str:
    """Return a name that a principal may have: of a token, or `oidc:` and a subject claim. Else raise UsageError."""
    return name if _OIDC.fullmatch(name) else check_name(name)


def check_about(dataset: str) -> str:
    """Return the id of a dataset that a token or grant may be for, there already or not. Else raise UsageError."""
    if not is_dataset(dataset):
        raise UsageError(f"not a dataset id: {dataset!r} (lower-case letters, digits, _ and -)")
    return dataset


def check_holder(name: str) -> str:
    """Return what a grant may be for: a principal's name, `group:NAME` or `everyone`. Else raise UsageError."""
    if name == EVERYONE:
        return name
    if name.startswith("group:"):
        return f"group:{check_group(name.removeprefix('group:'))}"
    return check_member(name)
