"""Server-sent events: bytes in, split anywhere, events out (WHATWG HTML, 9.2)."""

from dataclasses import dataclass

__all__ = ["EventTooLongError", "ServerEvent", "SseParser"]

_BOM = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """One event passes the parser's bound."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    """Empty when the server named none."""
    data: str


class SseParser:
    """Feed it bytes as they come; an event that is not ended by an empty line is no event."""

    def __init__(self, most_bytes: int = 16 * 2**20) -> None:
        self._most_bytes = most_bytes
        self._partial: list[bytes] = []
        """Pieces of the line that has no end yet."""
        self._partial_bytes = 0
        self._name = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._after_cr = False
        self._begun = False

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Return the events that end in this piece; EventTooLongError when one grows beyond the bound."""
        if not piece:
            return []
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        events = []
        for line in piece.splitlines(keepends=True):
            if not line.endswith((b"\n", b"\r")):
                self._keep(line)
                continue
            event = self._line(self._completed(line))
            if event is not None:
                events.append(event)
        self._after_cr = piece.endswith(b"\r")
        return events

    def _keep(self, partial: bytes) -> None:
        self._partial.append(partial)
        self._partial_bytes += len(partial)
        self._bound()

    def _completed(self, end: bytes) -> bytes:
        if not self._partial:
            return end.rstrip(b"\r\n")
        whole = b"".join((*self._partial, end)).rstrip(b"\r\n")
        self._partial.clear()
        self._partial_bytes = 0
        return whole

    def _line(self, line: bytes) -> ServerEvent | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatched()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value.decode("utf-8", "replace"))
            self._data_bytes += len(value) + 1
            self._bound()
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatched(self) -> ServerEvent | None:
        event = ServerEvent(self._name, "\n".join(self._data)) if self._data else None
        self._name = ""
        self._data.clear()
        self._data_bytes = 0
        return event

    def _bound(self) -> None:
        if self._partial_bytes + self._data_bytes > self._most_bytes:
            raise EventTooLongError(f"an event of the stream is longer than {self._most_bytes} bytes")
