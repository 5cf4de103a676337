"""The OpenAPI document is complete, and true: its examples are sent to a service, which answers as they say."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import msgpack
import pytest
import urllib3

from documented import Sender, documented
from guarded import call
from ropeway_server.openapi import PROBLEMS, examples

http = urllib3.PoolManager()
MSGPACK = "application/msgpack"
SAID = "write the examples anew: PYTHONPATH=tests python tests/documented.py"


@pytest.fixture(scope="module")
def sender() -> Iterator[Sender]:
    with documented() as sender:
        yield sender


@pytest.fixture(scope="module")
def document(sender: Sender) -> Any:
    return call("GET", f"{sender.url}/openapi.json").json()


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def check(value: Any, schema: Any, document: Any) -> None:
    """Raises where a value is not what the document's schema says."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_every_operation_is_told_in_full(document: Any) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert len(operation["description"]) > 10, name
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (name, parameter["name"])
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["examples"], name
        statuses = {status for status in operation["responses"] if status.startswith("2")}
        assert statuses, name
        assert "5XX" in operation["responses"], name
        if "/v1" in name:
            assert {"401", "429"} <= operation["responses"].keys(), name
        for status in statuses:
            content = operation["responses"][status].get("content", {})
            if "application/json" in content:
                assert content["application/json"]["schema"] == content[MSGPACK]["schema"], name
                if "credentials" not in name:  # only a store in the cloud has them
                    assert content["application/json"]["examples"], (name, SAID)
    shown = {example["operation"] for example in examples()}
    assert shown == {name for name, _ in operations(document)}, SAID


def test_every_parameter_that_a_request_needs_has_an_example(document: Any) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter["required"]:
                assert parameter["examples"], (name, parameter["name"], SAID)


def test_the_service_answers_as_the_examples_say(sender: Sender, document: Any) -> None:
    told = dict(operations(document))
    for example in examples():
        name, responses = example["operation"], told[example["operation"]]["responses"]
        if "body" in example:
            check(example["body"], told[name]["requestBody"]["content"]["application/json"]["schema"], document)
        answer = sender.send(example)
        assert answer.status == example["status"], (example, answer.data)
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status >= 400:
            assert document["components"]["responses"][str(answer.status)]["content"][media]
            continue
        content = responses[str(answer.status)].get("content", {})
        assert media in content or "*/*" in content or name.startswith("head "), (name, media)
        if "answer" not in example:
            assert answer.data or name.startswith("head "), name
            continue
        check(example["answer"], content[media]["schema"], document)
        check(answer.json(), content[media]["schema"], document)
        assert sender.same(example["answer"], answer.json()), (name, answer.json(), SAID)
        if name.startswith("get /v1/") and "/audit" not in name:  # asking is an event, too
            packed = sender.send(example, Accept=MSGPACK)
            assert packed.headers["content-type"] == MSGPACK
            assert msgpack.unpackb(packed.data) == answer.json(), name


def test_the_documents_own_examples_are_those(document: Any) -> None:
    """What is sent above is what a reader of the document sees."""
    told = dict(operations(document))
    for example in examples():
        operation, label = told[example["operation"]], example["name"]
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in example.get("parameters", {}):
                assert parameter["examples"][label]["value"] == example["parameters"][parameter["name"]]
        if "body" in example:
            shown = operation["requestBody"]["content"]["application/json"]["examples"]
            assert shown[label]["value"] == example["body"]
        if "answer" in example and example["status"] < 400:
            shown = operation["responses"][str(example["status"])]["content"]["application/json"]["examples"]
            assert shown[label]["value"] == example["answer"]


WRONG: dict[int, tuple[str, str, str | None, str | None]] = {
    400: ("POST", "views", None, "[" * 100_000),
    401: ("GET", "me", "nonsense", None),
    403: ("GET", "tokens", "LIMITED", None),
    404: ("GET", "datasets/nobodys", None, None),
    409: ("PUT", "saved/elderly", "ADMIN", '{"view": "VIEW"}'),
    413: ("POST", "views", None, " " * (1 << 20) + "{}"),
    422: ("POST", "views", None, '{"where": "height > 180"}'),
}
"""For each status a request that is answered with it: method, path under /v1, token, body."""


@pytest.mark.parametrize("status", sorted(PROBLEMS.keys() - {410, 429}))  # 410: tests/test_withdraw.py
def test_problems_are_what_the_document_says(sender: Sender, document: Any, status: int) -> None:
    view, other = (sender.view(where) for where in ("age > 60", "age > 61"))
    call("PUT", f"{sender.url}/v1/saved/elderly", sender.token, {"view": other})
    method, path, who, body = WRONG[status]
    token = {"LIMITED": sender.limited(), "ADMIN": sender.token}.get(str(who), who)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = None if body is None else body.replace("VIEW", view)
    answer = http.request(method, f"{sender.url}/v1/{path}", body=content, headers=headers)
    told = document["components"]["responses"][str(status)]
    (media,) = told["content"]
    assert (answer.status, answer.headers["content-type"]) == (status, media)
    check(answer.json(), told["content"][media]["schema"], document)
    assert sender.same(told["content"][media]["example"], answer.json()), answer.json()
