import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.learning.made import made

from partsong.errors import InputError
from partsong.learning.calibration import Isotonic, Platt
from partsong.learning.frugal import Goal
from partsong.learning.judged import PolicyFigures, promised
from partsong.learning.kind_weights import kind_weights
from partsong.learning.learned import Learned, fingerprint, fit_learned
from partsong.learning.matrix import capability_matrix
from partsong.learning.saved import HEADER, PACKED, load_learned, save_learned
from partsong.learning.settings import Settings, advised
from partsong.learning.trusted import Trusted, fit_trusted
from partsong.learning.wording import Wording
from partsong.packing import LEARNED_VERSION, pack, unpack

DAY = "2026-11-30"


@pytest.fixture(scope="module")
def learned() -> Learned:
    return fit_learned(made(360), Settings(), date=DAY)


def test_a_saved_one_decides_as_the_one_that_was_saved(learned: Learned, tmp_path: Path):
    save_learned(learned, tmp_path / "learned")
    back = load_learned(tmp_path / "learned")
    prompts = made(50, seed=9).prompts
    assert back.policies.gate.p_right(prompts) == pytest.approx(learned.policies.gate.p_right(prompts), abs=1e-6)
    assert back.policies.frugal[Goal.BEST].option == learned.policies.frugal[Goal.BEST].option
    for part in ("figures", "cells", "usage"):
        assert repr(getattr(back, part)) == repr(getattr(learned, part))  # repr: not known (NaN) is not equal to itself
    assert pack(back) == pack(learned)


def test_the_header_tells_a_person_what_it_is(learned: Learned, tmp_path: Path):
    save_learned(learned, tmp_path)
    told = json.loads((tmp_path / HEADER).read_text())
    assert (told["version"], told["date"], told["rows"], told["fingerprint"]) == (LEARNED_VERSION, DAY, 360, fingerprint(made(360)))
    assert {f["policy"] for f in told["figures"]} == {"best", "vote", "gate", "frugal@best", "frugal@cost", "frugal@vote"}
    assert told["models"] == ["m0", "m1", "m2", "m3"]
    assert told["usage"][0]["latency_p50_s"] is None


def test_figures_are_of_rows_kept_back_and_carry_their_interval(learned: Learned):
    for figure in learned.figures:
        assert 90 < figure.n < 150
        assert figure.low < figure.accuracy < figure.high
    best = next(f for f in learned.figures if f.policy == "best")
    assert best.usd_per_1000 == pytest.approx(1.0)


def test_what_is_promised_held_on_rows_kept_back_and_costs_less_than_the_best_model(learned: Learned):
    kept = promised(learned.policies, made(2000, seed=4), 0.05)
    assert kept is not None
    assert kept.policy is not None
    assert kept.promise.p_value <= 0.05
    assert "5.0 points, with 95 %" in kept.words
    assert kept.figures is not None
    assert (kept.figures.policy, kept.figures.n) == ("frugal@promised", kept.rows)
    assert kept.figures.usd_per_1000 < 1.0


def test_a_promise_that_few_rows_cannot_support_is_not_given(learned: Learned):
    kept = promised(learned.policies, made(60, seed=4), 0.001)
    assert kept is not None
    assert (kept.policy, kept.gate) == (None, None)
    assert "nothing but the best single model" in kept.words


def test_a_promise_is_tested_on_the_rows_that_have_an_outcome(learned: Learned):
    held = made(200, seed=4)
    right = np.where(np.arange(200)[:, None] < 50, np.nan, held.right)
    kept = promised(learned.policies, replace(held, right=right), 0.05)
    assert kept is not None
    assert kept.rows == 150


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (Settings(), "best"),
        (Settings(budget_usd=0.6), "gate"),
        (Settings(value_of_correct_usd=1e-6), "gate"),
        (Settings(value_of_correct_usd=1.0), "vote"),
        (Settings(value_of_correct_usd=1.0, budget_usd=1.0), "best"),
        (Settings(budget_usd=0.1), "best"),
    ],
)
def test_the_settings_choose_among_the_figures(settings: Settings, advice: str):
    figures = [
        PolicyFigures(p, 100, a, a - 0.1, a + 0.1, usd, 0.01, 1.0)
        for p, a, usd in (("best", 0.8, 1), ("vote", 0.82, 3), ("gate", 0.7, 0.5))
    ]
    assert advised(figures, None, settings) == advice


def test_too_few_rows_to_keep_some_back_give_no_figure_and_say_so():
    learned = fit_learned(made(40), Settings(), date=DAY)
    assert (learned.figures, learned.kept, learned.advice) == ((), None, "best")
    assert any("too few to keep some back" in w for w in learned.warnings)


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (lambda t: t.rows(range(3)), "too-few-outcomes"),
        (lambda t: replace(t, right=np.ones(t.right.shape)), "one-class"),
        (lambda t: replace(t, models=("m0",), right=t.right[:, :1], cost_usd=t.cost_usd[:, :1]), "one-model"),
        (lambda t: replace(t, right=np.where(np.arange(4) >= 1, np.nan, t.right)), "one-model"),
    ],
)
def test_outcomes_that_no_honest_number_can_come_of_are_refused(spoilt, code: str):
    with pytest.raises(InputError) as error:
        fit_learned(spoilt(made(60)), Settings(), date=DAY)
    assert error.value.code == code


def test_a_model_with_half_its_answers_and_without_a_price_is_learned_from_with_warnings():
    table = made(90)
    right = table.right.copy()
    right[::2, 1] = np.nan
    learned = fit_learned(replace(table, right=right, cost_usd=np.full(table.cost_usd.shape, np.nan)), Settings(), date=DAY)
    assert learned.policies.frugal == {}
    assert any("m1: 50 %" in w for w in learned.warnings)
    assert any("price" in w for w in learned.warnings)


@pytest.mark.parametrize("probes", [0, 12])
def test_a_model_with_few_outcomes_is_new_and_no_ensemble_asks_it(probes: int, tmp_path: Path):
    table = made(80)
    right = table.right.copy()
    right[probes:, 0] = np.nan
    learned = fit_learned(replace(table, right=right), Settings(), date=DAY, cards={"m0": 0.9})
    save_learned(learned, tmp_path)
    assert learned.models == ("m1", "m2", "m3")
    assert all(set(policy.posterior.models) <= set(learned.models) for policy in learned.policies.frugal.values())
    [new] = json.loads((tmp_path / HEADER).read_text())["newcomers"]
    assert (new["model"], new["known"], 0.7 < new["expected"] < 0.95) == ("m0", f"new: {probes} probes", True)
    assert any(w.startswith(f"m0: new: {probes} probes; ") for w in learned.warnings)
    assert load_learned(tmp_path).newcomers[0].probes == probes


def test_stated_confidences_are_made_honest_by_model_and_kind():
    table = made(1000)
    dice = np.random.default_rng(3)
    truth = dice.random(table.right.shape)
    stated = np.full(table.right.shape, np.nan)
    stated[:, 0] = truth[:, 0] ** 0.3  # far too sure
    right = (dice.random(truth.shape) < truth).astype(float)
    found = {(t.model, t.kind): t for t in fit_trusted(replace(table, right=right, stated=stated))}
    assert set(found) == {("m0", "all"), ("m0", "easy"), ("m0", "hard")}
    assert found["m0", "all"].stated_ece > 0.15
    assert found["m0", "all"].ece < 0.06


def test_copies_of_one_model_speak_with_one_voice_where_that_votes_better():
    table = made(1500, strengths=(1.0, 1.0, 1.0, 1.0))
    right, answers = table.right.copy(), [list(a) for a in table.answers]
    right[:, 1] = right[:, 0]
    for row in answers:
        row[1] = row[0]
    copied = replace(table, right=right, answers=tuple(map(tuple, answers)))
    found, discounted = kind_weights(copied, capability_matrix(copied))
    assert discounted
    assert [w.kind for w in found] == ["all", "easy", "hard"]
    assert found[0].weights[3] > 1.3 * found[0].weights[0]


def test_missing_truncated_foreign_and_later_files_are_one_error(learned: Learned, tmp_path: Path):
    save_learned(learned, tmp_path)
    packed = (tmp_path / PACKED).read_bytes()
    later = packed[:4] + bytes([packed[4] + 1]) + packed[5:]
    for spoilt in (b"", packed[:-1], packed[:10], b"PK\x03\x04" + packed, later, packed[:-1] + bytes([packed[-1] ^ 1])):
        (tmp_path / PACKED).write_bytes(spoilt)
        with pytest.raises(InputError, match="learned-unreadable"):
            load_learned(tmp_path)
    with pytest.raises(InputError, match="learned-unreadable") as missing:
        load_learned(tmp_path / "nowhere")
    assert f"nothing learned is in {tmp_path / 'nowhere'}" in str(missing.value)
    assert missing.value.problems[0].remedy.startswith(f"partsong learn MESH RUN... -o {tmp_path / 'nowhere'}")


def test_a_vocabulary_that_is_no_text_is_refused():
    for names in (None, 5, ["word"], b"word"):
        with pytest.raises(InputError, match="learned-unreadable"):
            unpack(hostile({"column": [names, ["|i1", [1], b"0"]], "idf": ["<f4", [1], b"1234"]}), Wording)


def hostile(body: object) -> bytes:
    """Return a message with a right checksum around this body."""
    import zlib
    from hashlib import sha256

    import msgpack

    packed = zlib.compress(msgpack.packb(body))
    return b"PSLN" + bytes([LEARNED_VERSION]) + sha256(packed).digest()[:16] + packed


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"slope": 1.0},
        {"slope": "1", "shift": 0.0},
        {"slope": 1.0, "shift": 0.0, "more": 1},
        {"slope": [["<f4", [1], b"1234"]], "shift": 0.0},
    ],
)
def test_a_body_that_is_no_line_is_refused(body: object):
    with pytest.raises(InputError, match="learned-unreadable"):
        unpack(hostile(body), Platt)


@pytest.mark.parametrize(
    "array",
    [
        ["|O", [1], b"12345678"],
        ["<f4", [1000000000000], b"1234"],
        ["<f4", [-1], b""],
        ["<f4", [2], b"1234"],
        ["<f4", [True], b"1234"],
        ["<f4", [1, 1, 1, 1], b"1234"],
        ["<i4", [1], b"1234"],
        ["<f4", [1.0], b"1234"],
        ["<f4", "1", b"1234"],
        ["<f4", [1], "1234"],
        "text",
        [],
    ],
)
def test_arrays_whose_sizes_or_types_lie_are_refused(array: object):
    with pytest.raises(InputError, match="learned-unreadable"):
        unpack(hostile({"at": array, "value": ["<f4", [1], b"1234"]}), Isotonic)


def test_what_unpacks_to_more_than_can_be_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong.packing._LARGEST_BYTES", 100)
    with pytest.raises(InputError, match="learned-unreadable"):
        unpack(pack(Wording({"word " * 40: 0}, np.zeros(0, dtype=np.int64), np.ones(1))), Wording)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_the_one_error(data: bytes):
    for message in (data, b"PSLN" + bytes([LEARNED_VERSION]) + data):
        with pytest.raises(InputError, match="learned-unreadable"):
            unpack(message, Trusted)


short = st.floats(width=32, allow_nan=False, allow_infinity=False)
lines = st.builds(Platt, st.floats(allow_nan=False), st.floats(allow_nan=False)) | st.builds(
    lambda points: Isotonic(tuple(a for a, _ in points), tuple(v for _, v in points)), st.lists(st.tuples(short, short), max_size=5)
)
text = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.builds(Trusted, text, text, st.integers(0, 2**60), lines, st.floats(allow_nan=False), st.floats(allow_nan=False)))
def test_what_is_packed_comes_back(one: Trusted):
    assert unpack(pack(one), Trusted) == one


words = st.text(st.characters(categories=["L"]), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(words, st.integers(0, 2**40), max_size=6))
def test_a_vocabulary_comes_back(column: dict[str, int]):
    back = unpack(pack(Wording(column, np.arange(3, dtype=np.int64), np.full(len(column), 0.5))), Wording)
    assert (back.column, back.idf.tolist()) == (column, [0.5] * len(column))
