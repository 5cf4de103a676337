"""The OpenAPI document: what FastAPI knows of the routes, with their problems, media types and examples.

Examples are requests that were sent to a service, and what it answered: `tests/documented.py` writes `examples.json`.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec
from fastapi import FastAPI

from ropeway.wire import MEDIA_TYPE
from ropeway_server.answers import PROBLEM, problem_body
from ropeway_server.schemas import REF, TOLD, Problem

Operation: TypeAlias = dict[str, Any]

PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("The body cannot be read.", "about:blank", "There was an error parsing the body"),
    401: ("Who asks is not known, and has to be.", "AccessDenied",
          "the token is not one of this service, has expired or was revoked: ask its operators for a new one"),
    403: ("Whoever asks may not do this.", "AccessDenied",
          "only admins do this, by a token that is not limited to some datasets"),
    404: ("There is no such thing, for whoever asks.", "NotFound",
          "no such dataset, or none that you may read: `ropeway ls` shows those [dataset nobodys]"),
    409: ("The name is another view's; or the audit does not have what was in it once.", "Conflict",
          "the name 'elderly' is view 24ce5eb3b6d4b01c's since 2026-11-30 and stays so: take another name"),
    410: ("It is of a dataset version from before a subject was withdrawn.", "Withdrawn",
          "the view was made over version 0123456789ab, which was erased because subjects were withdrawn"),
    413: ("The body is too long.", "UsageError",
          "the body is longer than the 1048576 bytes that this service takes: ask in smaller requests"),
    422: ("What is asked cannot be.", "QueryError",
          "unknown column 'height' in the filter; there is: age, dataset, domain, key, modality, sex, split, subject"),
    429: ("Too many requests from one address; `Retry-After` has the seconds to wait.", "ServiceError",
          "too many requests from this address: wait a little"),
}  # fmt: skip
"""Problems by status: what each means; the `type` and `detail` of one, for an example."""

_FAILS = "The service, its store or its database fails; or it is ending, and another replica answers."

_PARAMETERS = {
    "after": "Only events after this number.",
    "by": "Stands for a token, in URLs that the service gave.",
    "dataset": "A dataset's id.",
    "group": "A group's name.",
    "name": "A view's name.",
    "number": "A grant's number.",
    "part": "A part's name.",
    "path": "Where it is: a shard's path as manifests name it; or a sample's key, and after it `/preview` or a part.",
    "principal": "Somebody's name.",
    "split": "`train`, `valid` or `test`.",
    "subject": "A subject's pseudonym.",
    "task": "A task's id; only samples labelled for it.",
    "token_id": "A token's id, as it is listed.",
    "version": "One of the dataset's versions; the current one by default.",
    "view": "Only what was done to this view, by its id.",
    "view_id": "A view's id.",
}
"""What parameters mean where their route does not say."""

_ANYBODY = {"catalog", "views", "licences", "samples", "bytes"}
"""Tags of routes that are answered without a token, where the service has open datasets for anybody; but names are
given, and licences accepted, by somebody."""


@cache
def examples() -> list[dict[str, Any]]:
    """Requests and their answers, in the order in which they were made."""
    found: list[dict[str, Any]] = msgspec.json.decode((files("ropeway_server") / "examples.json").read_bytes())
    return found


def install(app: FastAPI, *, anonymous: bool) -> None:
    """Have an app give the document; `anonymous` says whether it answers some routes without a token."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain(), anonymous=anonymous)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], *, anonymous: bool) -> None:
    _, components = msgspec.json.schema_components([*TOLD, Problem], ref_template=REF)
    document["components"]["schemas"].update(components)
    document["components"]["responses"] = dict(_responses())
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _media_types(operation, method)
            _parameters(operation)
            _problems(operation, method, path)
            named = method == "put" or (method == "post" and "licences" in operation["tags"])
            if path == "/v1/me" or (anonymous and not named and _ANYBODY & set(operation["tags"])):
                operation["security"] = [{}, *(one for one in operation["security"] if one)]
    for example in examples():
        method, path = example["operation"].split()
        _example(document["paths"][path][method], example)


def _responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """One problem document for each status, for operations to refer to."""
    schema = {"$ref": REF.format(name="Problem")}
    for status, (words, kind, detail) in PROBLEMS.items():
        media = {"schema": schema, "example": problem_body(status, detail, kind)}
        yield str(status), {"description": words, "content": {PROBLEM: media}}
    yield "5XX", {"description": _FAILS, "content": {PROBLEM: {"schema": schema}}}


def _media_types(operation: Operation, method: str) -> None:
    """What is answered in JSON is answered in msgpack too (`answers.answer`); HEAD is answered without a body."""
    for response in operation["responses"].values():
        if response["description"] == "Successful Response":
            response["description"] = f"{operation['summary']}."
        content = response.get("content", {})
        if method == "head":
            content.clear()
        if "application/json" in content:
            content[MEDIA_TYPE] = dict(content["application/json"])


def _parameters(operation: Operation) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _PARAMETERS:
            parameter.setdefault("description", _PARAMETERS[parameter["name"]])


def _problems(operation: Operation, method: str, path: str) -> None:
    """The statuses that an operation can answer with, beside its own."""
    responses = operation["responses"]
    del responses["default"]
    statuses: set[int] = set()
    if path.startswith("/v1"):
        statuses |= {401, 429}
        is_for_admins = operation["tags"] in (["identity"], ["audit"]) and path != "/v1/me"
        statuses |= {403} if is_for_admins or "{" in path or method != "get" or path == "/v1/stats" else set()
        statuses |= {404} if "{" in path or (method, path) == ("post", "/v1/views") else set()
        statuses |= {410} if (method, path) in {("post", "/v1/views"), ("get", "/v1/views/{view_id}")} else set()
        statuses |= {422} if operation.get("parameters") or "requestBody" in operation else set()
        statuses |= {400, 413} if "requestBody" in operation else set()
        statuses |= {409} if path in ("/v1/saved/{name}", "/v1/audit/check") else set()
    found = [*map(str, sorted(statuses)), "5XX"]
    responses.update({status: {"$ref": f"#/components/responses/{status}"} for status in found})


def _example(operation: Operation, example: dict[str, Any]) -> None:
    name = example["name"]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.get("parameters", {}):
            parameter.setdefault("examples", {})[name] = {"value": example["parameters"][parameter["name"]]}
    if "body" in example:
        media = operation["requestBody"]["content"]["application/json"]
        media.setdefault("examples", {})[name] = {"value": example["body"]}
    response = operation["responses"][str(example["status"])]
    if "answer" in example and "$ref" not in response:
        for media in response["content"].values():
            if "schema" in media:
                media.setdefault("examples", {})[name] = {"value": example["answer"]}
