"""The service's settings: file, environment, command line; and what is wrong with them is told."""

import pickle
import re
from pathlib import Path

import pytest

from ropeway.errors import UsageError
from ropeway_server.settings import Limits, Oidc, Settings, Tls, load

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_layers_lie_over_one_another(tmp_path: Path) -> None:
    file = tmp_path / "ropeway.toml"
    text = """
        store = "s3://a/b"
        port = 1
        workers = 2
        limits = { body = 5, rate = 7.5 }
        tls = { certificate = "c", key = "k" }
    """
    file.write_text(text)
    environment = {
        "ROPEWAY_SERVE_LIMITS_BODY": "6", "ROPEWAY_SERVE_PORT": "2", "ROPEWAY_SERVE_ANONYMOUS": "false",
        "ROPEWAY_SERVE_PROXIES": "10.0.0.0/8, ::1", "ROPEWAY_SERVICE_HOST": "10.1.1.1", "HOME": "/",
    }  # fmt: skip
    found = load(file, environment, {"port": 3})
    assert found == Settings(
        store="s3://a/b", port=3, workers=2, limits=Limits(body=6, rate=7.5), tls=Tls(certificate="c", key="k"),
        anonymous=False, proxies=("10.0.0.0/8", "::1"),
    )  # fmt: skip


def test_a_section_may_come_from_the_environment_alone() -> None:
    environment = {
        "ROPEWAY_SERVE_STORE": "x",
        "ROPEWAY_SERVE_OIDC_ISSUER": "https://i",
        "ROPEWAY_SERVE_OIDC_AUDIENCE": "a",
    }
    assert load(None, environment, {}).oidc == Oidc(issuer="https://i", audience="a")


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        ("", {}, "missing required field `store`"),
        ('store = "x"\nprot = 1', {}, "unknown field `prot`"),
        ('store = "x"\n[limits]\nbdy = 1', {}, "unknown field `bdy` - at `$.limits`"),
        ('store = "x"\nport = "many"', {}, "Expected `int`, got `str` - at `$.port`"),
        ('store = "x"\nworkers = 0', {}, "workers is 0: give a number above 0"),
        ('store = "x"\n[limits]\nrequest_seconds = -1', {}, "limits.request_seconds is -1.0"),
        ('store = "x"\nworkers = 2\ndatabase = "sqlite://"', {}, "workers share a database"),
        ('store = "x"\n[tls]\nkey = "k"', {}, "missing required field `certificate` - at `$.tls`"),
        ("store = ", {}, "cannot read the service's settings"),
        ('store = "x"', {"ROPEWAY_SERVE_PROT": "1"}, "no setting is meant by ROPEWAY_SERVE_PROT; there is: "),
        ('store = "x"', {"ROPEWAY_SERVE_LIMITS": "1"}, "no setting is meant by ROPEWAY_SERVE_LIMITS"),
        ('store = "x"', {"ROPEWAY_SERVE_LOG_LEVEL": "loud"}, "Invalid enum value 'loud'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, text: str, environment: dict[str, str], words: str) -> None:
    file = tmp_path / "ropeway.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=re.escape(words)):
        load(file, environment, {})


def test_a_value_that_does_not_fit_is_not_told_itself() -> None:
    """It could be a password."""
    with pytest.raises(UsageError) as told:
        load(None, {"ROPEWAY_SERVE_STORE": "x", "ROPEWAY_SERVE_PORT": "hunter2"}, {})
    assert "hunter2" not in str(told.value)
    assert "ROPEWAY_SERVE_PORT" in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the service's settings from .*none.toml"):
        load(tmp_path / "none.toml", {}, {})


def test_settings_reach_the_workers_whole() -> None:
    given = Settings(store="x", tls=Tls(certificate="c", key="k"), limits=Limits(rate=3))
    assert pickle.loads(pickle.dumps(given)) == given


def test_the_example_is_all_there_is_with_its_defaults() -> None:
    """Every setting is in deploy/ropeway.toml: as it is by default, or commented out where there is no default."""
    text = (DEPLOY / "ropeway.toml").read_text()
    shown = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE))
    fields = [*Settings.__struct_fields__, *Limits.__struct_fields__, *Tls.__struct_fields__, *Oidc.__struct_fields__]
    assert shown == set(fields) - {"limits", "tls", "oidc"}
    example = load(DEPLOY / "ropeway.toml", {}, {})
    assert example == Settings(store=example.store)


def test_what_the_example_comments_out_holds_too(tmp_path: Path) -> None:
    lines = (DEPLOY / "ropeway.toml").read_text().splitlines()
    whole = tmp_path / "whole.toml"
    whole.write_text("\n".join(re.sub(r"^# (?=[a-z_]+ = |\[)", "", line) for line in lines))
    found = load(whole, {}, {})
    assert found.tls is not None
    assert found.oidc == Oidc(issuer="https://login.example.org", audience="ropeway", admins="ropeway-admins")
