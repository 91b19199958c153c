"""The provider of a trial: says who was asked and what, so that a reply in a journal names the call at the server; always the same."""

from collections import deque
from dataclasses import replace
from typing import Any

from providers.http11 import Request
from providers.openai import OpenAIServer
from providers.provider import Arrival, Asked, serve

__all__ = ["NamingServer"]


class NamingServer(OpenAIServer):
    """Counts and answers by model and prompt: `medium: the prompt`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.arrivals: deque[Arrival] = deque()
        """All of them, however many."""

    def read(self, request: Request) -> Asked:
        asked = super().read(request)
        return replace(asked, prompt=f"{asked.model}: {asked.prompt}")


if __name__ == "__main__":
    serve(NamingServer)
