"""The service as it runs: workers, its end, TLS, what it logs, and headers that browsers heed."""

import http.client
import json
import logging
import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import psutil
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.testclient import TestClient

import packed
import ropeway
from ropeway.errors import UsageError
from ropeway.stores import open_store
from ropeway_server.app import create_app
from ropeway_server.headers import ALWAYS, DEFAULTS
from ropeway_server.logs import JsonLines
from ropeway_server.run import check_tls
from ropeway_server.settings import Settings, Tls
from served_process import Served, served
from serving import serving

http_ = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("store")
    packed.publish(open_store(place), samples=60, per_shard=20, shape=(30, 1000))
    return str(place)


@pytest.fixture(scope="module")
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


def logged(service: Served) -> list[dict[str, object]]:
    return [json.loads(line) for line in service.log.read_text().splitlines()]


def test_workers_share_the_port_and_count_together(store: str, tmp_path: Path) -> None:
    with served(store, database(tmp_path), tmp_path / "log", "--workers", "2") as service:
        workers = [p for p in psutil.Process(service.process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        assert len(workers) == 2
        for _ in range(30):  # each on a connection of its own: the kernel deals them
            assert http_.request("GET", f"{service.url}/healthz", headers={"Connection": "close"}).status == 200
        counted = http_.request("GET", f"{service.url}/metrics").data.decode()
        assert 'ropeway_request_seconds_count{method="GET",route="/healthz",status="200"} 30.0' in counted
        view = ropeway.connect(service.url).query(where="age < 20")
        assert all(ropeway.connect(service.url).view(view.id).samples == 20 for _ in range(6))
        workers[0].kill()
        until = monotonic() + 20
        while len(alive := _workers(service)) < 2 or workers[0].pid in {p.pid for p in alive}:
            assert monotonic() < until
            sleep(0.05)
        assert ropeway.connect(service.url).view(view.id).samples == 20
        service.process.terminate()
        assert service.process.wait(20) == 0
    assert any(f"worker {workers[0].pid} died" in str(line["message"]) for line in logged(service))
    assert not any(process.is_running() for process in [*workers, *alive])


def _workers(service: Served) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(service.process.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_workers_do_not_outlive_one_who_was_killed(store: str, tmp_path: Path) -> None:
    with served(store, database(tmp_path), tmp_path / "log", "--workers", "2") as service:
        workers = _workers(service)
        service.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive


def test_a_service_that_ends_says_so_first_and_finishes_what_it_began(store: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ROPEWAY_SERVE_DRAIN_SECONDS": "0.6", "ROPEWAY_SERVE_LOG_LEVEL": "info"}
    with served(store, database(tmp_path), tmp_path / "log", environment=environment) as service:
        place = urlsplit(service.url).netloc
        path = f"/v1/objects/d/{packed.VERSION}/train-000000.tar"
        with closing(http.client.HTTPConnection(place, timeout=10)) as download:
            download.request("GET", path)
            answer = download.getresponse()
            first = answer.read(1000)
            service.process.send_signal(signal.SIGTERM)
            until = monotonic() + 5
            while (ready := http_.request("GET", f"{service.url}/readyz")).status == 200:
                assert monotonic() < until
            assert (ready.status, "is ending" in ready.json()["detail"]) == (503, True)
            assert http_.request("GET", f"{service.url}/v1/datasets").status == 200  # until nobody is sent here
            sleep(0.8)
            with pytest.raises(urllib3.exceptions.HTTPError):
                http_.request("GET", f"{service.url}/healthz")
            assert first + answer.read() == (Path(store) / "d" / packed.VERSION / "train-000000.tar").read_bytes()
        assert service.process.wait(15) == 0


def test_workers_that_end_refuse_who_comes_and_finish_what_they_began(tmp_path: Path) -> None:
    packed.publish(
        open_store(tmp_path / "store"), samples=20, per_shard=20, shape=(300, 1000)
    )  # more than sockets hold
    shard = tmp_path / "store/d" / packed.VERSION / "train-000000.tar"
    with served(str(tmp_path / "store"), database(tmp_path), tmp_path / "log", "--workers", "2") as service:
        place = urlsplit(service.url).netloc
        with closing(http.client.HTTPConnection(place, timeout=20)) as download:
            download.request("GET", f"/v1/objects/d/{packed.VERSION}/{shard.name}")
            answer = download.getresponse()
            first = answer.read(1000)
            service.process.send_signal(signal.SIGTERM)
            until = monotonic() + 5
            while _connects(place):  # each that is taken up is answered, and then nobody listens
                assert monotonic() < until
                sleep(0.02)
            assert service.process.poll() is None
            assert first + answer.read() == shard.read_bytes()
        assert service.process.wait(15) == 0


def _connects(place: str) -> bool:
    with closing(http.client.HTTPConnection(place, timeout=2)) as connection:
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (ConnectionError, http.client.HTTPException):
            return False


def test_logs_are_json_without_what_was_asked_for(store: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ROPEWAY_SERVE_LOG_LEVEL": "info"}
    with served(store, database(tmp_path), tmp_path / "log", environment=environment) as service:
        asked = {
            "/v1/samples/d/k000007": 200, "/v1/stats?by=split&where=age%20%3D%2077.0625": 200, "/secret-path": 404,
            f"/v1/objects/d/{packed.VERSION}/train-000000.tar?by=secret.mac": 403,
        }  # fmt: skip
        headers = {"Authorization": "Bearer rw_secret"}
        for path, status in asked.items():
            answer = http_.request("GET", service.url + path, headers={"X-Request-ID": "abcdef-0123"})
            assert (answer.status, answer.headers["x-request-id"]) == (status, "abcdef-0123")
        assert http_.request("GET", f"{service.url}/v1/tasks", headers=headers).status == 401
        told = http_.request("GET", f"{service.url}/healthz", headers={"X-Request-ID": "a\tb" * 9}).headers
        assert len(told["x-request-id"]) == 16
    lines = [line for line in logged(service) if line["message"] == "answered"]
    assert [(line["route"], line["status"]) for line in lines[:4]] == [
        ("/v1/samples/{dataset}/{path:path}", 200), ("/v1/stats", 200), ("none", 404), ("/v1/objects/{path:path}", 403),
    ]  # fmt: skip
    assert set(lines[0]) >= {"time", "level", "id", "method", "ms", "bytes", "client"}
    datetime.fromisoformat(str(lines[0]["time"]))
    text = service.log.read_text()
    assert not any(word in text for word in ("k000007", "77.0625", "secret", "a\\tb"))


def test_errors_are_logged_by_place_and_not_by_their_words() -> None:
    try:
        {"patient": 1}["Jane Roe"]
    except KeyError:
        entry = logging.LogRecord("a", logging.ERROR, "", 1, "%s failed", ("GET",), None)
        import sys

        entry.exc_info = sys.exc_info()
    line = json.loads(JsonLines().format(entry))
    assert (line["message"], line["error"]) == ("GET failed", "KeyError")
    assert "test_errors_are_logged_by_place_and_not_by_their_words" in line["at"][-1]
    assert "Jane" not in json.dumps(line)


@pytest.mark.parametrize("path", ["/healthz", "/v1/datasets", "/v1/nothing", "/openapi.json", "/metrics"])
def test_every_answer_tells_browsers_what_not_to_do(service: str, path: str) -> None:
    answer = http_.request("GET", service + path)
    expected = {**ALWAYS, **DEFAULTS}
    assert {name: answer.headers[name] for name in expected} == expected
    assert not answer.headers.keys() & {"server", "access-control-allow-origin", "strict-transport-security"}


def test_a_failure_tells_browsers_the_same_and_its_log_no_words(store: str, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(store=store, database="sqlite://"))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("Jane Roe")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "abcdef-0123"})
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
    assert answer.headers["x-request-id"] == "abcdef-0123"
    (line,) = [json.loads(JsonLines().format(one)) for one in caplog.records if one.message == "answered"]
    assert (line["level"], line["id"], line["status"]) == ("warning", "abcdef-0123", 500)
    assert all(answer.headers[name] == value for name, value in {**ALWAYS, **DEFAULTS}.items())
    (entry,) = [one for one in caplog.records if one.name == "ropeway_server.answers"]
    assert "Jane" not in JsonLines().format(entry)


def test_immutable_pages_may_still_be_kept(service: str) -> None:
    view = ropeway.connect(service).query()
    answer = http_.request("GET", f"{service}/v1/views/{view.id}/samples")
    assert "immutable" in answer.headers["cache-control"]


def test_pages_of_named_origins_only_may_ask(store: str, service: str) -> None:
    asks = {"Origin": "https://explorer.example.org", "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    assert "access-control-allow-origin" not in http_.request("OPTIONS", f"{service}/v1/tasks", headers=asks).headers
    with serving(store, origins=("https://explorer.example.org",)) as open_to_one:
        allowed = http_.request("OPTIONS", f"{open_to_one}/v1/tasks", headers=asks)
        assert allowed.status == 200
        assert allowed.headers["access-control-allow-origin"] == "https://explorer.example.org"
        assert "access-control-allow-credentials" not in allowed.headers
        other = {**asks, "Origin": "https://evil.example.org"}
        assert http_.request("OPTIONS", f"{open_to_one}/v1/tasks", headers=other).status == 400
        plain = http_.request("GET", f"{open_to_one}/v1/tasks", headers={"Origin": other["Origin"]})
        assert "access-control-allow-origin" not in plain.headers


def test_requests_addressed_to_another_host_are_refused(store: str) -> None:
    with serving(store, hosts=("ropeway.example.org",)) as service:
        assert http_.request("GET", f"{service}/v1/tasks").status == 400
        assert http_.request("GET", f"{service}/v1/tasks", headers={"Host": "ropeway.example.org"}).status == 200


def test_the_scheme_a_trusted_proxy_tells_is_that_of_urls(store: str) -> None:
    told = {"X-Forwarded-Proto": "https", "Host": "ropeway.example.org"}
    for proxies, scheme in ((("127.0.0.1",), "https"), (("10.0.0.0/8",), "http")):
        with serving(store, proxies=proxies) as service:
            view = ropeway.connect(service).query()
            answer = http_.request("POST", f"{service}/v1/views/{view.id}/access", body=b"{}", headers=told)
            assert answer.json()["urls"]["0"].startswith(f"{scheme}://ropeway.example.org/v1/objects/")


def _certificate(folder: Path, name: str, issuer: "tuple[x509.Name, ec.EllipticCurvePrivateKey] | None" = None
                 ) -> "tuple[x509.Name, ec.EllipticCurvePrivateKey]":  # fmt: skip
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, signer = issuer or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(private)
    return subject, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = _certificate(folder, "ca")
    for name in ("service", "trainer"):
        _certificate(folder, name, authority)
    return folder


def _ask(url: str, folder: Path, name: str = "", newest: "ssl.TLSVersion | None" = None) -> int:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")  # or OpenSSL would not even ask
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    if name:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    with closing(http.client.HTTPSConnection(urlsplit(url).netloc, timeout=10, context=context)) as connection:
        connection.request("GET", "/v1/datasets")
        answer = connection.getresponse()
        answer.read()
        assert answer.headers["Strict-Transport-Security"]
        return answer.status


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")  # which is why it must be refused
def test_tls_and_certificates_of_clients(store: str, certificates: Path) -> None:
    tls = Tls(certificate=str(certificates / "service.crt"), key=str(certificates / "service.key"))
    with serving(store, tls=tls) as plain:
        url = plain.replace("http://", "https://")
        assert _ask(url, certificates) == 200
        assert _ask(url, certificates, newest=ssl.TLSVersion.TLSv1_2) == 200
        with pytest.raises(ssl.SSLError, match=r"EOF|ALERT_PROTOCOL"):  # the service hangs up
            _ask(url, certificates, newest=ssl.TLSVersion.TLSv1_1)
    mutual = Tls(certificate=tls.certificate, key=tls.key, clients=str(certificates / "ca.crt"))
    with serving(store, tls=mutual) as service:
        url = service.replace("http://", "https://")
        assert _ask(url, certificates, "trainer") == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            _ask(url, certificates)


@pytest.mark.parametrize("missing", ["certificate", "key", "clients"])
def test_a_certificate_that_cannot_be_used_is_told(certificates: Path, missing: str) -> None:
    files = {"certificate": "service.crt", "key": "service.key", "clients": "ca.crt", missing: "none.pem"}
    with pytest.raises(UsageError, match=r"cannot use the TLS files .*none\.pem"):
        check_tls(Tls(**{name: str(certificates / file) for name, file in files.items()}))


def test_metrics_count_what_runs_now(service: str) -> None:
    text = http_.request("GET", f"{service}/metrics").data.decode()
    assert "ropeway_requests_in_progress 1.0" in text
    assert "process_resident_memory_bytes" in text


def test_a_dev_service_prints_a_token_and_its_url(store: str, tmp_path: Path) -> None:
    with served(store, database(tmp_path), tmp_path / "log", "--dev") as service:
        assert service.process.stdout is not None
        token = service.process.stdout.readline().partition("ROPEWAY_TOKEN=")[2].strip()
        assert token
        asked = http_.request("GET", f"{service.url}/v1/tasks", headers={"Authorization": f"Bearer {token}"})
        assert asked.status == 200
