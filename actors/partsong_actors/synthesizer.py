"""Synthesizer: the Ray shell of merging, and the face its callers use."""

import asyncio
from collections.abc import Sequence

import ray
from ray.actor import ActorProxy

from partsong.contracts import Failure, MergeWork, Reply
from partsong.contracts.messages import Answered
from partsong.errors import EngineError
from partsong.wire import Codec
from partsong.work.synthesizer import Synthesizer
from partsong_actors.again import again
from partsong_actors.coalesce import Coalescer
from partsong_actors.memory_watch import end_if_without_memory, end_without_memory
from partsong_actors.setup import Setup

__all__ = ["SynthesizerActor", "SynthesizerClient"]

_WORK: Codec[MergeWork] = Codec(MergeWork)
_MERGED: Codec[Reply] = Codec(Answered)


class _SynthesizerActor:
    """Merges batches; merging asks no model and takes microseconds, so a batch is answered as one."""

    def __init__(self, setup: Setup, name: str) -> None:
        self._core = Synthesizer()
        self._telemetry = setup.telemetry(setup.unpacked().telemetry, name.rpartition("/")[2])
        end_without_memory()

    @ray.method
    async def merge(self, batch: bytes) -> bytes:
        """Return the packed answers to packed work, in its order."""
        merged = await asyncio.gather(*[self._merged(work) for work in _WORK.unpack(batch)])
        if any(isinstance(reply, Failure) for reply in merged):
            end_if_without_memory()
        return _MERGED.pack(merged)

    @ray.method
    async def close(self) -> None:
        """Let go of the traces."""
        self._telemetry.close()

    async def _merged(self, work: MergeWork) -> Reply:
        with self._telemetry.span("synthesize", work.traceparent) as span:
            merged = await self._core.merge(work)
            if isinstance(merged, Failure):
                span.fail(merged)
            return merged


SynthesizerActor = ray.remote(_SynthesizerActor)


class SynthesizerClient:
    """The actor's merging with the synthesizer's own face (Merger); merging is pure, so what a death interrupts is asked again."""

    def __init__(self, actor: "ActorProxy[_SynthesizerActor]") -> None:
        self._actor = actor
        self._coalesced: Coalescer[MergeWork, Reply] = Coalescer(self._send)

    @property
    def unsent(self) -> int:
        """Merges that wait for an earlier message to come back."""
        return self._coalesced.queued

    async def merge(self, work: MergeWork) -> Reply:
        """See Merger.merge."""
        return await self._coalesced(work)

    async def _send(self, batch: Sequence[MergeWork]) -> Sequence[Reply]:
        packed = _WORK.pack(batch)
        lost = EngineError("synthesizer-lost", "the synthesizer's process is gone", remedy="see Ray's logs; the run can be resumed")
        return _MERGED.unpack(await again(lambda: self._actor.merge.remote(packed), lost))
