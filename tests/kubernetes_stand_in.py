"""`python kubernetes_stand_in.py FOLDER ADDRESS`: the part of Kubernetes that a Dask cluster is started through.

An API server that keeps objects, the Dask operator, whose own functions make the objects, and a node that runs their
containers' commands as processes. It listens at the address, prints its URL, and ends with its standard input. What is
posted is held against the operator's own resource definitions and Kubernetes's own schemas, as an API server does.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import uvicorn
import yaml
from dask_kubernetes.operator.controller import controller as operator
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from jsonschema import Draft4Validator
from starlette.exceptions import HTTPException as StarletteHTTPException

from hosts import Host

VERSION = "1.35"  # the newest that the client library knows
Object = dict[str, Any]
CRDS = "operator/deployment/helm/dask-kubernetes-operator/crds"
DASK = "/apis/kubernetes.dask.org/v1/namespaces/{namespace}"
ENV = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def check(body: Object) -> None:
    """Refuse a resource of Dask's as an API server with the operator's definitions does."""
    crd = yaml.safe_load(files("dask_kubernetes").joinpath(f"{CRDS}/{body['kind'].lower()}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for error in Draft4Validator(schema).iter_errors(body):
        raise HTTPException(422, f"{body['kind']} is invalid: {'.'.join(map(str, error.path))}: {error.message}")


class Node:
    """Runs containers as processes of this machine; services are reached at its address."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self._address = folder, address
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, deployment: Object) -> Object:
        """The pod of a deployment, its container running."""
        kubernetes_validate.validate(deployment, VERSION, strict=True)
        template = deployment["spec"]["template"]
        (container,) = template["spec"]["containers"]
        told = {one["name"]: self._resolved(one["value"]) for one in container.get("env", [])}
        command = [
            *container.get("command", ["ropeway"]),
            *container.get("args", []),
        ]  # the entry point of deploy/'s image
        words = [re.sub(r"\$\((\w+)\)", lambda name: told[name[1]], word) for word in command]
        log = (self._folder / f"{deployment['metadata']['name']}.log").open("w")
        self._processes.append(
            subprocess.Popen(words, env=ENV | told, stdout=log, stderr=log, cwd=self._folder, start_new_session=True)
        )
        ready = {"phase": "Running", "conditions": [{"type": kind, "status": "True"} for kind in READY]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": {}, "status": ready}

    def _resolved(self, value: str) -> str:
        return re.sub(r"[\w-]+\.\w+\.svc\.cluster\.local", self._address, value)

    def clear(self) -> None:
        """End all containers, as deleting their pods does."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()


READY = ("Ready", "ContainersReady")


async def _status(request: Request, error: Exception) -> JSONResponse:
    """An error in the form of Kubernetes's."""
    assert isinstance(error, StarletteHTTPException)
    told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": error.status_code}
    return JSONResponse(told | {"message": error.detail}, error.status_code)


def create_app(node: Node, address: str) -> FastAPI:
    """The API server."""
    app = FastAPI(exception_handlers={StarletteHTTPException: _status})
    kept: dict[tuple[str, str], Object] = {}

    def keep(plural: str, made: Object, namespace: str) -> None:
        made["metadata"] |= {"namespace": namespace, "uid": f"{plural}-{len(kept)}", "resourceVersion": "1"}
        kept[plural, made["metadata"]["name"]] = made

    @app.get("/version")
    @app.get("/bare/version")  # of a server where nobody installed the operator
    def version() -> Object:
        major, _, minor = VERSION.partition(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{VERSION}.0"}

    @app.post(DASK + "/daskclusters", status_code=201)
    async def post(namespace: str, request: Request) -> Object:
        """Create a cluster, and act on it as the operator does."""
        body = await request.json()
        check(body)
        name, spec = body["metadata"]["name"], body["spec"]
        body["status"] = {"phase": "Running"}
        keep("daskclusters", body, namespace)
        scheduler = operator.build_scheduler_deployment_spec(name, spec["scheduler"]["spec"], {}, {})
        keep("pods", node.run(scheduler), namespace)
        service = operator.build_scheduler_service_spec(name, spec["scheduler"]["service"], {}, {})
        kubernetes_validate.validate(service, VERSION, strict=True)
        service["status"] = {"loadBalancer": {"ingress": [{"ip": address}]}}
        keep("services", service, namespace)
        group = operator.build_default_worker_group_spec(name, spec["worker"], {}, {})
        check(group)
        keep("daskworkergroups", group, namespace)
        for number in range(spec["worker"]["replicas"]):
            worker = operator.build_worker_deployment_spec(
                group["metadata"]["name"], namespace, name, str(number), spec["worker"]["spec"], {}, {}
            )
            keep("pods", node.run(worker), namespace)
        return dict(body)

    @app.get(DASK + "/{plural}")
    @app.get("/api/v1/namespaces/{namespace}/{plural}")
    def listed(plural: str, labelSelector: str = "", fieldSelector: str = "") -> Object:  # noqa: N803 - Kubernetes's
        wanted = dict(pair.split("=") for pair in labelSelector.split(",") if pair)
        name = dict(pair.split("=") for pair in fieldSelector.split(",") if pair).get("metadata.name")
        found = [
            one
            for (kind, own), one in kept.items()
            if kind == plural and name in (None, own) and wanted.items() <= one["metadata"].get("labels", {}).items()
        ]
        return {"kind": "List", "metadata": {}, "items": found}

    @app.get(DASK + "/{plural}/{name}")
    @app.get("/api/v1/namespaces/{namespace}/{plural}/{name}")
    def get(plural: str, name: str) -> Object:
        if (plural, name) not in kept:
            raise HTTPException(404, f"{plural} {name} not found")
        return kept[plural, name]

    @app.delete(DASK + "/daskclusters/{name}")
    def delete(name: str) -> Object:
        node.clear()
        gone = kept["daskclusters", name]
        kept.clear()
        return gone

    return app


@contextmanager
def running(host: Host, folder: Path) -> Iterator[Path]:
    """The stand-in on that host: the kubeconfig that names it."""
    command = host.command(sys.executable, __file__, str(folder), host.address)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield kubeconfig(folder / "kubeconfig", process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


def kubeconfig(place: Path, url: str) -> Path:
    """A file by which clients find the API server at that URL."""
    names = {"cluster": "stand-in", "user": "packer"}
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "stand-in", "cluster": {"server": url}}],
        "users": [{"name": "packer", "user": {"token": "packer"}}],
        "contexts": [{"name": "it", "context": names}],
    }
    place.write_text(yaml.safe_dump(told))
    return place


def main(folder: Path, address: str) -> None:
    node = Node(folder, address)
    server = uvicorn.Server(uvicorn.Config(create_app(node, address), host=address, port=6443, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    print(f"http://{address}:6443", flush=True)  # noqa: T201 - read by `running`
    sys.stdin.read()
    node.clear()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
