"""The examples of the OpenAPI document: a store for them, and the requests sent to a service of it.

    PYTHONPATH=tests .venv/bin/python tests/documented.py     # write the answers into examples.json anew

Requests are written there by hand, in the order in which they are sent, by an admin; the answers are the service's.
What differs from run to run (times, tokens and their ids, digests, ports) is told from what must not.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import urllib3

import ropeway_server
import tiny_store
from guarded import call, make_token
from packed import npy
from ropeway import manifest as m
from ropeway.stores import open_store
from serving import serving

FILE = Path(ropeway_server.__file__).with_name("examples.json")

_TASK = m.Task(id="ecg-diagnosis", type="multilabel", classes=("NORM", "MI", "STTC"))
_OTHERS = re.compile(
    r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|\+00:00))?"  # a day, a time
    r"|ropeway_[0-9a-f]{12}_[0-9a-f]{64}|\b([0-9a-f]{12}|[0-9a-f]{64})\b"  # a token, a token's id, a digest
    r"|http://127\.0\.0\.1:\d+/v1/objects/.*"  # a URL with a capability
)
"""What differs from run to run in texts."""
_CLOCKED = {"expires", "first", "last"}
_http = urllib3.PoolManager()


def build(folder: Path) -> None:
    """Publish a dataset like PTB-XL, of two dozen made-up ECGs, and one that only its grant's holders read."""
    store = open_store(folder)
    tiers: list[tuple[str, m.Access, str]] = [("ptbxl", "open", "CC-BY-4.0"), ("icu", "credentialed", "DUA")]
    for dataset, access, licence in tiers:
        made = tiny_store.build(store, dataset, [_sample(i) for i in range(24)], per_shard=8, tasks=[_TASK],
                                meta={"age": "integer", "sex": "string"})  # fmt: skip
        card = replace(made.card, title=dataset.upper(), licence=licence, access=access)
        parts = tuple(replace(part, dtype="<i2", shape=(2, 50), units="µV", sampling_rate=100.0) for part in made.parts)
        store.put(m.manifest_path(dataset, made.version), m.dumps(replace(made, card=card, parts=parts)))


def _sample(i: int) -> tiny_store.Sample:
    wave = (1000 * np.sin(np.arange(50) / (3 + i) + np.array([[0], [1]]))).astype("<i2")
    split = ("train", "train", "valid", "test")[i // 6]
    return tiny_store.Sample(
        key=f"{i:05d}", parts={"ecg": ("npy", npy(wave))}, split=split, subject=f"s{i // 2}",  # type: ignore[arg-type]
        labels={"ecg-diagnosis": [i % 3] if i % 4 else [1, 2]}, meta={"age": 50 + i, "sex": "FM"[i % 2]},
    )  # fmt: skip


@contextmanager
def documented() -> Iterator["Sender"]:
    """A service of the documented store, and an admin of it."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder) / "store")
        state = f"sqlite:///{folder}/state.db"
        admin = make_token(state, "root", admin=True)
        with serving(f"{folder}/store", state) as url:
            yield Sender(url, admin)


@dataclass
class Sender:
    """Sends examples' requests. `renamed` has what stands for something of an earlier run in this one."""

    url: str
    token: str
    renamed: dict[str, Any] = field(default_factory=dict)

    def send(self, example: dict[str, Any], **headers: str) -> urllib3.BaseHTTPResponse:
        """The answer to an example's request."""
        method, path = example["operation"].split()
        query = []
        for name, value in self._now(example.get("parameters", {})).items():
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(str(value)))
            else:
                query += [(name, one) for one in (value if isinstance(value, list) else [value])]
        body = json.dumps(self._now(example["body"])) if "body" in example else None
        url = f"{self.url}{path}?{urlencode(query)}"
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return _http.request(method.upper(), url, body=body, headers=headers, retries=False)

    def view(self, where: str) -> str:
        """The id of a view of the open dataset."""
        return str(call("POST", f"{self.url}/v1/views", None, {"where": where, "datasets": ["ptbxl"]}).json()["id"])

    def limited(self) -> str:
        """A new token of somebody who is no admin."""
        return str(call("POST", f"{self.url}/v1/tokens", self.token, {"name": "ann"}).json()["token"])

    def same(self, then: Any, now: Any, name: str = "") -> bool:
        """Whether two answers differ in nothing but what differs from run to run; notes what stands for what."""
        if isinstance(then, dict) and isinstance(now, dict):
            return then.keys() == now.keys() and all(self.same(then[key], now[key], key) for key in then)
        if isinstance(then, list) and isinstance(now, list):
            return len(then) == len(now) and all(self.same(*pair, name) for pair in zip(then, now, strict=True))
        if then != now and name not in _CLOCKED:
            texts = isinstance(then, str) and isinstance(now, str)
            if not texts or _OTHERS.sub("", then) != _OTHERS.sub("", now):
                return False
            self.renamed[then] = now
        return True

    def _now(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._now(one) for name, one in value.items()}
        return value if isinstance(value, list) else self.renamed.get(value, value)


def _written_anew() -> list[dict[str, Any]]:
    found = []
    with documented() as sender:
        for example in json.loads(FILE.read_text()):
            answer = sender.send(example)
            kind = answer.headers.get("content-type", "")
            told = {"answer": answer.json()} if kind.endswith("json") and answer.data else {}
            before = example.pop("answer", None)
            if told and before is not None:
                sender.same(before, told["answer"])
            found.append({**example, "status": answer.status, **told})
    # what an example names by hand (a token's id) is named as it came out this time
    return [
        {**one, **{name: sender._now(one[name]) for name in ("parameters", "body") if name in one}} for one in found
    ]


if __name__ == "__main__":
    FILE.write_text(json.dumps(_written_anew(), indent=1, ensure_ascii=False) + "\n")
