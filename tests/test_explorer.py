"""The pages for people, in a real browser against a real service."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ropeway
import tiny_store
from browser import Page, browsing, needs_browser
from guarded import call, make_token
from ropeway import manifest as m
from ropeway.stores import open_store
from serving import serving

EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A service's URL and its database's: an open dataset with an evil title, and a restricted one."""
    root = tmp_path_factory.mktemp("explorer")
    store, state = open_store(root / "store"), f"sqlite:///{root / 'state.db'}"
    made = tiny_store.build(store)
    card = replace(made.card, title=EVIL)
    store.put(m.manifest_path("tiny", made.version), m.dumps(replace(made, card=card)))
    tiny_store.build(store, "hidden", domain="CT", access="restricted")
    with serving(str(root / "store"), state) as url:
        yield url, state


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with browsing(tmp_path / "profile") as page:
        yield page


def text(page: Page, selector: str) -> Any:
    return page.look(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.innerText)")


LOADED = "document.querySelectorAll('#datasets tbody tr').length"


@needs_browser
def test_a_view_is_made_by_keyboard_and_every_count_is_the_services(world: tuple[str, str], page: Page) -> None:
    url = world[0]
    page.open(f"{url}/")
    page.until(LOADED)
    (told,) = call("GET", f"{url}/v1/datasets").json()
    cells = text(page, "#datasets tbody td")
    assert cells == [f"tiny\n{EVIL}", "ECG", "60", str(told["subjects"]), "119.8 kB", "open", "CC0"]
    assert text(page, "#totals dd")[:3] == ["1", "1", "60"]
    stats = call("GET", f"{url}/v1/stats?by=domain&by=dataset&by=split").json()
    arcs = page.look("[...document.querySelectorAll('.arc')].map(one => one.getAttribute('aria-label'))")
    assert {f"{row['domain']}, {row['dataset']}, {row['split']}: {row['samples']} samples" for row in stats} < set(arcs)

    page.look("document.querySelector('[name=where]').focus()")
    page.write("age >= 20 and sex = 'F'")
    page.press("Enter", "\r")
    page.until("document.querySelectorAll('.sample').length")
    view = ropeway.connect(url).query(where="age >= 20 and sex = 'F'")
    assert text(page, "#view dd")[:2] == [view.id, str(view.samples)]
    assert text(page, "#view pre") == [
        f'ropeway.StreamingLoader(ropeway.connect("{url}").view("{view.id}"), batch_size=256)'
    ]
    bars = text(page, ".histogram:has(.bar) span")
    assert bars == [
        word for counts in view.info.label_counts.values() for pair in counts.items() for word in map(str, pair)
    ]
    shown = text(page, ".sample")
    assert len(shown) == 8
    assert all(re.match(r"(note|no part)", one) and "tiny / site-" in one for one in shown)

    assert page.look("document.title") == "Ropeway"
    assert page.look("document.querySelectorAll('main script, main img[src=x]').length") == 0
    assert not [line for line in page.said if "/preview" not in line]  # no script refused, none failed


@needs_browser
def test_what_the_service_refuses_is_shown_in_its_words(world: tuple[str, str], page: Page) -> None:
    url = world[0]
    page.open(f"{url}/")
    page.until(LOADED)
    page.look("document.querySelector('[name=where]').value = 'height > <b>1'")
    page.look("document.querySelector('#query').requestSubmit()")
    page.until("!document.getElementById('refused').hidden")
    answer = call("POST", f"{url}/v1/views", None, {"where": "height > <b>1"})
    assert text(page, "#refused") == [answer.json()["detail"]]
    page.look("document.querySelector('#token').value = 'nonsense'; document.querySelector('#who').requestSubmit()")
    page.until("!document.getElementById('problem').hidden")
    assert text(page, "#problem") == [call("GET", f"{url}/v1/me", "nonsense").json()["detail"]]


@needs_browser
def test_a_token_shows_what_it_may_see_after_its_terms_and_stays_in_its_tab(world: tuple[str, str], page: Page) -> None:
    url, state = world
    token = make_token(state, "root", admin=True)
    page.open(f"{url}/")
    page.until(LOADED)
    assert "hidden" not in page.look("document.body.innerText")
    page.look("document.querySelector('#token').focus()")
    page.write(token)
    page.press("Enter", "\r")
    page.until(f"{LOADED} === 2")
    assert (text(page, "#name"), page.look("document.querySelector('#token').value")) == (["root"], "")
    assert page.look("Object.values(sessionStorage)") == [token]
    assert page.look("[localStorage.length, document.cookie, location.search]") == [0, "", ""]
    page.look("document.querySelector('[name=dataset]').value = 'hidden'")
    page.look("document.querySelector('#query').requestSubmit()")
    page.until("document.querySelector('.terms')")
    assert text(page, ".terms li") == ["hidden: CC0 (restricted)"]
    assert not text(page, ".sample")
    page.look("document.querySelector('.terms button').click()")
    page.until("document.querySelectorAll('.sample').length")
    view = ropeway.connect(url, token).query(datasets=["hidden"])
    assert call("GET", f"{url}/v1/views/{view.id}/licence", token).json()["accepted"]
    page.look("document.querySelector('#forget').click()")
    page.until(f"{LOADED} === 1")
    assert page.look("sessionStorage.length") == 0


@needs_browser
def test_what_comes_after_somebody_signed_out_is_not_shown(world: tuple[str, str], page: Page) -> None:
    url, state = world
    token = make_token(state, "root", admin=True)
    page.open(f"{url}/")
    page.until(LOADED)
    page.look("window.real = fetch; window.held = []; window.fetch = (...asked) => new Promise("
              "go => held.push(() => { const answer = real(...asked); go(answer); return answer; }))")  # fmt: skip
    page.look(f"document.querySelector('#token').value = '{token}'; document.querySelector('#who').requestSubmit()")
    page.look("document.querySelector('[name=dataset]').value = ''; document.querySelector('#query').requestSubmit()")
    page.look("document.querySelector('#forget').click()")
    page.until("held.length === 9")
    page.look("held.slice(5).forEach(go => go())")
    page.until(LOADED)
    page.look("Promise.all(held.slice(0, 5).map(go => go())).then(() => new Promise(go => setTimeout(go, 100)))")
    assert (page.look(LOADED), text(page, "#name"), text(page, "#view")) == (1, ["anonymous"], [""])
    assert page.look("held.length") == 9  # of the view nothing more is asked


@needs_browser
def test_pages_load_from_nowhere_else_and_fit_a_phone(world: tuple[str, str], page: Page) -> None:
    url = world[0]
    loaded = "performance.getEntriesByType('resource').map(one => new URL(one.name).origin)"
    page.open(f"{url}/docs")
    document = call("GET", f"{url}/openapi.json").json()
    operations = sum(map(len, document["paths"].values()))
    page.until(f"document.querySelectorAll('.opblock').length === {operations}")
    assert set(page.look(loaded)) == {url}
    for scheme in ("light", "dark"):
        page.open(f"{url}/?{scheme}", width=390, height=800, scheme=scheme)
        page.until(LOADED)
        assert page.look("document.documentElement.scrollWidth") <= 390
        assert set(page.look(loaded)) == {url}
    assert page.said == []


def test_pages_are_files_that_browsers_keep_under_a_strict_policy(world: tuple[str, str]) -> None:
    url = world[0]
    for path in ("", "docs"):
        answer = call("GET", f"{url}/{path}")
        words = answer.data.decode()
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"https?://|<style|style=|\son\w+=|<script>", words)
        loaded = re.findall(r'(?:src|href)="([^"]*\.\w+)"', words)
        assert loaded
        for name in loaded:
            file = call("GET", f"{url}/{name}")
            assert (file.status, file.headers["x-content-type-options"]) == (200, "nosniff")
            again = call("GET", f"{url}/{name}", **{"If-None-Match": file.headers["etag"]})
            assert (again.status, again.data) == (304, b"")
    for missing in ("explorer/nothing.js", "explorer/..%2fapp.py", "explorer/__init__.py"):
        assert call("GET", f"{url}/{missing}").status == 404
