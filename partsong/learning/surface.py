"""Surface: what can be counted on a prompt (length, numbers, options, negations, what is asked for), as one row of figures."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "surface", "surfaces"]

_OPTION = re.compile(r"\n\(?([A-J])[.)] ")
_WORD = re.compile(r"[A-Za-z]+")
_NUMBER = re.compile(r"\d[\d,]*\.?\d*")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_NUMERAL = re.compile(r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred|dozen|half)\b")
_CAPITAL_OR_FOREIGN = re.compile(r"[A-Z]|[^\x00-\x7f]")
_ONLY_NUMBER = re.compile(r"[\s$\-\d.,%/^eE()]*")

_WORDS_IN_TEXT = {
    "negations": ("not", "except", "never", "least", "false", "incorrect", "none", "cannot", "isn", "doesn"),
    "fractions": ("half", "third", "quarter", "fraction", "ratio", "percent"),
    "rates": ("per", "each", "every", "times", "twice", "double", "triple"),
    "comparisons": ("more", "less", "fewer", "older", "younger", "longer", "than", "difference"),
    "leftovers": ("left", "remain", "remains", "remaining", "rest"),
    "totals": ("total", "together", "altogether", "combined", "sum"),
    "times": ("hour", "hours", "minute", "minutes", "day", "days", "week", "weeks", "month", "months", "year", "years"),
    "conditions": ("if", "then", "before", "after", "until", "while"),
    "averages": ("average", "mean"),
    "money": ("cost", "costs", "pay", "pays", "spend", "money", "earn", "earns", "price", "profit", "discount", "bill"),
    "code": ("def", "return", "for", "while", "import", "lambda", "print", "range"),
    "statements": ("statement", "only", "both", "above", "following"),
    "first_person": ("i", "my", "me"),
}
_MARKS_IN_TEXT = {"operators": "=+*/^<>", "latex": "\\", "percents": "%", "dollars": "$", "brackets": "[]{}", "calls": "(", "dashes": "-"}
_PATTERNS_IN_TEXT = {  # whole words whose first letter is rare: found by that, and then looked at from behind, three times as fast
    "shouted": re.compile(r"[NELMAO](?<=\b.)(?:(?<=N)OT|(?<=E)XCEPT|(?<=L)EAST|(?<=M)OST|(?<=A)LL|(?<=O)NLY)\b"),
    "cents": re.compile(r"\$\d+\.\d\d"),
    "decimals": re.compile(r"\d\.\d"),
    "years": re.compile(r"[12](?<=\b.)(?:(?<=1)[5-9]|(?<=2)0)\d\d\b"),
    "names": re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+"),
}
_WORDS_IN_QUESTION = {
    "asks_how_many": ("many",),
    "asks_how_much": ("much",),
    "asks_money": ("dollar", "dollars", "cost", "pay", "spend", "money", "earn", "make", "price", "profit", "save", "change", "owe"),
    "asks_percent": ("percent", "percentage"),
    "asks_time": ("hours", "minutes", "days", "weeks", "months", "years"),
    "asks_comparison": ("more", "less", "fewer", "than", "difference"),
    "asks_rate": ("per", "each", "every"),
    "asks_total": ("total", "together", "altogether", "combined", "all"),
    "asks_rest": ("left", "remain", "remaining"),
    "asks_if": ("if",),
}
_NUMBER_BEHIND = re.compile(r"\b(?:in|for|after|of|all|these) \d")
_SHAPE = (
    "chars", "stem_chars", "log_chars", "log_stem_chars", "words", "mean_word", "longest_word", "distinct_words",
    "sentences", "lines", "commas", "capitals",
    "numbers", "distinct_numbers", "log_largest", "log_smallest", "numerals", "last_chars", "last_numbers", "last_numerals",
    "starts_with_space", "ends_with_space", "starts_small", "ends_asking", "ends_with_stop", "ends_with_colon", "blanks",
    "options", "mean_option", "longest_option", "shortest_option", "spread_of_options", "numeric_options", "distinct_options",
    "capital_options", "sentence_options", "one_word_options", "options_in_stem", "options_alike",
)  # fmt: skip
NAMES: tuple[str, ...] = (
    *_SHAPE, *_WORDS_IN_TEXT, *_MARKS_IN_TEXT, *_PATTERNS_IN_TEXT, "not_ascii", *_WORDS_IN_QUESTION, "number_behind"
)  # fmt: skip
"""What each figure of a row counts."""


def surface(prompt: str) -> list[float]:
    """Return the figures of one prompt, in the order of NAMES."""
    parts = _OPTION.split(prompt)
    stem, options = parts[0], [o.rsplit("\nAnswer:", 1)[0] for o in parts[2::2]]
    sentences = [s for s in _SENTENCE_END.split(stem.strip()) if s] or [""]
    shape = [*_wording(prompt, stem, sentences), *_numbers(prompt, sentences[-1]), *_edges(prompt, stem), *_options(stem, options)]
    words = dict(Counter(_WORD.findall(prompt.lower())))  # a Counter is slow to say that a word is not there
    asked = set(_WORD.findall(sentences[-1].lower()))
    return [
        *shape,
        *(float(sum(words.get(w, 0) for w in group)) for group in _WORDS_IN_TEXT.values()),
        *(float(sum(prompt.count(mark) for mark in group)) for group in _MARKS_IN_TEXT.values()),
        *(float(len(found.findall(prompt))) for found in _PATTERNS_IN_TEXT.values()),
        float(len(prompt) - len(prompt.encode("ascii", "ignore"))),
        *(float(not asked.isdisjoint(group)) for group in _WORDS_IN_QUESTION.values()),
        float(_NUMBER_BEHIND.search(sentences[-1]) is not None),
    ]


def surfaces(prompts: Sequence[str]) -> NDArray[np.float64]:
    """Return one row of figures for each prompt."""
    return np.array([surface(p) for p in prompts], dtype=np.float64).reshape(len(prompts), len(NAMES))


def _wording(prompt: str, stem: str, sentences: Sequence[str]) -> list[float]:
    words = _WORD.findall(stem)
    lengths = list(map(len, words)) or [0]
    distinct = len(set(map(str.lower, words))) / max(1, len(words))
    capitals = sum(map(str.isupper, _CAPITAL_OR_FOREIGN.findall(stem))) / max(1, len(stem))
    logs = [float(np.log1p(len(prompt))), float(np.log1p(len(stem)))]
    lengths_of_words = [float(len(words)), sum(lengths) / len(lengths), float(max(lengths)), distinct]
    return [len(prompt), len(stem), *logs, *lengths_of_words, len(sentences), stem.count("\n"), prompt.count(","), capitals]


def _numbers(prompt: str, last: str) -> list[float]:
    values = [_value(x) for x in _NUMBER.findall(prompt)] or [0.0]
    sizes = [float(np.log1p(max(values))), float(np.log1p(min(values)))]
    in_last = [len(last), len(_NUMBER.findall(last)), len(_NUMERAL.findall(last.lower()))]
    return [len(values), len(set(values)), *sizes, len(_NUMERAL.findall(prompt.lower())), *in_last]


def _value(number: str) -> float:
    return min(float(number.replace(",", "")), 1e15)


def _edges(prompt: str, stem: str) -> list[float]:
    end = stem.rstrip()[-1:]
    marks = [prompt[:1] == " ", prompt[-1:] == " ", stem.lstrip()[:1].islower(), end == "?", end == ".", end == ":"]
    return [*(float(m) for m in marks), float(stem.count("_"))]


def _options(stem: str, options: Sequence[str]) -> list[float]:
    if not options:
        return [0.0] * 12
    lengths = [len(o) for o in options]
    words = [set(o.lower().split()) for o in options]
    in_stem = set(stem.lower().split())
    mean = sum(lengths) / len(lengths)
    spread = (sum((x - mean) ** 2 for x in lengths) / len(lengths)) ** 0.5
    pairs = [(both := len(a & b)) / max(1, len(a) + len(b) - both) for i, a in enumerate(words) for b in words[:i]] or [0.0]
    kinds = [
        sum(_ONLY_NUMBER.fullmatch(o) is not None for o in options),
        len(set(options)),
        sum(o[:1].isupper() for o in options),
        sum(o.rstrip().endswith(".") for o in options),
        sum(len(w) == 1 for w in words),
    ]
    overlap = sum(len(w & in_stem) / max(1, len(w)) for w in words) / len(words)
    return [len(options), mean, max(lengths), min(lengths), spread, *kinds, overlap, sum(pairs) / len(pairs)]
