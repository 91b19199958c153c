"""Embedding: what a prompt means, as numbers, by a sentence-embedding model in ONNX that lies in a folder of the user's.

The folder is laid out as Optimum and Sentence-Transformers export it: `model.onnx`, `tokenizer.json`. The last hidden states are averaged
over the tokens, and scaled to length 1 (Reimers and Gurevych 2019, Sentence-BERT). Nothing is downloaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from partsong.errors import Place, WeightsError
from partsong.learning.embedding_files import EMBEDDING_FILES
from partsong.learning.outcomes import Embedded, EmbeddedBy, Floats

__all__ = ["Embedder"]

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_AT_ONCE = 32
_KEPT = 256
"""Prompts whose numbers are kept: the gate asks, then the plan that it chose."""
_MOST_TOKENS = 512
"""Where the tokenizer names no limit: as many as models of this kind have places for."""
_LONG = "a " * 1024
"""What a model is tried with when it is opened: with fewer places than its tokenizer lets pass it would fail at a long prompt, in a run."""
_REMEDY = "export one: optimum-cli export onnx --model sentence-transformers/all-MiniLM-L6-v2 --task feature-extraction FOLDER"


@dataclass(frozen=True)
class Embedder:
    """One model, on one core: rows are many, and share the others."""

    by: EmbeddedBy
    _session: Any
    _tokenizer: Any

    @classmethod
    def of(cls, folder: Path) -> "Embedder":
        """Return the folder's model, read once for each state of its files.

        WeightsError `embeddings-unreadable` where it is none, `embeddings-not-installed` where the extra is missing.
        """
        try:
            states = [(path, path.stat().st_mtime_ns) for path in (folder.resolve() / name for name in EMBEDDING_FILES)]
        except OSError as error:
            raise _unreadable(folder, f"{Path(error.filename).name}: {error.strerror}") from None
        return _opened(*states)

    def embedded(self, prompts: Sequence[str], tell: Callable[[int], None]) -> Embedded:
        """Return the prompts' numbers, and whose they are; `tell` hears how many are done."""
        vectors = np.zeros((len(prompts), self.one("").shape[1]))
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # of like length: little padding
        for start in range(0, len(order), _AT_ONCE):
            some = order[start : start + _AT_ONCE]
            vectors[some] = self._vectors([prompts[i] for i in some])
            tell(start + len(some))
        return Embedded(self.by, vectors)

    @cached_property
    def one(self) -> Callable[[str], Floats]:
        """Gives a prompt's numbers as one row; of the latest prompts they are remembered."""
        return lru_cache(_KEPT)(lambda prompt: self._vectors([prompt]))

    def _vectors(self, prompts: Sequence[str]) -> Floats:
        tokens = [self._tokenizer.encode(prompt.encode("utf-8", "replace").decode()).ids for prompt in prompts]
        ids = np.zeros((len(tokens), max(1, *map(len, tokens))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, some in enumerate(tokens):
            ids[row, : len(some)], mask[row, : len(some)] = some, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {one.name: given[one.name] for one in self._session.get_inputs()}
        states = self._session.run(None, wanted)[0].astype(np.float64)
        means = (states * mask[:, :, None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]
        return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12))


@lru_cache(maxsize=2)
def _opened(model: tuple[Path, int], tokenizer: tuple[Path, int]) -> Embedder:
    folder = model[0].parent
    try:
        from onnxruntime import InferenceSession, SessionOptions
        from tokenizers import Tokenizer
    except ImportError as error:
        what = f"embeddings need {error.name}, which is not installed"
        raise WeightsError("embeddings-not-installed", what, remedy="pip install 'partsong[embeddings]'") from error
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong comes as an exception
    try:
        words = Tokenizer.from_file(str(tokenizer[0]))
        session = InferenceSession(str(model[0]), options, providers=["CPUExecutionProvider"])
        digests = [_sha256(path) for path, _ in (model, tokenizer)]
    except Exception as error:  # noqa: BLE001  neither library has a family of errors for files of a user's
        raise _unreadable(folder, str(error).splitlines()[0]) from None
    words.no_padding()
    if words.truncation is None:
        words.enable_truncation(_MOST_TOKENS)
    found = Embedder(EmbeddedBy(*digests), session, words)
    if len(session.get_outputs()[0].shape) != 3 or not {one.name for one in session.get_inputs()} <= _INPUTS:
        raise _unreadable(folder, "it does not take tokens and give the last hidden state of each")
    try:
        found.one(_LONG)
    except Exception as error:  # noqa: BLE001  as above
        what = f"it does not take the {len(words.encode(_LONG).ids)} tokens that tokenizer.json lets pass ({type(error).__name__})"
        raise _unreadable(folder, what) from None
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return file_digest(source, "sha256").hexdigest()


def _unreadable(folder: Path, what: str) -> WeightsError:
    return WeightsError("embeddings-unreadable", f"no embedding model can be read there: {what}", at=Place(str(folder)), remedy=_REMEDY)
