"""HTTP: what the adapters of remote providers share: the connection, one POST plain or streamed, and what each fault means."""

import asyncio
import json
import re
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, Field, model_validator

from partsong.adapters.adapter import Adapter, Surroundings
from partsong.adapters.complaint import Complaint, Meaning, complaint, meaning_of_status, one_line
from partsong.adapters.draft import Draft
from partsong.adapters.profiles import ProfileRow, profile_of
from partsong.adapters.retry_after import retry_after_s
from partsong.adapters.sse import EventTooLongError, ServerEvent, SseParser
from partsong.adapters.transport import AiohttpTransport, CertificateError, RefusedAddressError, ReplyTooLargeError
from partsong.contracts import Completion, Duration, Failure, FailureCode, ModelSpec, SecretRef, Sent, Size, Task

__all__ = ["Ask", "HttpAdapter", "HttpSpec", "MalformedReplyError", "UnsupportedError"]

_LINGER_S = 0.1
"""How long a finished stream's connection may take to end before it is closed instead of kept."""
_WORDS_S = 5.0
"""How long the body of an error may take: the status has said what matters."""
_WORDS_BYTES = 2**20
"""As much is read of the body of an error."""


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with https:// or http:// and a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address holds no user, password, query or fragment; the key belongs to `api_key`")
    return value.rstrip("/")


_FRAMING = frozenset({"content-length", "content-type", "host", "transfer-encoding"})
_SECRET = re.compile(r"(.*[-_])?(authorization|api[-_]?key|cookie|secret|token)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if name.lower() in _FRAMING or _SECRET.fullmatch(name):
            raise ValueError(f"{name} is set by the adapter; a key belongs to `api_key`")
        if not _HEADER_NAME.fullmatch(name) or not text.isascii() or not text.isprintable():
            raise ValueError(f"{name!r} is no header: names are letters, digits and `-`, values printable ASCII")
    return value


BaseUrl = Annotated[str, AfterValidator(_address)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]


class HttpSpec(ModelSpec):
    """What the mesh file says of a model behind HTTP; each adapter gives `base_url` its default."""

    profiles: ClassVar[Sequence[ProfileRow]] = ()
    """What the adapter's models can do."""

    model: Annotated[str, Field(min_length=1)]
    """The provider's name of the model."""
    base_url: BaseUrl
    """Address of the provider's API, up to the part that is the same for every call."""
    api_key: SecretRef | None = None
    """Where the key is to be found; None sends none."""
    headers: Headers = {}
    """Sent with every request, beside the adapter's own."""
    connect_timeout: Duration = 10.0
    """Longest a connection may take to be made; within it nothing has been sent, so that another try costs nothing."""
    stall_timeout: Duration = 60.0
    """Longest pause within a reply whose first byte has come, before which `timeout` is the limit; after it the connection is closed."""
    reply_cap: Size = 64_000_000
    """Longest reply, decompressed; a longer one is a failure."""

    @model_validator(mode="before")
    @classmethod
    def _accepts_what_the_model_takes(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "accepts" not in fields and isinstance(fields.get("model"), str):
            return {**fields, "accepts": profile_of(fields["model"], cls.profiles).accepts}
        return fields


class UnsupportedError(Exception):
    """The wire shape has no place for something in the task; the message names it."""


class MalformedReplyError(Exception):
    """The reply is not what the protocol promises; the message says why."""

    def __init__(self, why: str, *, retryable: bool = True) -> None:
        self.retryable = retryable
        super().__init__(why)


class _RefusedError(Exception):
    """The reply is an error under status 200."""

    def __init__(self, words: Complaint) -> None:
        self.words = words
        super().__init__(words.message)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    path: str
    """After the base address: `/chat/completions`."""
    body: dict[str, Any]
    unwrap: str | None = None
    """The one property that the answer is wrapped in, where structured output must be an object."""
    answer_tool: str | None = None
    """The tool whose arguments are the answer, where structured output is a forced tool."""


class HttpAdapter(Adapter):
    """Makes the call; a subclass is the wire shape: request out, reply in, the provider's names of errors."""

    Spec: ClassVar[type[ModelSpec]] = HttpSpec
    key_header: ClassVar[tuple[str, str]] = ("authorization", "Bearer ")
    """The header that carries the key, and what stands before it."""
    extra_headers: ClassVar[Mapping[str, str]] = {}
    errors: ClassVar[Mapping[str, Meaning]] = {}
    """The provider's own names of errors, where they say more than the status."""

    def __init__(self, spec: HttpSpec, around: Surroundings, unix_s: Callable[[], float] = time.time) -> None:
        self._spec = spec
        self._around = around
        self._unix_s = unix_s
        self.profile = profile_of(spec.model, spec.profiles)
        self._headers = httpx.Headers({"content-type": "application/json", "user-agent": "partsong", **self.extra_headers, **spec.headers})
        if around.secret is not None:
            name, scheme = self.key_header
            self._headers[name] = scheme + around.secret
        self._urls: dict[str, httpx.URL] = {}  # parsed once a path: a tenth of a call's processor time
        self._transport: AiohttpTransport | None = None

    @abstractmethod
    def ask(self, task: Task, stream: bool) -> Ask:
        """Return the request; raises UnsupportedError."""

    @abstractmethod
    def read(self, body: dict[str, Any], draft: Draft) -> None:
        """Write a whole reply into the draft; raises MalformedReplyError, or whatever a shape that is not as promised leads to."""

    @abstractmethod
    def read_event(self, event: ServerEvent, draft: Draft) -> None:
        """Write an event of a stream into the draft, as `read` does."""

    async def open(self) -> None:
        """Make the transport; connects to nothing."""
        spec = self._spec
        self._transport = AiohttpTransport(
            connect_timeout_s=spec.connect_timeout,
            reply_cap_bytes=spec.reply_cap,
            stall_timeout_s=spec.stall_timeout,
            allowed=self._around.allowed,
        )
        await self._transport.open()

    async def close(self) -> None:
        """Close every connection."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Make one attempt; cancelled, its connection is closed."""
        assert self._transport is not None, "open comes first"
        try:
            if task.tools and not self.profile.tools:
                raise UnsupportedError(f"{self._spec.model} calls no tools")
            ask = self.ask(task, on_text is not None)
        except UnsupportedError as error:
            return self._failure(Meaning(FailureCode.UNSUPPORTED), str(error), "no")
        request = httpx.Request("POST", self._url(ask.path), headers=self._headers, content=json.dumps(ask.body).encode())
        start_s = time.perf_counter()
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            return self._unanswered(error)
        draft = Draft(on_text, ask.unwrap, ask.answer_tool)
        try:
            return await self._answer(response, draft, task, start_s)
        finally:
            await response.aclose()

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._spec.base_url + path)
        return self._urls[path]

    async def _answer(self, response: httpx.Response, draft: Draft, task: Task, start_s: float) -> Completion | Failure:
        streamed = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        try:
            if response.status_code != HTTPStatus.OK:
                return await self._refused(response)
            if streamed:
                await self._read_stream(response, draft)
            else:
                self.read(self._object(await _body(response), response), draft)
            return self._finished(draft, task, start_s, streamed)
        except _RefusedError as error:
            return self._complained(error.words, HTTPStatus.OK, response.headers, draft)
        except (httpx.TransportError, MalformedReplyError, *_NOT_AS_PROMISED) as error:
            return self._spoilt(error, streamed, draft)

    def _spoilt(self, error: Exception, streamed: bool, draft: Draft) -> Failure:
        """Return the failure of a reply that had begun and came to nothing."""
        match error:
            case ReplyTooLargeError():
                meaning, what = Meaning(FailureCode.TOO_LARGE), f"{error}; raise `reply_cap` if such replies are wanted"
            case httpx.TimeoutException():
                meaning = Meaning(FailureCode.TIMEOUT, retryable=True)
                what = f"the reply stalled for {self._spec.stall_timeout:g} s; raise `stall_timeout` if its pauses are longer"
            case httpx.TransportError():
                meaning = Meaning(FailureCode.STREAM_BROKEN if streamed else FailureCode.CONNECTION_LOST, retryable=True)
                what = f"the reply broke off: {error}"
            case MalformedReplyError():
                meaning, what = Meaning(FailureCode.MALFORMED_REPLY, error.retryable), str(error)
            case EventTooLongError():
                meaning, what = Meaning(FailureCode.MALFORMED_REPLY), str(error)
            case _:
                meaning = Meaning(FailureCode.MALFORMED_REPLY, retryable=True)
                words = one_line(str(error), self._around.secret)[:80]
                what = f"the reply is not of the {self.kind} shape: {type(error).__name__} {words}"
        return self._failure(meaning, what, "yes", draft)

    async def _read_stream(self, response: httpx.Response, draft: Draft) -> None:
        """Read to the end mark; a stream that breaks off behind the reason it finished for has said all, save perhaps its usage."""
        parser = SseParser(self._spec.reply_cap)
        pieces = _pieces(response)
        try:
            async for piece in pieces:
                for event in parser.feed(piece):
                    self.read_event(event, draft)
                if draft.ended:
                    await _drained(pieces)
                    return
        except ReplyTooLargeError:
            raise
        except httpx.TransportError:
            if draft.finish is None:
                raise

    def event_object(self, event: ServerEvent) -> dict[str, Any]:
        """Return an event's JSON object, unless it is an error."""
        return self._checked(_parsed(event.data))

    def _object(self, body: bytes, response: httpx.Response) -> dict[str, Any]:
        try:
            return self._checked(_parsed(body))
        except MalformedReplyError as error:
            given = one_line(response.headers.get("content-type", ""), self._around.secret)[:80]
            if given.startswith("text/html"):
                raise MalformedReplyError("the server answers with a web page; check `base_url`", retryable=False) from error
            if body and given and not given.startswith("application/json"):
                raise MalformedReplyError(f"{error}; its content type is {given}", retryable=error.retryable) from error
            raise

    def _checked(self, value: object) -> dict[str, Any]:
        words = complaint(value, self._around.secret)
        if words is not None:
            raise _RefusedError(words)
        if not isinstance(value, dict):
            raise MalformedReplyError(f"the reply is a JSON {type(value).__name__}, not an object")
        return value

    def _finished(self, draft: Draft, task: Task, start_s: float, streamed: bool) -> Completion | Failure:
        if streamed and not draft.ended and draft.finish is None:
            meaning = Meaning(FailureCode.STREAM_BROKEN, retryable=True)
            return self._failure(meaning, "the stream ended before its end mark", "yes", draft)
        if draft.withheld and (draft.refused or not (draft.pieces or draft.tool_calls)):
            reason = one_line(str(draft.withheld), self._around.secret)[:80]
            return self._failure(Meaning(FailureCode.CONTENT_FILTER), f"the provider withheld the reply ({reason})", "yes", draft)
        if draft.is_blank:
            return self._failure(Meaning(FailureCode.MALFORMED_REPLY, retryable=True), "the reply holds nothing", "yes", draft)
        return draft.completion(task, self._spec.model, self._spec.price, start_s)

    async def _refused(self, response: httpx.Response) -> Failure:
        """Return the failure of a reply whose status is another than 200; a body that cannot be read leaves the status to speak."""
        body = await _words(response)
        try:
            words = complaint(_parsed(body), self._around.secret)
        except MalformedReplyError:
            words = None
        if words is None:
            is_page = response.headers.get("content-type", "").startswith("text/html")
            words = Complaint((), "" if is_page else one_line(body[:4000].decode(errors="replace"), self._around.secret))
        return self._complained(words, response.status_code, response.headers)

    def _complained(self, words: Complaint, status: int, headers: Mapping[str, str], draft: Draft | None = None) -> Failure:
        """Return the failure of an error reply; under status 200 the body's own names decide."""
        told = words.status if status == HTTPStatus.OK else status
        meaning = next((self.errors[kind] for kind in words.kinds if kind in self.errors), None)
        if meaning is None or (meaning.code == FailureCode.BAD_REQUEST and told is not None):  # that name is for all that has no other
            meaning = Meaning(FailureCode.SERVER_ERROR, retryable=True) if told is None else meaning_of_status(told)
        if headers.get("x-should-retry") in ("true", "false"):  # OpenAI and Anthropic say it outright, and their own clients obey
            meaning = meaning._replace(retryable=headers["x-should-retry"] == "true")
        name = " ".join([str(told or status), *words.kinds[:1]])
        remedy = _REMEDIES.get(meaning.code, "")
        message = "; ".join(part for part in (f"{name}: {words.message}" if words.message else name, remedy) if part)
        wait_s = retry_after_s(headers, words.error, self._unix_s()) if meaning.retryable else None
        return self._failure(meaning, message, "yes", draft, status=told or status, retry_after_s=wait_s)

    def _unanswered(self, error: httpx.TransportError) -> Failure:
        """Return the failure of a request that got no reply."""
        base_url = self._spec.base_url
        match error:
            case CertificateError() | RefusedAddressError() | httpx.UnsupportedProtocol():
                return self._failure(Meaning(FailureCode.CONNECT), f"{base_url}: {error}", "no")
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return self._failure(Meaning(FailureCode.CONNECT, retryable=True), f"{base_url}: {error}; check `base_url`", "no")
            case httpx.TimeoutException():
                return self._failure(Meaning(FailureCode.TIMEOUT, retryable=True), f"{base_url}: {error}", "maybe")
        return self._failure(Meaning(FailureCode.CONNECTION_LOST, retryable=True), f"{base_url}: {error}", "maybe")

    def _failure(
        self,
        meaning: Meaning,
        message: str,
        sent: Sent,
        draft: Draft | None = None,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> Failure:
        price, usage = self._spec.price, None if draft is None else draft.usage
        return Failure(
            code=meaning.code,
            message=message,
            where=self._around.name,
            retryable=meaning.retryable,
            sent=sent,
            status=status,
            retry_after_s=retry_after_s,
            cost_usd=0.0 if price is None or usage is None else price.cost_usd(usage),
        )


_NOT_AS_PROMISED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a shape that is not as promised leads to, wherever it is noticed."""

_REMEDIES = {
    FailureCode.AUTH: "check `api_key`",
    FailureCode.FORBIDDEN: "check what the key may do, and the account's balance",
    FailureCode.NOT_FOUND: "check `model` and `base_url`",
}


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream), "the transport's stream is asynchronous"
    return aiter(response.stream)


async def _drained(pieces: AsyncIterator[bytes]) -> None:
    """Read what comes after the end mark, so that the connection can be kept."""
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_LINGER_S):
            async for _ in pieces:
                pass


async def _body(response: httpx.Response) -> bytes:
    return b"".join([piece async for piece in _pieces(response)])  # decoded already, which Response.aread would check again


async def _words(response: httpx.Response) -> bytes:
    """Return what comes of an error's body, in time and up to a bound; the rest is left, and its connection closed."""
    pieces: list[bytes] = []
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_WORDS_S):
            async for piece in _pieces(response):
                pieces.append(piece)
                if sum(map(len, pieces)) > _WORDS_BYTES:
                    break
    return b"".join(pieces)


def _parsed(body: bytes | str) -> object:
    if not body.strip():
        raise MalformedReplyError("the reply is empty")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise MalformedReplyError("the reply is nested too deep", retryable=False) from error
    except ValueError as error:
        raise MalformedReplyError("the reply is not JSON") from error
