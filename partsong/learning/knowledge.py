"""Knowledge: what was learned, as a mesh carries it and its plans and routes ask it; the bytes travel, and are read when first asked."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from partsong.contracts import Task
from partsong.contracts.task import OTHER_KIND
from partsong.errors import MeshError, WeightsError
from partsong.learning.goal import Goal
from partsong.learning.inquiry import Inquiry

if TYPE_CHECKING:
    from partsong.evaluation.reading import Kind
    from partsong.learning.embedding import Embedder
    from partsong.learning.frugal import Frugal
    from partsong.learning.gate import Gate
    from partsong.learning.learned import Learned
    from partsong.learning.outcomes import Floats
    from partsong.learning.thresholds import Thresholds
    from partsong.learning.trusted import Trusted

__all__ = ["Aim", "Estimate", "Knowledge", "learn_installed"]

Aim = Literal["best", "cost", "vote", "promised"]
"""What a frugal ensemble aims for: a goal, or to keep the promise that was tested."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking a model or a plan is expected to bring and to take; NaN where that is not known."""

    right: float
    """Chance that its answer is right."""
    cost_usd: float
    latency_s: float


class Knowledge:
    """One artefact. Two are equal when their bytes are."""

    def __init__(self, packed: bytes, embeddings: Path | None = None) -> None:
        """`embeddings` is the folder of the model that prompts are embedded by, where the mesh file names one."""
        self.packed = packed
        self.embeddings = embeddings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Knowledge) and other.packed == self.packed

    def __hash__(self) -> int:
        return hash(self.packed)

    def __reduce__(self) -> tuple[type["Knowledge"], tuple[bytes, Path | None]]:
        return Knowledge, (self.packed, self.embeddings)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell it from any other."""
        return blake2b(self.packed, digest_size=8).hexdigest()

    @classmethod
    def saved(cls, folder: Path) -> "Knowledge":
        """Return what lies in the folder. InputError `learned-unreadable` where that is nothing whole, MeshError where NumPy is missing."""
        with learn_installed():
            from partsong.learning.saved import PACKED, load_learned
        load_learned(folder)
        return cls((folder / PACKED).read_bytes())

    @property
    def learned(self) -> "Learned":
        """What it says. Errors: see saved."""
        return _read(self.packed)

    @property
    def embedder(self) -> "Embedder | None":
        """What embeds prompts as when it was learned; None where that was without. WeightsError where it is not to be had."""
        by = self.learned.embedded_by
        if by is None:
            return None
        from partsong.learning.embedding import Embedder

        whose = f"model.onnx with SHA-256 {by.model_sha256[:16]}…, tokenizer.json with {by.tokenizer_sha256[:16]}…"
        if self.embeddings is None:
            what = "what was learned goes by embeddings, and the mesh file names no model for them"
            raise WeightsError("embeddings-missing", what, remedy=f"write `embeddings: FOLDER`; there belongs {whose}")
        found = Embedder.of(self.embeddings)
        if found.by != by:
            what = f"{self.embeddings} holds another embedding model than it was learned with"
            raise WeightsError("embeddings-differ", what, remedy=f"put back {whose}; or learn it anew: partsong learn MESH RUN...")
        return found

    def ready(self) -> None:
        """Read what rows will be decided by, so that none waits for it; errors as `saved` and `embedder`."""
        if self.embedder is not None:
            self.embedder.one("")

    async def embed(self, prompt: str) -> None:
        """Embed a prompt in a thread, where what was learned goes by that: who asks about it on the event loop then finds it done."""
        if (embedder := self.embedder) is not None:
            await asyncio.to_thread(embedder.one, prompt)

    @property
    def models(self) -> tuple[str, ...]:
        """The models it can judge, new ones too."""
        return (*self.learned.models, *(new.model for new in self.learned.newcomers))

    @cached_property
    def answer_kind(self) -> "Kind | None":
        """How answers were read when it was learned; None where that differed from row to row."""
        return self.learned.answer_kind

    @property
    def aims(self) -> tuple[Aim, ...]:
        """What its frugal ensembles can aim for."""
        goals: list[Aim] = [goal.value for goal in self.learned.policies.frugal]
        return (*goals, "promised") if self.learned.kept is not None and self.learned.kept.policy is not None else tuple(goals)

    def asks(self, aim: Aim) -> tuple[str, ...]:
        """Return the models that the ensemble may ask, in its order; none where it was not learned."""
        if aim not in self.aims:
            return ()
        policy, _ = self._policy(aim)
        return tuple(policy.posterior.models[m] for m in policy.option.order)

    def inquiry(self, aim: Aim, prompt: str, *, enough: float | None = None, value_usd: float | None = None) -> Inquiry:
        """Return whom the ensemble asks on this prompt; `enough` is in place of the level that was learned."""
        import numpy as np

        policy, gate = self._policy(aim)
        right = dict(zip(gate.models, gate.p_right([prompt], self._vector(prompt))[0].tolist(), strict=True))
        own = np.array([[right[model] for model in policy.posterior.models]])
        found = policy.inquiry(policy.posterior.votes(own)[0], float(policy.posterior.nothing(own)[0]))
        voices = tuple(replace(v, right=right[v.model], cost_usd=self._usage[v.model].cost_usd) for v in found.voices)
        return replace(found, voices=voices, enough=found.enough if enough is None else enough, value_usd=value_usd)

    def honest(self, aim: Aim, sure: float) -> float:
        """Return how often the ensemble is right when it is this sure."""
        import numpy as np

        policy, _ = self._policy(aim)
        return float(policy.honest(np.array([sure]))[0])

    def estimates(self, prompt: str) -> Mapping[str, Estimate]:
        """Return what each model is expected to bring and take on this prompt."""
        known = self.learned.policies.gate.p_right([prompt], self._vector(prompt))
        right = [*known[0].tolist(), *(float(new.p_right(known)[0]) for new in self.learned.newcomers)]
        return {model: replace(self._usage[model], right=p) for model, p in zip(self.models, right, strict=True)}

    def measured(self, aim: Aim) -> Estimate | None:
        """Return what the ensemble gave on rows kept back, whatever the prompt; None when it was not measured."""
        figure = next((figure for figure in self.learned.figures if figure.policy == f"frugal@{aim}"), None)
        if figure is None:
            return None
        latency_s = [self._usage[model].latency_s for model in self.asks(aim)]
        return Estimate(figure.accuracy, figure.usd_per_1000 / 1000, figure.asked * sum(latency_s) / len(latency_s))

    def remembers(self, prompt: str) -> bool:
        """Return whether it was learned from this question: what a policy gives on it is memory."""
        from partsong.learning.memory import print_of

        return print_of(prompt) in self._questions

    def weights(self, task: Task) -> Mapping[str, float]:
        """Return what each model's vote is worth on tasks of this kind, in log-odds; over all kinds where that is not known."""
        by_kind = {one.kind: one.weights for one in self.learned.weights}
        return dict(zip(self.learned.models, by_kind.get(self._kind(task), by_kind["all"]).tolist(), strict=True))

    def calibrated(self, model: str, stated: float, task: Task) -> float | None:
        """Return how often the model is right when it states this confidence; None where it stated none when it was learned."""
        return self._worth(self.learned.trusted, model, stated, task)

    def thresholds(self, rungs: Sequence[str]) -> "Thresholds | None":
        """Return what was learned of the cascade of these tiers; None where that is nothing."""
        return next((one for one in self.learned.cascades if one.rungs == tuple(rungs)), None)

    def level(self, rungs: Sequence[str], tier: int, stated: float, task: Task) -> tuple[float, float] | None:
        """Return how often a tier is right when it states this confidence, and how often it must be; None where nothing was promised."""
        found = self.thresholds(rungs)
        if found is None or not found.levels:
            return None
        worth = self._worth(found.worth, rungs[tier], stated, task)
        return None if worth is None else (worth, found.levels[tier])

    def _worth(self, lines: Sequence["Trusted"], model: str, stated: float, task: Task) -> float | None:
        import numpy as np

        from partsong.learning.trusted import line_of

        line = line_of(lines, model, self._kind(task))
        return None if line is None else float(line(np.array([stated]))[0])

    def _vector(self, prompt: str) -> "Floats | None":
        embedder = self.embedder
        return None if embedder is None else embedder.one(prompt)

    def _kind(self, task: Task) -> str:
        return task.kind_by(self.learned.kind_fields) or OTHER_KIND

    def _policy(self, aim: Aim) -> tuple["Frugal", "Gate"]:
        if aim != "promised":
            return self.learned.policies.frugal[Goal(aim)], self.learned.policies.gate
        kept = self.learned.kept
        if kept is None or kept.policy is None or kept.gate is None:
            raise KeyError(aim)
        return kept.policy, kept.gate

    @cached_property
    def _questions(self) -> frozenset[int]:
        return frozenset(self.learned.questions.tolist())

    @cached_property
    def _usage(self) -> Mapping[str, Estimate]:
        return {u.model: Estimate(float("nan"), u.cost_usd, u.latency_p50_s) for u in self.learned.usage}


@lru_cache(maxsize=2)
def _read(packed: bytes) -> "Learned":
    with learn_installed():
        from partsong.learning.learned import Learned
        from partsong.packing import unpack
    return unpack(packed, Learned)


@contextmanager
def learn_installed() -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError as error:
        what = f"what was learned needs {error.name}, which is not installed"
        raise MeshError("learn-not-installed", what, remedy="pip install 'partsong[learn]'") from error
