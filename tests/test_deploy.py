"""deploy/: what can run here runs, the rest is held against its own schema and against the service it is for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import kubernetes_validate
import promql_parser
import pytest
import typer
import urllib3
import yaml
from botocore.exceptions import ClientError
from distributed.cli import dask_scheduler, dask_worker
from fastapi import FastAPI

import packed
import ropeway
from ropeway.cli import make_app
from ropeway.errors import AccessDenied
from ropeway.manifest import latest_path
from ropeway.stores import open_store
from ropeway_server.run import configured
from ropeway_server.settings import load
from ropeway_shardgen.demo.seaweedfs import S3Server, running
from ropeway_shardgen.pack import pack
from serving import serving
from shardgen_raw import recipe, write_raw

DEPLOY = Path(__file__).parents[1] / "deploy"
BIN = Path(sys.executable).parent
MANIFESTS = sorted(DEPLOY.glob("kubernetes/*.yaml"))


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def compose() -> dict[str, Any]:
    return documents(DEPLOY / "compose.yaml")[0]


def kubernetes(kind: str) -> list[dict[str, Any]]:
    return [one for file in MANIFESTS for one in documents(file) if one["kind"] == kind]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in kubernetes(kind) if one["metadata"]["name"] == name)
    return found


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


# --- linters and schemas: what only another machine can run -----------------------------------------------------------


def test_the_dockerfile_is_sound() -> None:
    found = run(BIN / "hadolint", DEPLOY / "Dockerfile")
    assert found.returncode == 0, found.stdout


def test_the_dockerfile_copies_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert copied
    for name in copied:
        assert (DEPLOY.parent / name).exists(), name
        assert f"!{name}" in allowed, name
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "script", [DEPLOY / "slurm" / "train.sbatch", DEPLOY / "secrets.sh"], ids=lambda path: path.name
)
def test_shell_scripts_are_sound(script: Path) -> None:
    found = run(BIN / "shellcheck", script)
    assert found.returncode == 0, found.stdout


def test_compose_follows_its_specification() -> None:
    found = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_manifests_follow_their_schemas(file: Path) -> None:
    for document in documents(file):
        kubernetes_validate.validate(document, "1.37", strict=True)


# --- what the files say of one another and of the service -------------------------------------------------------------


def test_compose_nginx_and_prometheus_name_the_same_replicas() -> None:
    services = compose()["services"]
    replicas = {name for name in services if name.startswith("service-")}
    assert len(replicas) == 2
    assert set(re.findall(r"server (service-\d):8080", (DEPLOY / "nginx.conf").read_text())) == replicas
    scraped = documents(DEPLOY / "prometheus.yaml")[0]["scrape_configs"][0]["static_configs"][0]["targets"]
    assert set(scraped) == {f"{name}:8080" for name in replicas}


def test_nginx_lets_idle_connections_go_before_the_service_does() -> None:
    (upstream,) = re.findall(r"upstream replicas \{(.*?)\}", (DEPLOY / "nginx.conf").read_text(), re.DOTALL)
    (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", upstream)
    assert 0 < int(seconds) < configured(FastAPI(), load(None, {}, {"store": "memory://"})).timeout_keep_alive


def test_compose_hardens_the_service_and_holds_no_secret() -> None:
    for name, service in compose()["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?set it in deploy/\.env\}", value), variable
        for source in (mount.partition(":")[0] for mount in service.get("volumes", [])):
            assert not source.startswith("./") or (DEPLOY / source).exists(), source
    replica = compose()["services"]["service-1"]
    assert replica["read_only"]
    assert replica["cap_drop"] == ["ALL"]


def test_the_settings_of_compose_and_kubernetes_are_ones() -> None:
    environment = compose()["services"]["service-1"]["environment"]
    assert load(None, environment, {}).workers == 2
    assert "SERVE_" in "".join(environment)


def test_kubernetes_settings_are_ones(tmp_path: Path) -> None:
    (config,) = kubernetes("ConfigMap")
    file = tmp_path / "ropeway.toml"
    file.write_text(config["data"]["ropeway.toml"])
    assert load(file, {}, {}).host == "0.0.0.0"


def test_kubernetes_objects_fit_together() -> None:
    deployment, job = named("Deployment", "ropeway-service"), named("Job", "train")
    policy = named("NetworkPolicy", "ropeway-service")["spec"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        kubernetes("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        named("Service", "ropeway")["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()
    scaled = kubernetes("HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    allowed = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert allowed.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    nodes = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == nodes
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--nnodes={nodes}" in arguments
    assert f"--rdzv-endpoint=train-0.{job['spec']['template']['spec']['subdomain']}:29500" in arguments


def test_kubernetes_pods_have_no_rights_they_need_not() -> None:
    for one in [*kubernetes("Deployment"), *kubernetes("Job")]:
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_packing_on_kubernetes_fits_together() -> None:
    """The scheduler that job and workers name is there, only they reach it, and the commands have these options."""
    parts = [named("Deployment", "pack-scheduler"), named("Deployment", "pack-worker"), named("Job", "pack")]
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in parts]
    stranger = named("Job", "train")["spec"]["template"]["metadata"]["labels"]
    policy = named("NetworkPolicy", "ropeway-pack")["spec"]
    for selector in (policy["podSelector"], policy["ingress"][0]["from"][0]["podSelector"]):
        fitting = [selector["matchLabels"].items() <= label.items() for label in (*labels, stranger)]
        assert fitting == [True, True, True, False]
    assert named("Service", "pack-scheduler")["spec"]["selector"].items() <= labels[0].items()
    scheduler, worker, packer = (one["spec"]["template"]["spec"]["containers"][0] for one in parts)
    assert "tcp://pack-scheduler:8786" in worker["command"]
    assert "--scheduler=tcp://pack-scheduler:8786" in packer["args"]
    ropeway_pack = typer.main.get_command(make_app()).commands["pack"]  # type: ignore[attr-defined]
    for words, command in (
        (scheduler["command"], dask_scheduler.main),
        (worker["command"], dask_worker.main),
        (packer["args"], ropeway_pack),
    ):
        there = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= there
    seen = [{mount["mountPath"] for mount in container["volumeMounts"]} for container in (worker, packer)]
    assert seen[0] == seen[1] == {"/raw", "/tmp"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("store")
    packed.publish(open_store(place), samples=90, per_shard=30)
    return str(place)


@pytest.fixture(scope="module")
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def expressions() -> list[str]:
    panels = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]
    rules = [rule for group in documents(DEPLOY / "alerts.yaml")[0]["groups"] for rule in group["rules"]]
    return [*(target["expr"] for panel in panels for target in panel["targets"]), *(rule["expr"] for rule in rules)]


def test_the_dashboard_and_alerts_ask_for_metrics_that_there_are(service: str) -> None:
    with urllib3.PoolManager() as http:
        http.request("GET", f"{service}/v1/tasks")
        text = http.request("GET", f"{service}/metrics").data.decode()
    there = set(re.findall(r"^([a-z_]+)[ {]", text, re.MULTILINE)) | {"up"}
    asked = set[str]()
    for expression in expressions():
        promql_parser.parse(expression.replace("$__rate_interval", "1m"))
        asked |= set(re.findall(r"\b(up|ropeway_[a-z_]+)\b", expression))
    assert asked <= there
    assert {name for name in there if name.startswith("ropeway_") and not name.endswith(("_sum", "_created"))} <= asked


def test_probes_and_checks_ask_for_paths_that_there_are(service: str) -> None:
    texts = [(DEPLOY / "Dockerfile").read_text(), *(file.read_text() for file in MANIFESTS)]
    paths = {found for text in texts for found in re.findall(r"(?:path: |:8080)(/[a-z]+z)\b", text)}
    assert paths == {"/healthz", "/readyz"}
    with urllib3.PoolManager() as http:
        assert all(http.request("GET", service + path).status == 200 for path in paths)


def test_secrets_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((DEPLOY / "secrets.sh").read_text())
    assert run("bash", script).returncode == 0
    given = dict(line.split("=") for line in (tmp_path / ".env").read_text().split())
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert needed <= given.keys()
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in given.values())
    assert len(set(given.values())) == len(given)
    identities = json.loads((tmp_path / "identities.json").read_text())["identities"]
    assert identities[0]["credentials"][0]["secretKey"] == given["SERVICE_SECRET_KEY"]
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / ".env", tmp_path / "identities.json")} == {0}
    again = run("bash", script)
    assert again.returncode == 1
    assert "is there already" in again.stderr


# --- what runs --------------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group("hosts")
def test_the_slurm_script_streams_on_every_rank(service: str, tmp_path: Path) -> None:
    """Slurm's own two commands are stand-ins, for one node; the script, torchrun and the stream are real."""
    commands = {
        "scontrol": 'test "$1 $2" = "show hostnames" && echo 127.0.0.1',
        "srun": 'test "$1" = --kill-on-bad-exit=1 && shift && exec "$@"',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    token = tmp_path / "token"
    token.write_text("")
    environment = {
        **os.environ, "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n1", "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "2", "ROPEWAY_SERVICE": service, "ROPEWAY_TASK": "cls",
        "ROPEWAY_TOKEN_FILE": str(tmp_path / "none"), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    found = subprocess.run(
        ["bash", DEPLOY / "slurm" / "train.sbatch", DEPLOY / "stream.py"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("90 of 90 samples on 2 ranks") == 2
    told = json.loads(found.stdout.splitlines()[-1])
    assert (told["views"][0]["samples"], told["state"]["epoch"], told["world_size"]) == (90, 2, 2)


@pytest.fixture(scope="module")
def guarded_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 whose IAM takes users and policies."""
    with running(tmp_path_factory.mktemp("iam"), options=["-s3.iam.readOnly=false"]) as server:
        server.create_bucket("your-bucket")
        server.create_bucket("another")
        yield server


def user(server: S3Server, role: str, patch: pytest.MonkeyPatch) -> None:
    """Become somebody who has deploy/iam's policy for that role, and no other."""
    given = {"endpoint_url": server.endpoint, "region_name": "us-east-1", "aws_access_key_id": server.access_key,
             "aws_secret_access_key": server.secret_key}  # fmt: skip
    with closing(boto3.client("iam", **given)) as iam:
        iam.create_user(UserName=role)
        key = iam.create_access_key(UserName=role)["AccessKey"]
        policy = (DEPLOY / "iam" / f"{role}.json").read_text()
        iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=policy)
    for name, value in server.environment().items():
        patch.setenv(name, value)
    patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def refused(method: str, bucket: str = "your-bucket", key: str = "climb/x", **more: object) -> bool:
    """Whether S3 denies what the environment's user asks."""
    with closing(boto3.Session().client("s3")) as client:
        try:
            getattr(client, method)(Bucket=bucket, **({"Key": key} if key else {}), **more)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] in ("AccessDenied", "403"))
    return False


@pytest.mark.xdist_group("s3")
def test_policies_let_each_role_do_its_work_and_nothing_else(
    guarded_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, shard = "s3://your-bucket/climb", f"d/{packed.VERSION}/train-000000.tar"

    user(guarded_s3, "packer", monkeypatch)
    packed.publish(open_store(url), samples=60)
    made = pack(recipe(), write_raw(tmp_path / "raw"), open_store(url)).manifest
    assert not list(open_store(url).objects(f"tiny/{made.version}/.packing"))
    with closing(boto3.Session().client("s3")) as client:  # what large shards go by
        upload = client.create_multipart_upload(Bucket="your-bucket", Key="climb/y")["UploadId"]
        client.abort_multipart_upload(Bucket="your-bucket", Key="climb/y", UploadId=upload)
    assert refused("delete_object", key=f"climb/{shard}")
    assert refused("put_object", bucket="another")
    assert refused("create_bucket", bucket="third", key="")

    user(guarded_s3, "service", monkeypatch)
    with serving(url) as service:
        view = ropeway.connect(service).query(where="age < 30")
        assert len(list(ropeway.StreamingLoader(view, batch_size=30, seed=0))) == 1  # by URLs that this user signed
    assert refused("put_object")
    assert refused("delete_object", key=f"climb/{shard}")
    assert refused("get_object", bucket="another")

    user(guarded_s3, "trainer", monkeypatch)
    assert len(open_store(url).read(shard)) > 0
    for hidden in (latest_path("d"), f"d/{packed.VERSION}/index/00000.parquet"):
        with pytest.raises(AccessDenied):
            open_store(url).read(hidden)
    assert refused("list_objects_v2", key="")
    assert refused("put_object", key=f"climb/{shard}")
