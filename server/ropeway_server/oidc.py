"""JWTs of an OpenID Connect issuer as bearer tokens.

Keys come from the issuer's discovery document, and are fetched again when a token names one that is not known, but not
more often than every half minute, answered or not: a stranger's tokens must not make us ask all the time.
"""

import threading
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
import urllib3

from ropeway.errors import ServiceError, UsageError
from ropeway_server.principals import NotIdentified, Principal, check_group, check_member
from ropeway_server.settings import Oidc

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a public key. Those with a shared secret, and `none`, are not among them (RFC 8725, 3.1)."""

LEEWAY = 60.0
"""Seconds that clocks may differ by."""

KEYS_HOLD, KEYS_REST = 3600.0, 30.0
"""Seconds after which keys are fetched anew, and within which they are not."""

_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_DOES_NOT_HOLD = "the token does not hold"


class OidcTokens:
    """Checks tokens of one issuer. Safe to use from threads.

    Raises:
        UsageError: the issuer is not reached by https, so that anybody on the way could give us keys.
    """

    def __init__(self, settings: Oidc) -> None:
        where = urlsplit(settings.issuer)
        if where.scheme != "https" and where.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise UsageError(f"an OIDC issuer has an https URL, not {settings.issuer!r}")
        self._settings = settings
        self._http = urllib3.PoolManager(maxsize=1)
        self._lock = threading.Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = -KEYS_HOLD

    def identify(self, token: str) -> Principal:
        """Who comes by a JWT.

        Raises:
            NotIdentified: it is not signed by the issuer, not for this service, or has ended.
            ServiceError: the issuer does not give its keys.
        """
        settings = self._settings
        try:
            claims = jwt.decode(
                token, self._key(jwt.get_unverified_header(token)), algorithms=ALGORITHMS, audience=settings.audience,
                issuer=settings.issuer, leeway=LEEWAY, options={"require": ["exp", "iss", "aud", settings.name]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            reason = _reason(error)
            raise NotIdentified(f"{_DOES_NOT_HOLD}: {reason}", f"OIDC token: {reason}") from error
        try:
            name = check_member(f"oidc:{claims[settings.name]}")
        except UsageError as error:
            reason = f"its claim {settings.name!r} is no name"
            raise NotIdentified(f"{_DOES_NOT_HOLD}: {reason}", f"OIDC token: {reason}") from error
        groups = _groups(claims.get(settings.groups))
        admin = bool(settings.admins) and settings.admins in groups
        return Principal(name=name, groups=groups, claimed=groups, admin=admin)

    def _key(self, header: dict[str, Any]) -> jwt.PyJWK:
        kid = header.get("kid")
        with self._lock:
            now = monotonic()
            old = now - self._fetched > KEYS_HOLD
            if (old or kid not in self._keys) and now - self._tried > KEYS_REST:
                self._tried = now  # also where it fails: everybody who asks would wait for the next failure
                self._keys, self._fetched = self._fetch(), monotonic()
            elif old:
                raise ServiceError(
                    "the issuer of tokens did not give its keys a moment ago: ask again in half a minute"
                )
            if kid in self._keys:
                return self._keys[kid]
        raise jwt.InvalidKeyError("it is not signed by a key of the issuer")

    def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        issuer = self._settings.issuer
        found = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise ServiceError(f"the issuer of tokens calls itself {found.get('issuer')!r}, not {issuer!r}")
        try:
            return {key.key_id: key for key in jwt.PyJWKSet.from_dict(self._get(str(found.get("jwks_uri")))).keys}
        except jwt.PyJWTError as error:
            raise ServiceError(f"the issuer of tokens gives no keys that can be used: {error}") from error

    def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = self._http.request("GET", url, timeout=_TIMEOUT, retries=urllib3.Retry(2, redirect=0))
            if answer.status != 200:
                raise ServiceError(f"the issuer of tokens answers with status {answer.status}", url=url)
            return msgspec.json.decode(answer.data, type=dict[str, Any])
        except (urllib3.exceptions.HTTPError, msgspec.MsgspecError) as error:
            raise ServiceError(f"the issuer of tokens does not answer ({type(error).__name__})", url=url) from error


def _groups(claim: object) -> frozenset[str]:
    """Those of the claim's groups that a grant could be for; some issuers write them as paths."""
    found = set()
    for name in claim if isinstance(claim, list) else ():
        try:
            found.add(check_group(str(name).lstrip("/")))
        except UsageError:  # nothing can be granted to it, so nothing follows from being in it
            continue
    return frozenset(found)


def _reason(error: jwt.PyJWTError) -> str:
    """What is wrong, in words of ours: a library's text may repeat what is in the token."""
    reasons: dict[type[jwt.PyJWTError], str] = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.ImmatureSignatureError: "it is not valid yet: is a clock wrong?",
        jwt.InvalidAudienceError: "it is made out to another service",
        jwt.InvalidIssuerError: "it is of another issuer",
        jwt.MissingRequiredClaimError: "it lacks a claim that is needed",
    }
    return reasons.get(type(error), "it is not signed by the issuer")
