"""S3: moto's server behind a door that can be shut: then every request is answered 503, as a store that is overloaded does."""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Door"]

_SHUT = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'

Answer = Callable[..., Any]
Application = Callable[[dict[str, Any], Answer], Iterable[bytes]]


class Door:
    """A WSGI application before another; `POST /_shut?SECONDS` shuts it for so long, `GET /_stats` says how many it turned away."""

    def __init__(self, behind: Application) -> None:
        self._behind = behind
        self._until_s = 0.0
        self._turned_away = self._let_in = 0

    def __call__(self, environ: dict[str, Any], answer: Answer) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/_shut":
            self._until_s = time.monotonic() + float(environ["QUERY_STRING"])
            return self._told(answer)
        if path == "/_stats":
            return self._told(answer)
        if time.monotonic() < self._until_s:
            self._turned_away += 1
            answer("503 Slow Down", [("content-type", "application/xml"), ("content-length", str(len(_SHUT)))])
            return [_SHUT]
        self._let_in += 1
        return self._behind(environ, answer)

    def _told(self, answer: Answer) -> Iterable[bytes]:
        body = json.dumps({"turned_away": self._turned_away, "let_in": self._let_in}).encode()
        answer("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
        return [body]


def main() -> None:
    """Serve until killed; what is stored is in memory."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    store = DomainDispatcherApplication(create_backend_app)
    server = make_server(options.host, options.port, Door(store), threaded=True)  # type: ignore[arg-type]
    print(f"listening on http://{options.host}:{options.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
