"""The commands `token`, `group`, `grant` and `licence`."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ropeway
from ropeway.cli import make_app
from ropeway.errors import AccessDenied, RopewayError, UsageError
from ropeway_server import times
from serving import serving


def run(*arguments: str, **environment: str) -> str:
    """What a command prints on stdout; its error is raised."""
    result = CliRunner().invoke(make_app(), list(arguments), env=environment)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_token_is_printed_alone_on_the_last_line(sqlite: str) -> None:
    command = [sys.executable, "-m", "ropeway.cli", "token", "create", "--name", "ann", "--admin", "--database", sqlite]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"ropeway_[0-9a-f]{12}_[0-9a-f]{64}\n", done.stdout)
    assert "shown this once" in done.stderr


def test_the_commands_make_list_and_revoke(guarded_store: str, sqlite: str) -> None:
    token = run("token", "create", "--name", "ann", "--database", sqlite).splitlines()[-1]
    right = ("--dataset", "signup", "--agreement", "DUA 1", "--signed", "2026-01-02", "--expires", "30d")
    assert "grant 1: ann may read signup until" in run("grant", "add", "ann", *right, "--database", sqlite)
    with serving(guarded_store, sqlite) as url:
        listed = json.loads(run("ls", "--store", url, "--json", ROPEWAY_TOKEN=token))
        assert {one["id"] for one in listed} == {"free", "alike", "signup"}
        view = ropeway.connect(url, token).query(datasets=["signup"]).id
        assert "not accepted yet" in run("licence", view, "--store", url, ROPEWAY_TOKEN=token)
        accepted = json.loads(run("licence", view, "--store", url, "--accept", "--json", ROPEWAY_TOKEN=token))
        assert accepted["accepted"]
        tokens = json.loads(run("token", "list", "--json", "--database", sqlite))
        run("token", "revoke", tokens[0]["id"], "--database", sqlite)
        with pytest.raises(AccessDenied, match="ask its operators for a new one") as caught:
            run("ls", "--store", url, ROPEWAY_TOKEN=token)
        assert token.split("_")[2] not in str(caught.value)
    assert "revoked" in run("token", "list", "--database", sqlite)
    assert "DUA 1, 2026-01-02" in run("grant", "list", "--database", sqlite)
    run("grant", "revoke", "1", "--database", sqlite)
    assert json.loads(run("grant", "list", "--json", "--database", sqlite))[0]["revoked"]


@pytest.mark.parametrize("command", ["audit --check", "token list", "token revoke 1", "group list", "grant revoke 1"])
def test_a_mistyped_database_is_no_empty_one(tmp_path: Path, command: str) -> None:
    mistyped = tmp_path / "ropewy.db"
    with pytest.raises(UsageError, match=r"no service has kept its state in .*/ropewy\.db"):
        run(*command.split(), "--database", f"sqlite:///{mistyped}")
    assert not mistyped.exists()


def test_a_right_to_a_dataset_that_is_not_there_yet_is_given_and_told(guarded_store: str, sqlite: str) -> None:
    command = ["grant", "add", "ann", "--agreement", "DUA 1", "--database", sqlite]
    unknown = "no such dataset in the store yet: singup"
    for dataset, place, words in (("signup", guarded_store, ""), ("singup", guarded_store, unknown),
                                  ("singup", "", "without --store nobody looked")):  # fmt: skip
        done = CliRunner().invoke(make_app(), [*command, "--dataset", dataset, "--store", place])
        assert done.exit_code == 0
        assert words in done.stderr
        assert (done.stderr == "") == (words == "")
    assert len(json.loads(run("grant", "list", "--json", "--database", sqlite))) == 3


def test_groups_are_joined_listed_and_left(sqlite: str) -> None:
    run("group", "add", "icu", "ann", "--database", sqlite)
    assert run("group", "list", "--database", sqlite) == "icu: ann\n"
    run("group", "remove", "icu", "ann", "--database", sqlite)
    assert json.loads(run("group", "list", "--json", "--database", sqlite)) == {}


def test_a_stores_own_view_has_a_licence_too(guarded_store: str) -> None:
    view = ropeway.connect(guarded_store).query(datasets=["alike", "closed"])
    ropeway.connect(guarded_store).save(view, "mixed")
    told = run("licence", "mixed", "--store", guarded_store)
    assert "together: NC, SA, restricted" in told
    assert "conflict:" in told
    with pytest.raises(UsageError, match="accepted at an index service"):
        run("licence", "mixed", "--store", guarded_store, "--accept")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "create", "--name", "everyone"), "not a name"),
        (("token", "create", "--name", "a", "--expires", "soon"), "not a time"),
        (("token", "create", "--name", "a", "--expires", "2020-01-01"), "has passed"),
        (("token", "revoke", "nope"), "no token 'nope'"),
        (("grant", "add", "a", "--agreement", "x"), "for a dataset or for a tier"),
        (("grant", "add", "a", "--agreement", "x", "--tier", "secret"), "not a grant"),
        (("grant", "revoke", "7"), "no grant 7"),
        (("group", "remove", "g", "a"), "is not in the group"),
        (("audit", "--subject", "x"), "--subject needs"),
    ],
)
def test_wrong_commands_say_what_is_wrong(sqlite: str, arguments: tuple[str, ...], words: str) -> None:
    run("group", "add", "others", "b", "--database", sqlite)
    with pytest.raises(RopewayError, match=words) as caught:
        run(*arguments, "--database", sqlite)
    assert len(str(caught.value).splitlines()) == 1


def test_times_as_people_write_them() -> None:
    now = datetime.now(UTC)
    assert times.until("never") is None
    assert abs((times.until("90d") or now) - now - timedelta(days=90)) < timedelta(seconds=5)
    assert times.until("2099-01-31") == datetime(2099, 1, 31, tzinfo=UTC)
    assert abs(now - timedelta(hours=12) - times.since("12h")) < timedelta(seconds=5)
    assert times.since("2026-01-02T03:04+02:00") == datetime(2026, 1, 2, 1, 4, tzinfo=UTC)
    for wrong in ("", "90", "d", "tomorrow", "-3d", "999999d"):
        with pytest.raises(UsageError):
            times.until(wrong)
