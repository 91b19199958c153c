"""Saved: what was learned in a folder: `learned.msgpack` to be loaded, and `learned.json` beside it for people to read."""

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

from partsong.errors import InputError, Place
from partsong.learning.judged import Kept
from partsong.learning.learned import Learned
from partsong.learning.thresholds import Thresholds
from partsong.learning.trusted import Trusted
from partsong.packing import LEARNED_VERSION, pack, unpack, unreadable

__all__ = ["HEADER", "PACKED", "header", "load_learned", "save_learned"]

HEADER = "learned.json"
PACKED = "learned.msgpack"


def save_learned(learned: Learned, folder: Path) -> None:
    """Write both files; whoever loads meanwhile finds what stood there before, or the new one, and no half."""
    packed = pack(learned)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / HEADER, (json.dumps(header(learned), indent=2, ensure_ascii=False) + "\n").encode())
        _replace(folder / PACKED, packed)
    except OSError as error:
        what = f"what was learned cannot be written: {error.strerror or error}"
        raise InputError("learned-unwritable", what, at=Place(str(folder)), remedy="name another folder with -o") from None


def load_learned(folder: Path) -> Learned:
    """Return what `save_learned` wrote; InputError `learned-unreadable` when it is missing, damaged or of another version."""
    path = folder / PACKED
    try:
        return unpack(path.read_bytes(), Learned)
    except FileNotFoundError:
        remedy = f"partsong learn MESH RUN... -o {folder} writes it; a mesh file names it as seen from its own folder"
        raise InputError("learned-unreadable", f"nothing learned is in {folder}", at=Place(str(path)), remedy=remedy) from None
    except OSError as error:
        problem = unreadable(f"{error.strerror or error}").problems[0]
    except InputError as error:
        problem = error.problems[0]
    raise InputError(problem.code, problem.what, at=Place(str(path)), remedy=problem.remedy)


def header(learned: Learned) -> Mapping[str, Any]:
    """Return what a person wants to know of it, as JSON has it."""
    kept = learned.kept
    return {
        "version": LEARNED_VERSION,
        "date": learned.date,
        "fingerprint": learned.fingerprint,
        "rows": learned.rows,
        "source": learned.source,
        "models": list(learned.models),
        "newcomers": [{"model": new.model, "known": new.words, "expected": new.expected} for new in learned.newcomers],
        "embeddings": None if learned.embedded_by is None else _facts(learned.embedded_by),
        "answer_kind": json.loads(learned.answer_kind_json) if learned.answer_kind_json else None,
        "kinds": list(learned.kinds),
        "settings": _facts(learned.settings),
        "best_single": learned.policies.best,
        "gate_value_usd": learned.gate_value_usd,
        "advice": learned.advice,
        "promise": None if kept is None else _promise(kept),
        "cascades": [_cascade(one) for one in learned.cascades],
        "figures": [_facts(figure) for figure in learned.figures],
        "usage": [_facts(usage) for usage in learned.usage],
        "calibrations": [_calibration(one) for one in learned.trusted],
        "gaps": [gap.words for gap in learned.gaps],
        "warnings": list(learned.warnings),
    }


def _promise(kept: Kept) -> dict[str, Any]:
    return {"kept": kept.policy is not None, "words": kept.words, "rows": kept.rows, "more_rows": kept.promise.more_rows}


def _cascade(one: Thresholds) -> dict[str, Any]:
    return {
        "plan": one.plan,
        "tiers": list(one.rungs),
        "levels": list(one.levels),
        "kept": bool(one.levels),
        "words": one.words,
        "rows": one.rows,
        "more_rows": 0 if one.promise is None else one.promise.more_rows,
        "calibrations": [_calibration(worth) for worth in one.worth],
    }


def _calibration(one: Trusted) -> dict[str, Any]:
    return {"model": one.model, "kind": one.kind, "n": one.n, "stated_ece": one.stated_ece, "ece": one.ece}


def _facts(flat: Any) -> dict[str, Any]:
    """Return the fields of a flat dataclass; what is not known (NaN) as null."""
    found = {name: getattr(flat, name) for name in flat.__dataclass_fields__}
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in found.items()}


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    draft.replace(path)
