"""Tokens, groups and grants: what holds, what holds no more, and what is told of it."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ropeway
from guarded import TODAY, call, make_grant, make_token
from ropeway.errors import AccessDenied, NotFound, RopewayError, UsageError
from ropeway.service import Service
from ropeway_server.database import Database
from ropeway_server.grants import Grants, NewGrant
from ropeway_server.groups import Groups
from ropeway_server.principals import NotIdentified, Principal
from ropeway_server.tokens import Tokens
from serving import serving


def test_a_token_holds_until_it_is_revoked(state: Database) -> None:
    tokens = Tokens(state)
    made, text = tokens.create("ann", by=Principal(name="test"), datasets=["free"])
    assert tokens.identify(text) == Principal(name="ann", token=made.id, only=frozenset({"free"}))
    assert tokens.principal(made.id).name == "ann"
    tokens.revoke(made.id, by=Principal(name="test"))
    tokens.revoke(made.id, by=Principal(name="test"))
    for identify, what in ((tokens.identify, text), (tokens.principal, made.id)):
        with pytest.raises(NotIdentified, match="ask its operators for a new one"):
            identify(what)
    assert tokens.listed()[0].revoked is not None


def test_an_expired_token_holds_no_more(state: Database) -> None:
    _, text = Tokens(state).create("ann", by=Principal(name="test"), expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(NotIdentified):
        Tokens(state).identify(text)


def test_only_a_hash_of_a_token_is_kept(tmp_path: Path) -> None:
    text = make_token(f"sqlite:///{tmp_path / 's.db'}")
    assert (tmp_path / "s.db").stat().st_mode & 0o077 == 0  # nor is it for others to read
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("s.db*"))
    assert text.split("_")[1].encode() in kept  # the id
    assert text.split("_")[2].encode() not in kept
    assert bytes.fromhex(text.split("_")[2]) not in kept


@given(st.text(max_size=100))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    state = Database("sqlite://")
    made, good = Tokens(state).create("ann", by=Principal(name="test"))
    for other in (text, f"ropeway_{made.id}_{text}", good[:-1], good + "0", good.upper()):
        with pytest.raises(NotIdentified):
            Tokens(state).identify(other)
    state.close()


@pytest.mark.parametrize("name", ["", "everyone", "anonymous", "group:x", "oidc:ann", "a b", "a\n", "-", "x" * 200])
def test_names_that_could_be_taken_for_others_are_refused(state: Database, name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a principal"):
        Tokens(state).create(name, by=Principal(name="test"))
    with pytest.raises(UsageError):
        Groups(state).add("group", name if name != "oidc:ann" else "oidc:", by=Principal(name="test"))


def test_groups_are_joined_and_left(state: Database) -> None:
    groups = Groups(state)
    for name in ("ann", "bob", "ann"):
        groups.add("radiology", name, by=Principal(name="test"))
    groups.add("icu", "oidc:a|b/c", by=Principal(name="test"))
    assert groups.listed() == {"icu": ["oidc:a|b/c"], "radiology": ["ann", "bob"]}
    groups.remove("radiology", "ann", by=Principal(name="test"))
    with pytest.raises(NotFound, match="is not in the group"):
        groups.remove("radiology", "ann", by=Principal(name="test"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "for a dataset or for a tier"),
        ({"dataset": "free", "tier": "open"}, "for a dataset or for a tier"),
        ({"dataset": "free", "holder": "a b"}, "not a name"),
        ({"dataset": "free", "holder": "group:"}, "not a name for a group"),
        ({"dataset": "free", "agreement": " "}, "names the agreement"),
        ({"dataset": "../free"}, "not a dataset id"),
    ],
)
def test_grants_that_mean_nothing_are_refused(state: Database, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RopewayError, match=words):
        Grants(state).add(
            NewGrant(**{"holder": "ann", "agreement": "DUA", "signed": TODAY, **wrong}), by=Principal(name="test")
        )
    assert Grants(state).listed() == []


def test_tokens_and_grants_are_given_and_taken_over_http(guarded_store: str, database_url: str) -> None:
    admin = make_token(database_url, "root", admin=True)
    with serving(guarded_store, database_url) as url:
        made = call("POST", f"{url}/v1/tokens", admin, {"name": "ann", "expires": "2099-01-01T00:00:00Z"})
        assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
        token, info = made.json()["token"], made.json()["info"]
        assert call("GET", f"{url}/v1/me", token).json()["name"] == "ann"
        assert [one["id"] for one in call("GET", f"{url}/v1/tokens", admin).json()][-1] == info["id"]
        assert token.split("_")[2] not in call("GET", f"{url}/v1/tokens", admin).data.decode()
        right = {"holder": "group:icu", "tier": "credentialed", "agreement": "DUA 1", "signed": "2026-01-02"}
        grant = call("POST", f"{url}/v1/grants", admin, right)
        assert grant.status == 201
        assert call("PUT", f"{url}/v1/groups/icu/ann", admin).status == 200
        assert call("GET", f"{url}/v1/groups", admin).json() == {"icu": ["ann"]}
        catalog = ropeway.connect(url, token)
        assert {one.id for one in catalog.datasets()} == {"free", "alike", "trained"}
        assert call("GET", f"{url}/v1/me", token).json()["grants"][0]["agreement"] == "DUA 1"
        assert call("DELETE", f"{url}/v1/groups/icu/ann", admin).status == 200
        assert {one.id for one in catalog.datasets()} == {"free", "alike"}
        assert call("PUT", f"{url}/v1/groups/icu/ann", admin).status == 200
        assert call("DELETE", f"{url}/v1/grants/{grant.json()['id']}", admin).status == 200
        assert {one.id for one in catalog.datasets()} == {"free", "alike"}
        assert call("DELETE", f"{url}/v1/tokens/{info['id']}", admin).status == 200
        with pytest.raises(AccessDenied, match="ask its operators for a new one"):
            catalog.datasets()
        for path in ("tokens/000000000000", "grants/99", "groups/icu/nobody"):
            assert call("DELETE", f"{url}/v1/{path}", admin).status == 404
        for wrong in ({"name": "everyone"}, {"name": 3}, {}, {"name": "x", "datasets": ["A/.."]}):
            assert call("POST", f"{url}/v1/tokens", admin, wrong).status == 422, wrong
        assert call("DELETE", f"{url}/v1/grants/{1 << 70}", admin).status == 422
        assert call("GET", f"{url}/v1/audit?after={1 << 70}", admin).status == 422


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"expire": "2099-01-01T00:00:00Z"}, "expire"),
        ({"levl": "count"}, "levl"),
        ({"expires": "2020-01-01T00:00:00Z"}, "has passed"),
        ({"expires": "2020-01-01T00:00:00"}, "2020-01-01 00:00 UTC has passed"),
    ],
)
def test_a_right_that_is_misspelt_or_over_is_not_given(
    guarded_store: str, sqlite: str, wrong: dict[str, str], words: str
) -> None:
    admin = make_token(sqlite, "root", admin=True)
    right = {"holder": "ann", "tier": "credentialed", "agreement": "DUA 1", "signed": "2026-01-02"}
    with serving(guarded_store, sqlite) as url:
        for path, good in (("grants", right), ("tokens", {"name": "ann"})):
            answer = call("POST", f"{url}/v1/{path}", admin, {**good, **wrong})
            assert (answer.status, words in answer.json()["detail"]) == (422, True), answer.json()
        assert call("GET", f"{url}/v1/grants", admin).json() == []
        assert [one["name"] for one in call("GET", f"{url}/v1/tokens", admin).json()] == ["root"]


def test_an_end_without_a_zone_is_told_as_utc(guarded_store: str, sqlite: str) -> None:
    admin = make_token(sqlite, "root", admin=True)
    with serving(guarded_store, sqlite) as url:
        made = call("POST", f"{url}/v1/tokens", admin, {"name": "ann", "expires": "2099-01-01T00:00:00"}).json()
        assert made["info"]["expires"] == "2099-01-01T00:00:00Z"


def test_the_client_takes_its_token_from_the_environment_and_keeps_it_to_itself(
    guarded_store: str, sqlite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_grant(sqlite, dataset="signup")
    token = make_token(sqlite)
    caplog.set_level(logging.DEBUG)
    with serving(guarded_store, sqlite) as url:
        monkeypatch.setenv("ROPEWAY_TOKEN", token)
        catalog = ropeway.connect(url)
        assert "signup" in {one.id for one in catalog.datasets()}
        assert "signup" not in {one.id for one in ropeway.connect(url, "").datasets()}
        view = catalog.query(datasets=["signup"])
        with pytest.raises(AccessDenied) as caught:
            view.table()
        monkeypatch.setenv("ROPEWAY_TOKEN", "wrong")
        with pytest.raises(AccessDenied, match="ask its operators for a new one") as other:
            ropeway.connect(url).datasets()
    shown = f"{caplog.text}{caught.value}{other.value}{view!r}{view.source!r}{catalog!r}{Service(url, token)!r}"
    assert token.split("_")[2] not in shown


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "schlüssel", "tab\t"])
def test_a_token_that_is_none_is_told_before_it_is_sent(token: str) -> None:
    if token.strip() == "tab":
        assert Service.at("http://h", token).token == "tab"
        return
    with pytest.raises(UsageError, match="not a token") as caught:
        ropeway.connect("http://127.0.0.1:1", token)
    assert token not in str(caught.value)


def test_a_store_takes_no_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for an index service"):
        ropeway.connect(str(tmp_path), "x")


def test_a_right_to_a_dataset_that_is_not_there_yet_is_given_and_told(guarded_store: str, sqlite: str) -> None:
    admin, ann = make_token(sqlite, "root", admin=True), make_token(sqlite)
    right = {"holder": "ann", "agreement": "DUA 1", "signed": "2026-01-02"}
    with serving(guarded_store, sqlite) as url:
        for about, note in (({"dataset": "signup"}, None), ({"tier": "restricted"}, None),
                            ({"dataset": "later"}, "no such dataset in the store yet: later")):  # fmt: skip
            answer = call("POST", f"{url}/v1/grants", admin, {**right, **about})
            assert (answer.status, answer.json()["note"]) == (201, note)
        assert len(call("GET", f"{url}/v1/me", ann).json()["grants"]) == 3
