"""Python workers of the behaviour suite: deterministic, each with one habit."""

import asyncio
import json

from partsong.contracts import Failure, FailureCode


async def upper(task):
    return task.text.upper(), 0.9


async def lower(task):
    return task.text.lower(), 0.9


async def doubtful(task):
    return task.text.upper(), 0.2


async def slow(task):
    await asyncio.sleep(30)
    return "too late"


async def broken(task):
    raise RuntimeError("out of order: sk-not-for-eyes")


class Flaky:
    """Fails twice on every prompt, then answers."""

    def __init__(self):
        self.tries = {}

    async def complete(self, task):
        tries = self.tries[task.text] = self.tries.get(task.text, 0) + 1
        if tries < 3:
            return Failure(code=FailureCode.OVERLOADED, message="busy", retryable=True, retry_after_s=0.01, sent="yes")
        return f"try {tries}"


class Counting:
    """Says how often it was asked this prompt."""

    def __init__(self):
        self.asked = {}

    async def complete(self, task):
        self.asked[task.text] = self.asked.get(task.text, 0) + 1
        return f"asked {self.asked[task.text]}"


class Clumsy:
    """Writes bad JSON until it is told what is wrong with it."""

    async def complete(self, task):
        return '{"mood": "fine"}' if len(task.messages) > 1 else "{mood: fine"


class OneAtATime:
    """Fails if two calls are in flight at once."""

    def __init__(self):
        self.in_flight = 0

    async def complete(self, task):
        self.in_flight += 1
        try:
            assert self.in_flight == 1
            await asyncio.sleep(0.002)
            return "alone"
        finally:
            self.in_flight -= 1


async def planner(task):
    subtasks = [
        {"id": "loud", "kind": "shout", "prompt": "Be Loud", "needs": []},
        {"id": "quiet", "kind": "whisper", "prompt": "Be Quiet", "needs": []},
    ]
    return json.dumps({"subtasks": subtasks})
