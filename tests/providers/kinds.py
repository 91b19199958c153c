"""The three remote adapters beside the servers they speak to."""

from contextlib import asynccontextmanager
from typing import Any

from partsong.adapters.adapter import Surroundings
from partsong.adapters.anthropic import AnthropicAdapter
from partsong.adapters.gemini import GeminiAdapter
from partsong.adapters.http import HttpAdapter
from partsong.adapters.openai import OpenAIAdapter
from providers.anthropic import AnthropicServer
from providers.gemini import GeminiServer
from providers.openai import OpenAIServer
from providers.provider import Provider

KINDS: dict[str, tuple[type[Provider], type[HttpAdapter], str]] = {
    "openai": (OpenAIServer, OpenAIAdapter, "gpt-4o-mini"),
    "anthropic": (AnthropicServer, AnthropicAdapter, "claude-haiku-4-5"),
    "gemini": (GeminiServer, GeminiAdapter, "gemini-2.5-flash"),
}


def adapter_of(kind: str, url: str, *, secret: str | None = "test-key", **fields: Any) -> HttpAdapter:
    _, adapter, model = KINDS[kind]
    spec = adapter.Spec.model_validate({"adapter": kind, "model": model, "base_url": url} | fields)
    return adapter(spec, Surroundings("m", secret=secret))


@asynccontextmanager
async def speaking(kind: str, *, reply=None, secret="test-key", latency_s=0.0, pace_s=0.0, **fields: Any):
    """An open adapter and its server."""
    server_kind = KINDS[kind][0]
    server = server_kind(latency_s=latency_s, pace_s=pace_s) if reply is None else server_kind(lambda _: reply)
    async with server:
        adapter = adapter_of(kind, server.url, secret=secret, **fields)
        await adapter.open()
        try:
            yield adapter, server
        finally:
            await adapter.close()
