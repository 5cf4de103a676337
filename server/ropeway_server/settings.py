"""What a service is started with: a TOML file, the environment over it, the command line over both."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ropeway.errors import UsageError

PREFIX = "ROPEWAY_SERVE_"
"""Of environment variables: `ROPEWAY_SERVE_PORT`, `ROPEWAY_SERVE_LIMITS_BODY`; lists have commas between."""


class Oidc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID Connect issuer whose JWTs are taken as bearer tokens.

    Attributes:
        issuer: its URL; its keys are found from there (OpenID Connect Discovery 1.0).
        audience: that a token must be made out to.
        name: the claim that names the principal, which is then called `oidc:<name>`.
        groups: the claim that lists its groups.
        admins: the group whose members may do everything; empty for none.
    """

    issuer: str
    audience: str
    name: str = "sub"
    groups: str = "groups"
    admins: str = ""


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS by the service itself, where no proxy in front of it does that.

    Attributes:
        certificate, key: PEM files of the service.
        clients: PEM file of the authority that certificates of clients must be from; empty to ask for none.
    """

    certificate: str
    key: str
    clients: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one worker takes from its clients.

    Attributes:
        body: bytes of a request's body.
        head: bytes of its URL and headers.
        rate: requests per second from one address, in the long run; 0 for any number.
        burst: requests from one address at once.
        connections: open at a time.
        request_seconds: within which a request must have arrived, from its first byte or the connection's start.
        stalled_seconds: after which a client that reads nothing of its answer is dropped.
    """

    body: int = 1 << 20
    head: int = 32 << 10
    rate: float = 1000.0
    burst: int = 10_000
    connections: int = 2048
    request_seconds: float = 20.0
    stalled_seconds: float = 60.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One replica's configuration.

    Attributes:
        store: URL of the store it answers for.
        database: SQLAlchemy URL of its state; replicas that share a PostgreSQL share their views.
        host, port: where it listens; port 0 takes a free one.
        workers: processes that answer.
        access_seconds: how long the URLs it hands out stay valid.
        anonymous: whether datasets of the tier `open` may be read without a token.
        oidc: an issuer of tokens beside the service itself.
        role: ARN of the AWS role that may read the store, which STS credentials for a view are made of; empty for none.
        tls: certificate and key; None for plain HTTP.
        limits: what is taken from clients.
        origins: web pages of these origins may ask (CORS); none by default.
        hosts: names that requests may be addressed to, `*.example.org` for all below one; none for any.
        proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
        drain_seconds: from SIGTERM, when /readyz begins to refuse, until no more requests are taken.
        log_level: `info` has a line per request.
    """

    store: str
    database: str = "sqlite:///ropeway.db"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    access_seconds: int = 900
    anonymous: bool = True
    oidc: Oidc | None = None
    role: str = ""
    tls: Tls | None = None
    limits: Limits = Limits()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    drain_seconds: float = 0.0
    log_level: Literal["info", "warning", "error"] = "warning"

    def __post_init__(self) -> None:
        limits = self.limits
        positive = {
            "workers": self.workers, "access_seconds": self.access_seconds, "limits.body": limits.body,
            "limits.head": limits.head, "limits.burst": limits.burst, "limits.connections": limits.connections,
            "limits.request_seconds": limits.request_seconds, "limits.stalled_seconds": limits.stalled_seconds,
        }  # fmt: skip
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name} is {value}: give a number above 0")
        if limits.rate < 0 or self.drain_seconds < 0:
            raise ValueError("limits.rate and drain_seconds can't be below 0")
        if self.workers > 1 and self.database == "sqlite://":
            raise ValueError("workers share a database: give one that is not in memory, sqlite:///file.db for example")


def load(file: Path | None, environment: Mapping[str, str], given: Mapping[str, Any]) -> Settings:
    """Settings from a TOML file of `Settings`' fields, `ROPEWAY_SERVE_*` over it, and what was given over both.

    Raises:
        UsageError: an unknown name, a value that does not fit, or no store.
    """
    found = _merged(_read(file), _from_environment(environment), given)
    try:
        return msgspec.convert(found, Settings, strict=False)
    except msgspec.ValidationError as error:  # of ours too, see __post_init__
        places = [str(file)] if file else []
        places += [name for name in environment if name.startswith(PREFIX)]
        where = ", ".join([*places, "the command line"])
        raise UsageError(f"the service's settings (from {where}): {error}") from error


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the service's settings from {file}: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    places = _places()
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in places:
            raise UsageError(f"no setting is meant by {variable}; there is: {', '.join(_variables(places))}")
        section, field, is_list = places[name]
        value = [one.strip() for one in text.split(",") if one.strip()] if is_list else text
        (found.setdefault(section, {}) if section else found)[field] = value
    return found


def _places() -> dict[str, tuple[str, str, bool]]:
    """Section, field and whether it is a list, by the name that an environment variable has after its prefix."""
    found = {}
    for field, kind in get_type_hints(Settings).items():
        section = next(
            (one for one in _members(kind) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None
        )
        if section is None:
            found[field] = ("", field, get_origin(kind) is tuple)
        else:
            found |= {f"{field}_{name}": (field, name, False) for name in section.__struct_fields__}
    return found


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _variables(places: Iterable[str]) -> list[str]:
    return [f"{PREFIX}{name.upper()}" for name in sorted(places)]


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers over earlier ones, section by section."""
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            held = found.get(name)
            found[name] = {**held, **value} if isinstance(held, dict) and isinstance(value, dict) else value
    return found
