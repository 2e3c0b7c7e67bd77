"""Pages of a product's, on an origin of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any


@contextmanager
def serving(folder: Path, headers: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """The folder on an origin of its own, and on another site than the API: `localhost`, not 127.0.0.1."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, headers, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def __init__(self, more: Mapping[str, str], *given: Any, **named: Any) -> None:
        self._more = more
        super().__init__(*given, **named)

    def end_headers(self) -> None:
        for name, value in self._more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        return
