"""Labels as questions and answers, for language models: the form of CLIMB-QA, made at read time from a task's words.

    ask = ropeway.as_qa(view, "ecg-diagnosis", media=["ecg"])
    for batch in loader:
        for question in ask(batch):
            ...

The label stays the truth; a template or a class name that changes needs no new shards. Where the target is a text (a
report, a caption), that is the answer; a conversation is asked up to its last answer.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ropeway.errors import UsageError
from ropeway.manifest import Kind, Task

if TYPE_CHECKING:
    from ropeway.view import View

Ask: TypeAlias = Callable[[Mapping[str, Any]], "list[Question | None]"]

_PLACEHOLDERS: dict[Kind, str] = {
    "image": "<image>", "dicom": "<image>", "volume": "<volume>", "video": "<video>", "signal": "<signal>",
    "graph": "<graph>", "expression": "<expression>", "table": "<table>", "events": "<events>", "text": "<text>",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """One labelled sample as text.

    Attributes:
        key: of the sample.
        prompt: a placeholder per medium, the question, and the choices, one per line.
        choices: class names in the order asked; () for a number or a text.
        answer: the class; for several, their names joined by ", " in the task's order, or `none of these`; a number; a
            text.
        media: the parts that the placeholders stand for, in order.
    """

    key: str
    prompt: str
    choices: tuple[str, ...]
    answer: str
    media: tuple[str, ...]


NONE = "none of these"
"""The answer to a multilabel question where no class applies."""


def as_qa(view: "View", task: str, *, media: Sequence[str] = (), seed: int | None = None) -> Ask:
    """A function that turns a batch of the view into questions, None for a sample without a label.

    Args:
        view: whose batches are asked about. Every loader of the view gives them the task's labels; a text that is the
            target must be among the parts that are loaded.
        task: one of its tasks.
        media: parts that the prompt shows, in order.
        seed: shuffles the choices, by seed and key; None: the task's own order.

    Raises:
        UsageError: the view has no such task or part, or no words are the answer (a mask, links of a graph).
    """
    kinds: dict[str, Kind] = {part.name: part.kind for part in view.info.parts}
    unknown = [name for name in media if name not in kinds]
    if unknown:
        raise UsageError(f"no part {unknown[0]!r} in this view; there is: {', '.join(kinds)}")
    shown = "".join(f"{_PLACEHOLDERS[kinds[name]]}\n" for name in media)
    targets = [found for found in view.info.targets if found.id == task]
    if targets:
        return _of_texts(targets, shown, tuple(media))
    asked = view.task(task)

    def ask(batch: Mapping[str, Any]) -> list[Question | None]:
        labels = batch[f"task.{task}"]
        return [
            _question(asked, label, key, shown, tuple(media), seed)
            for key, label in zip(batch["__key__"], labels.tolist(), strict=True)
        ]

    return ask


def wording(task: Task) -> str:
    """What is asked: the task's own question, or one made of its description."""
    if task.question:
        return task.question
    about = (task.description or task.id.replace("-", " ")).rstrip(".")
    match task.type:
        case "regression":
            return f"{about}: what is the value{f' in {task.units}' if task.units else ''}?"
        case "multilabel":
            return f"{about}: which of the following apply?"
        case "text":
            return f"{about}: what does it say?"
        case _:
            return f"{about}: which of the following is it?"


def _of_texts(tasks: Sequence[Task], shown: str, media: tuple[str, ...]) -> Ask:
    """Questions whose answer is a part: the first of the tasks' targets that a sample has."""
    for task in tasks:
        if task.type != "text":
            raise UsageError(f"the target of task {task.id} is the part {task.target!r}, a {task.type}: no words")

    def ask(batch: Mapping[str, Any]) -> list[Question | None]:
        missing = [task.target for task in tasks if task.target not in batch]
        if missing:
            raise UsageError(f"the answers are the part {missing[0]!r}, which these batches lack: load it too")
        found: list[Question | None] = []
        for place, key in enumerate(batch["__key__"]):
            values = ((task, batch[task.target][place]) for task in tasks)
            told = next(((task, value) for task, value in values if value is not None), None)
            found.append(told and _told(*told, key, shown, media))
        return found

    return ask


def _told(task: Task, value: Any, key: str, shown: str, media: tuple[str, ...]) -> Question:
    if isinstance(value, str):
        return Question(key, f"{shown}{wording(task)}", (), value, media)
    *before, last = (turn["value"] for turn in value)  # as LLaVA's files have conversations
    words = "\n".join(before)
    placed = any(mark in words for mark in _PLACEHOLDERS.values())  # they say themselves where their media go
    return Question(key, words if placed else f"{shown}{words}", (), last, media)


def _question(
    task: Task, label: Any, key: str, shown: str, media: tuple[str, ...], seed: int | None
) -> Question | None:
    if task.type == "regression":
        return None if math.isnan(label) else Question(key, f"{shown}{wording(task)}", (), f"{label:g}", media)
    if task.type == "multilabel":
        judged = [name for name, value in zip(task.classes, label, strict=True) if value >= 0]
        positive = [name for name, value in zip(task.classes, label, strict=True) if value == 1]
        answer = ", ".join(positive) or NONE
    elif label < 0:
        return None
    else:
        judged, answer = list(task.classes), task.classes[label]
    if not judged:
        return None
    choices = tuple(judged if seed is None else sorted(judged, key=lambda name: _drawn(seed, key, name)))
    return Question(key, "\n".join((f"{shown}{wording(task)}", *choices)), choices, answer, media)


def _drawn(seed: int, key: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}\0{name}".encode()).digest()
