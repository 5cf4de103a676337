"""URLs of a view's shards that the service answers itself: for whom they are good, for what, and how long."""

from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guarded
import ropeway
from guarded import TODAY, call, make_grant, make_token
from ropeway.errors import AccessDenied
from ropeway.remote import ServiceCatalog
from ropeway.samples import ShardRef
from ropeway.service_view import ServiceBytes
from ropeway.stores import Store, open_store
from ropeway_server import shard_urls, signatures
from ropeway_server.database import Database
from ropeway_server.grants import Grant
from ropeway_server.policy import Rights
from ropeway_server.principals import Principal
from ropeway_server.shard_urls import ShardUrls
from ropeway_server.signatures import Capability, Signatures
from ropeway_server.tokens import Tokens
from serving import serving


def test_a_revoked_token_ends_a_stream_through_the_proxy(guarded_store: str, sqlite: str) -> None:
    token = make_token(sqlite)
    make_grant(sqlite, dataset="signup")
    with serving(guarded_store, sqlite) as url:
        catalog = ropeway.connect(url, token)
        view = catalog.query(datasets=["signup"])
        assert isinstance(catalog, ServiceCatalog)
        catalog.accept(view.id)
        given = call("POST", f"{url}/v1/views/{view.id}/access", token, {}).json()["urls"]["0"]
        assert call("GET", given, Range="bytes=0-9").status == 206  # the URL stands for the token
        state = Database(sqlite)
        Tokens(state).revoke(token.split("_")[1], by=Principal(name="test"))
        state.close()
        assert call("GET", given, Range="bytes=0-9").status == 401


def test_a_signed_url_is_good_for_one_shard_and_one_time(guarded_store: str, sqlite: str) -> None:
    make_grant(sqlite, dataset="signup")
    token = make_token(sqlite)
    with serving(guarded_store, sqlite) as url:
        catalog = ropeway.connect(url, token)
        view = catalog.query(datasets=["signup", "free"])
        assert isinstance(catalog, ServiceCatalog)
        catalog.accept(view.id)
        urls = call("POST", f"{url}/v1/views/{view.id}/access", token, {}).json()["urls"]
        first, last = urls["0"], urls[str(len(urls) - 1)]
        assert call("GET", first, Range="bytes=0-9").status == 206
        swapped = f"{first.partition('?')[0]}?{last.partition('?')[2]}"
        for wrong in (swapped, first + "0", first[:-1], f"{first.partition('?')[0]}?by=.", f"{first}%00"):
            answer = call("GET", wrong, Range="bytes=0-9")
            assert answer.status == 403, wrong
            assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_capability_ends(state: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    signs, given = Signatures(state), Capability(Principal(name="ann", groups=frozenset("g")), "0" * 16, int(time()))
    text = signs.sign("d/v/x.tar", given)
    assert Signatures(state).open("d/v/x.tar", text) == given  # another replica
    with pytest.raises(AccessDenied, match="does not hold"):
        signs.open("d/v/y.tar", text)
    monkeypatch.setattr(signatures, "time", lambda: time() + signatures.LEEWAY + 2)
    with pytest.raises(AccessDenied, match="does not hold"):
        signs.open("d/v/x.tar", text)


def test_a_capability_carries_no_more_than_it_takes() -> None:
    groups = frozenset(f"group-{n}" for n in range(300))
    held = [
        Grant(id=1, holder="group:group-7", agreement="A", signed=TODAY, tier="registered", created=datetime.now(UTC))
    ]
    by_issuer = Principal(name="oidc:ann", groups=groups | {"icu"}, claimed=groups)
    assert Rights(by_issuer, held).lasting() == Principal(name="oidc:ann", claimed=frozenset({"group-7"}))
    by_token = Principal(name="ann", token="0" * 12, groups=groups, only=frozenset({"free"}), admin=True)
    assert Rights(by_token, held).lasting() == Principal(name="ann", token="0" * 12)


def test_urls_of_the_service_are_renewed_when_they_end(guarded_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "LEEWAY", 0)
    with serving(guarded_store, access_seconds=1) as url:
        reader = ropeway.connect(url).query(datasets=["free"]).reader()
        assert isinstance(reader, ServiceBytes)
        first = bytes(reader.read(0, 0, 4096))
        ended = {number: (given_url, monotonic() + 900) for number, (given_url, _) in reader._urls.items()}
        sleep(2.2)  # and this host's clock does not know
        reader._urls = ended
        assert bytes(reader.read(0, 0, 4096)) == first
        assert reader.counters.renewals == 1


@given(st.text(max_size=60))
def test_no_text_is_a_capability(text: str) -> None:
    state = Database("sqlite://")
    with pytest.raises(AccessDenied):
        Signatures(state).open("d/v/x.tar", text)
    state.close()


def test_a_list_of_shards_that_is_too_long_or_wrong_is_refused(guarded_store: str) -> None:
    with serving(guarded_store) as url:
        view = ropeway.connect(url).query(datasets=["free"]).id
        for shards in ([0] * 3 + list(range(10_000)), [-1], [99], [10**30], ["x"], [0.5]):
            answer = call("POST", f"{url}/v1/views/{view}/access", None, {"shards": shards})
            assert answer.status == 422, shards[:3]
            assert answer.headers["Content-Type"] == "application/problem+json"
        assert list(call("POST", f"{url}/v1/views/{view}/access", None, {"shards": [1, 1, 0]}).json()["urls"]) == [
            "1", "0",
        ]  # fmt: skip


def test_shards_come_through_the_service_for_hosts_that_reach_only_it(bucket: str) -> None:
    store = f"s3://{bucket}/climb"
    guarded.build(open_store(store), "free")
    with serving(store) as url:
        near, far = ropeway.connect(url, proxied=True).query(), ropeway.connect(url).query()
        readers = near.reader(), far.reader()
        assert bytes(readers[0].read(0, 0, 4096)) == bytes(readers[1].read(0, 0, 4096))
        urls = [next(iter(reader._urls.values()))[0] for reader in readers]  # type: ignore[attr-defined]
        assert urls[0].startswith(f"{url}/v1/objects/")
        assert "X-Amz-Signature" in urls[1]


def test_where_adopted_shards_are_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = list[str](), open_store

    def counted(url: str) -> Store:
        opened.append(url)
        return real(url)

    monkeypatch.setattr(shard_urls, "open_store", counted)
    state = Database("sqlite://")
    makes = ShardUrls(open_store(tmp_path), Signatures(state), 60, "http://index")
    for number in range(20):
        place = f"{(tmp_path / ('a' if number % 2 else 'b')).as_uri()}/{number}.tar"
        url = makes.of(ShardRef("d", "0" * 12, place, 1, f"{number:064x}"), Principal(name="ann"), "0" * 16)
        assert url.startswith("http://index/v1/objects/d/")  # a folder signs nothing
    assert sorted(opened) == sorted({(tmp_path / name).as_uri() for name in "ab"})
    state.close()
