"""JWTs of an OpenID Connect issuer: whom they stand for, and which do not hold."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import ropeway
from guarded import KINDS, call, make_grant, make_token
from ropeway.errors import ServiceError, UsageError
from ropeway.remote import ServiceCatalog
from ropeway_server import oidc
from ropeway_server.database import Database
from ropeway_server.groups import Groups
from ropeway_server.principals import NotIdentified, Principal
from ropeway_server.settings import Oidc
from serving import serving


class Issuer:
    """An issuer's discovery document and keys on loopback; `sign` makes tokens."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys: dict[str, Any] = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.asked = 0
        self.calls_itself = self.url

    def sign(self, kid: str = "one", key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        content = {"iss": self.url, "aud": "ropeway", "sub": "ann", "exp": time() + 300, **claims}
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, self.keys[kid] if key is None else key, algorithm=algorithm, headers={"kid": kid})

    def answer(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.calls_itself, "jwks_uri": f"{self.url}/keys"}
        self.asked += 1
        return {"keys": [{**_jwk(key), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]}


def _jwk(key: Any) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return dict(json.loads(kind.to_jwk(key.public_key())))


@contextmanager
def issuing() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(issuer.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_jwt_of_the_issuer_says_who_asks(guarded_store: str, sqlite: str) -> None:
    make_grant(sqlite, "group:radiology", dataset="trained")
    make_grant(sqlite, "oidc:ann", dataset="signup")
    with issuing() as issuer:
        settings = Oidc(issuer=issuer.url, audience="ropeway", admins="stewards")
        with serving(guarded_store, sqlite, oidc=settings) as url:
            plain = call("GET", f"{url}/v1/me", issuer.sign()).json()
            assert (plain["name"], plain["admin"], plain["groups"]) == ("oidc:ann", False, [])
            grouped = issuer.sign(groups=["/radiology", "not a group!", 7])
            assert {one.id for one in ropeway.connect(url, grouped).datasets()} == {
                "free",
                "alike",
                "signup",
                "trained",
            }
            admin = issuer.sign(sub="boss", groups=["stewards"])
            assert {one.id for one in ropeway.connect(url, admin).datasets()} == set(KINDS)
            assert call("GET", f"{url}/v1/tokens", admin).status == 200
            assert call("GET", f"{url}/v1/tokens", grouped).status == 403
            catalog = ropeway.connect(url, grouped)  # a signed URL stands for somebody without a token of ours, too
            view = catalog.query(datasets=["trained"])
            assert isinstance(catalog, ServiceCatalog)
            catalog.accept(view.id)
            assert bytes(view.reader().read(0, 0, 512))
            own = make_token(sqlite, "ann")
            assert call("GET", f"{url}/v1/me", own).json()["name"] == "ann"


def test_who_leaves_a_group_here_reads_no_more_by_urls_that_were_given_before(guarded_store: str, sqlite: str) -> None:
    make_grant(sqlite, "group:radiology", dataset="trained")
    state, steward = Database(sqlite), Principal(name="test")
    Groups(state).add("radiology", "oidc:ann", by=steward)
    with issuing() as issuer, serving(guarded_store, sqlite, oidc=Oidc(issuer=issuer.url, audience="ropeway")) as url:
        ann, bob = issuer.sign(), issuer.sign(sub="bob", groups=["radiology"])
        given = {}
        for token in (ann, bob):
            view = call("POST", f"{url}/v1/views", token, {"datasets": ["trained"]}).json()["id"]
            assert call("POST", f"{url}/v1/views/{view}/licence", token).status == 200
            given[token] = call("POST", f"{url}/v1/views/{view}/access", token, {}).json()["urls"]["0"]
            assert call("GET", given[token], Range="bytes=0-9").status == 206
        Groups(state).remove("radiology", "oidc:ann", by=steward)
        assert call("GET", given[ann], Range="bytes=0-9").status == 404
        assert call("GET", given[bob], Range="bytes=0-9").status == 206  # the issuer says so
    state.close()


def test_other_jwts_do_not_hold(caplog: pytest.LogCaptureFixture) -> None:
    with issuing() as issuer:
        tokens = oidc.OidcTokens(Oidc(issuer=issuer.url, audience="ropeway"))
        assert tokens.identify(issuer.sign(exp=time() - 30)).name == "oidc:ann"  # clocks differ
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = issuer.keys["one"].public_key()
        numbers = str(public.public_numbers().n).encode()
        wrong = {
            "expired": issuer.sign(exp=time() - 100),
            "not valid yet": issuer.sign(nbf=time() + 100),
            "another service": issuer.sign(aud="else"),
            "another issuer": issuer.sign(iss="https://evil.example"),
            "lacks a claim": issuer.sign(exp=None),
            "not signed by": issuer.sign(key=stranger),
            "does not hold": issuer.sign(key=numbers, algorithm="HS256"),
        }
        for words, token in wrong.items():
            with pytest.raises(NotIdentified, match=words):
                tokens.identify(token)
        unsigned = jwt.encode({"sub": "ann", "aud": "ropeway", "iss": issuer.url, "exp": time() + 9}, "", "none")
        for token in (unsigned, "a.b.c", "", "x", issuer.sign() + "x", issuer.sign(sub="a b"), issuer.sign(sub="")):
            with pytest.raises(NotIdentified):
                tokens.identify(token)
        caplog.set_level(logging.DEBUG)
        assert not any(token in caplog.text for token in wrong.values())


def test_new_keys_are_found_and_strangers_do_not_make_us_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as issuer:
        tokens = oidc.OidcTokens(Oidc(issuer=issuer.url, audience="ropeway"))
        tokens.identify(issuer.sign())
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for number in range(20):
            with pytest.raises(NotIdentified):
                tokens.identify(issuer.sign(kid="one", key=stranger) if number % 2 else _renamed(issuer, stranger))
        assert issuer.asked == 1
        issuer.keys["two"] = ec.generate_private_key(ec.SECP256R1())
        monkeypatch.setattr(oidc, "KEYS_REST", 0.0)
        assert tokens.identify(issuer.sign("two", algorithm="ES256")).name == "oidc:ann"
        assert issuer.asked == 2


def test_an_issuer_that_fails_is_not_asked_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as issuer:
        tokens, token = oidc.OidcTokens(Oidc(issuer=issuer.url, audience="ropeway")), issuer.sign()
        right, issuer.calls_itself = issuer.calls_itself, "https://evil.example"
        with pytest.raises(ServiceError, match="calls itself"):
            tokens.identify(token)
        issuer.calls_itself = right
        with pytest.raises(ServiceError, match="ask again in half a minute"):
            tokens.identify(token)
        assert issuer.asked == 0
        monkeypatch.setattr(oidc, "KEYS_REST", 0.0)
        assert tokens.identify(token).name == "oidc:ann"


def _renamed(issuer: Issuer, key: Any) -> str:
    return jwt.encode({"sub": "ann", "exp": time() + 9}, key, "RS256", headers={"kid": "never seen"})


def test_an_issuer_without_tls_is_refused() -> None:
    with pytest.raises(UsageError, match="has an https URL"):
        oidc.OidcTokens(Oidc(issuer="http://issuer.example", audience="ropeway"))


def test_an_issuer_that_is_down_or_another_is_told(guarded_store: str) -> None:
    with issuing() as issuer:
        token = issuer.sign()
        issuer.calls_itself = "https://evil.example"
        with pytest.raises(ServiceError, match="calls itself"):
            oidc.OidcTokens(Oidc(issuer=issuer.url, audience="ropeway")).identify(token)
    with serving(guarded_store, oidc=Oidc(issuer=issuer.url, audience="ropeway")) as url:
        assert call("GET", f"{url}/v1/datasets", token).status == 503
        assert call("GET", f"{url}/v1/datasets").status == 200
