"""A process of its own for what a damaged file may hold up for ever, or end: packing goes on without it."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self, TypeVar

from ropeway.errors import RopewayError
from ropeway_shardgen.reading import NOTE, Limit, Note, Place, watched

T = TypeVar("T")

_PROGRAM = "import sys; from ropeway_shardgen import apart; apart.serve(*map(int, sys.argv[1:3]), sys.argv[3:])"
_CLOSED = "a packing process is not needed any more"
_GRACE = 20
"""Seconds in which a process that is to end must have cleared up."""


class Ended(RopewayError):
    """A process apart has ended in the middle.

    Attributes:
        place: the raw file that it was reading, if it was.
        signal: which ended it; 0 where it ended itself, with words on its standard error.
    """

    def __init__(self, problem: str, place: Place | None = None, signal: int = 0) -> None:
        super().__init__(problem)
        self.place, self.signal = place, signal


class Apart:
    """A process that works for one caller at a time. Where it has ended, the next call starts another.

    It ends with the context, and when the process that started it does, however that ends.

    Args:
        given: what its functions have in common. It, and all that they take and give, goes there and back as pickles,
            by a pair of sockets that only the two have.
        modules: that it imports as soon as it runs, while whoever started it gets ready.
    """

    def __init__(self, given: Any, modules: Sequence[str] = ()) -> None:
        self._given, self._modules = given, modules
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._changing = threading.Lock()  # who closes may be another thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process, before there is anything to call."""
        if self._process is None:
            self._start()

    def call(self, limit: Limit, function: Callable[..., T], *arguments: Any, told: Callable[..., None]) -> T:
        """What `function(tell, given, *arguments)` returns there, where raw files are read within a limit.

        Args:
            limit: of each file.
            function: one of a module, as are the types of its arguments and answer.
            told: gets what the function gives to `tell`, meanwhile.

        Raises:
            Ended: the process has ended.
            RopewayError: the function raised it.
        """
        self.start()
        try:
            self._pipe.send((limit, function, arguments))
            done, answer = self._answer(told)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._ended() from error
        except BaseException as error:  # broken off: what came later would be taken for the next answer
            self._stop()
            if self._closed and isinstance(error, OSError):  # by another thread, pipe and all
                raise Ended(_CLOSED) from error
            raise
        if not done:
            raise answer
        found: T = answer
        return found

    def close(self) -> None:
        """End the process for good: what it was doing is broken off, as by an interrupt."""
        with self._changing:
            self._closed = True
        self._stop()

    def _answer(self, told: Callable[..., None]) -> tuple[bool, Any]:
        """Whether a call went well, and its answer or error."""
        while True:
            kind, answer = self._pipe.recv()
            if kind != "told":
                return kind == "done", answer
            told(*answer)

    def _stop(self) -> None:
        process = self._process  # another thread may forget it meanwhile
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            self._forget(process)

    def _start(self) -> None:
        with self._changing, tempfile.TemporaryFile(buffering=0) as file:
            if self._closed:
                raise Ended(_CLOSED)
            file.truncate(NOTE)
            self._note = Note(file.fileno())
            self._pipe, other = Pipe()
            files = (other.fileno(), file.fileno())
            command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, files)]  # no module of the folder it is in
            command += self._modules
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=files)
        other.close()
        self._pipe.send(sys.path)
        self._pipe.send(self._given)

    def _ended(self) -> Ended:
        process = self._process
        if self._closed or process is None:  # by another thread, which clears up
            return Ended(_CLOSED)
        code, place = process.wait(), self._note.read()
        self._forget(process)
        return Ended("a packing process has ended", place, max(0, -code))

    def _forget(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        process.wait()
        with self._changing:
            if self._process is process:
                process.stdin.close()
                self._pipe.close()
                self._process = None


def serve(descriptor: int, note: int, modules: Sequence[str]) -> None:
    """Run in the process apart: answer calls until nobody makes any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: who started this one ends it in order
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe, shared = Connection(descriptor), Note(note)
    try:
        sys.path[:] = pipe.recv()
        for module in modules:
            import_module(module)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so far there is nothing to clear up
        given = pipe.recv()
        while True:
            limit, function, arguments = pipe.recv()
            with watched(shared, limit):
                answer = _answer(lambda *words: pipe.send(("told", words)), function, given, *arguments)
            pipe.send(answer)
    except (EOFError, KeyboardInterrupt):
        sys.exit(1)


def _answer(tell: Callable[..., None], function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """Other errors are mistakes of a program, which end the process and say where they are."""
    try:
        return "done", function(tell, *arguments)
    except RopewayError as error:
        return "failed", error


def _end_with_parent() -> None:
    """Its end closes this process's standard input."""
    os.read(0, 1)
    os._exit(1)
