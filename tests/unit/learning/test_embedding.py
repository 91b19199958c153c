"""Prompts are embedded by a model of the user's; what was learned with one decides with that one alone."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from embedding_builders import WORDS, embedding_model
from unit.learning.made import made

from partsong.errors import WeightsError
from partsong.learning.embedding import Embedder
from partsong.learning.knowledge import Knowledge
from partsong.learning.learned import fit_learned
from partsong.learning.saved import PACKED, header, load_learned, save_learned
from partsong.learning.settings import Settings

EASY = "question number 7 is easy"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedding_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def packed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    home = tmp_path_factory.mktemp("home")
    table = made(120)
    embedded = Embedder.of(model).embedded(table.prompts, lambda done: None)
    save_learned(fit_learned(replace(table, embedded=embedded), Settings(), date="2026-11-30"), home)
    return (home / PACKED).read_bytes()


def test_vectors_are_means_over_the_tokens_of_length_one(model: Path):
    import onnx

    table = onnx.numpy_helper.to_array(next(one for one in onnx.load(model / "model.onnx").graph.initializer if one.name == "table"))
    words = table[[WORDS.index("easy"), WORDS.index("question")]].astype(np.float64)
    scores = np.exp(words @ words.T)
    mean = (scores / scores.sum(axis=1, keepdims=True) @ words).mean(axis=0)
    assert Embedder.of(model).one("Easy QUESTION")[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_a_prompt_is_embedded_alone_as_it_is_among_longer_ones(model: Path):
    embedder, done = Embedder.of(model), []
    prompts = ["", EASY, "hard \ud800 question", *("long " * n for n in range(60))]
    together = embedder.embedded(prompts, done.append)
    assert together.vectors[1] == pytest.approx(embedder.one(EASY)[0], abs=1e-6)
    assert np.linalg.norm(together.vectors[1:3], axis=1) == pytest.approx([1.0, 1.0])
    assert done[-1] == len(prompts)


def test_the_same_prompt_is_embedded_once(packed: bytes, model: Path):
    knowledge = Knowledge(packed, model)
    one = knowledge.embedder.one
    one.cache_clear()
    knowledge.estimates(EASY)
    knowledge.inquiry("best", EASY)
    assert (one.cache_info().misses, one.cache_info().hits) == (1, 1)


async def test_a_row_finds_its_prompt_embedded_in_a_thread(packed: bytes, model: Path):
    knowledge = Knowledge(packed, model)
    knowledge.embedder.one.cache_clear()
    await knowledge.embed(EASY)
    knowledge.estimates(EASY)
    assert knowledge.embedder.one.cache_info().misses == 1


def test_what_was_learned_with_embeddings_goes_by_them(packed: bytes, model: Path):
    knowledge = pickle.loads(pickle.dumps(Knowledge(packed, model)))
    gate = knowledge.learned.policies.gate
    vectors = knowledge.embedder.embedded([EASY, "hard"], lambda done: None).vectors
    assert len(gate.reader.mix) == 4
    alone = gate.p_right([EASY], vectors[:1])[0]
    assert [one.right for one in knowledge.estimates(EASY).values()] == pytest.approx(alone.tolist())
    assert gate.p_right([EASY], vectors[1:])[0] != pytest.approx(alone)


def test_no_other_model_decides(packed: bytes, model: Path, tmp_path: Path):
    other = embedding_model(tmp_path / "other", seed=1)
    for folder, code in ((None, "embeddings-missing"), (tmp_path, "embeddings-unreadable"), (other, "embeddings-differ")):
        with pytest.raises(WeightsError) as caught:
            Knowledge(packed, folder).estimates(EASY)
        assert caught.value.problems[0].code == code


def test_people_see_whose_embeddings_they_are(packed: bytes, model: Path, tmp_path: Path):
    (tmp_path / PACKED).write_bytes(packed)
    shown = header(load_learned(tmp_path))["embeddings"]
    assert shown == {"model_sha256": Embedder.of(model).by.model_sha256, "tokenizer_sha256": Embedder.of(model).by.tokenizer_sha256}


@pytest.mark.parametrize("spoilt", ["model.onnx", "tokenizer.json"])
def test_what_is_no_model_is_said(spoilt: str, tmp_path: Path):
    folder = embedding_model(tmp_path)
    (folder / spoilt).write_bytes(b"\x00nonsense")
    with pytest.raises(WeightsError, match="no embedding model can be read there") as caught:
        Embedder.of(folder)
    assert caught.value.problems[0].code == "embeddings-unreadable"


def test_a_model_that_takes_fewer_tokens_than_its_tokenizer_lets_pass_is_refused_before_a_long_prompt_comes(tmp_path: Path):
    assert Embedder.of(embedding_model(tmp_path / "wide", places=512)).one("long " * 600).shape == (1, 8)
    with pytest.raises(WeightsError, match="it does not take the 512 tokens") as caught:
        Embedder.of(embedding_model(tmp_path / "narrow", places=256))
    assert caught.value.problems[0].code == "embeddings-unreadable"


def test_a_model_put_in_the_place_of_another_is_read_anew(tmp_path: Path):
    first = Embedder.of(embedding_model(tmp_path)).by
    assert Embedder.of(embedding_model(tmp_path, seed=2)).by != first
