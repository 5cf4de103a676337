"""A loader's figures for Prometheus: text, and a small HTTP server for it. Needs no client library."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ropeway.errors import UsageError
from ropeway.meter import Stats

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(stats: Stats, **labels: str) -> str:
    """The figures in Prometheus's text format, each with these labels: `exposition(loader.stats(), rank="0")`."""
    counters = {
        "samples": stats.samples, "batches": stats.batches, "bytes": stats.bytes, "wait_seconds": stats.wait,
        "elapsed_seconds": stats.elapsed, "bad_samples": stats.bad, "unchecked_samples": stats.unchecked,
        **{f"store_{name}": count for name, count in asdict(stats.traffic).items()},
        **({f"cache_{name}": count for name, count in asdict(stats.cache).items()} if stats.cache else {}),
    }  # fmt: skip
    lines = []
    for name, value in counters.items():
        lines += [
            f"# TYPE ropeway_loader_{name}_total counter",
            f"ropeway_loader_{name}_total{_braced(labels)} {value}",
        ]
    lines.append("# TYPE ropeway_loader_stage_seconds_total counter")
    for stage, seconds in stats.stages.items():
        lines.append(f"ropeway_loader_stage_seconds_total{_braced({**labels, 'stage': stage})} {seconds}")
    return "\n".join(lines) + "\n"


@contextmanager
def exposed(stats: Callable[[], Stats], port: int, host: str = "127.0.0.1", **labels: str) -> Iterator[int]:
    """Serve `/metrics` while the context lasts: `with exposed(loader.stats, 9100, rank="0"): …`.

    Args:
        stats: asked at every scrape.
        port: 0 takes a free one.
        host: the address to listen on; this machine only unless told.
        labels: of every figure.

    Yields:
        The port.

    Raises:
        UsageError: it can't be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = exposition(stats(), **labels).encode()
            self.send_response(200)
            self.send_header("Content-Type", MEDIA_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    try:
        listening = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise UsageError(
            f"figures can't be served on {host}, port {port}: {error.strerror}; try another port"
        ) from error
    with listening as server:
        thread = threading.Thread(target=server.serve_forever, name="ropeway-metrics", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _braced(labels: dict[str, str]) -> str:
    """Labels as the format writes them."""
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""
