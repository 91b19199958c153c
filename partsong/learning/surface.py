"""Surface: what can be counted on a prompt (length, numbers, options, negations, what is asked for), as one row of figures."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from math import log1p

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "surface", "surfaces"]

_OPTION = re.compile(r"\n\(?([A-J])[.)] ")
_WORD = re.compile(r"[A-Za-z]+")
_NUMBER = re.compile(r"[0-9][0-9,]*\.?[0-9]*")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_NUMERALS = frozenset(
    (
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "twelve",
        "twenty",
        "thirty",
        "hundred",
        "dozen",
        "half",
    )
)
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FOREIGN = re.compile(r"[^\x00-\x7f]")
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
_GROUPS_OF_WORD = {word: [group for group, words in _WORDS_IN_TEXT.items() if word in words] for word in chain(*_WORDS_IN_TEXT.values())}
_MARKS_IN_TEXT = {"operators": "=+*/^<>", "latex": "\\", "percents": "%", "dollars": "$", "brackets": "[]{}", "calls": "(", "dashes": "-"}
_PATTERNS_IN_TEXT = {  # whole words whose first letter is rare: found by that, and then looked at from behind, three times as fast
    "shouted": re.compile(r"[NELMAO](?<=\b.)(?:(?<=N)OT|(?<=E)XCEPT|(?<=L)EAST|(?<=M)OST|(?<=A)LL|(?<=O)NLY)\b"),
    "cents": re.compile(r"\$[0-9]+\.[0-9][0-9]"),
    "decimals": re.compile(r"[0-9]\.[0-9]"),
    "years": re.compile(r"[12](?<=\b.)(?:(?<=1)[5-9]|(?<=2)0)[0-9][0-9]\b"),
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
    in_stem = _WORD.findall(stem.lower())
    words = Counter(in_stem)
    words.update(_WORD.findall(prompt[len(stem) :].lower()))
    asked = set(in_last := _WORD.findall(sentences[-1].lower()))
    numerals = [sum(map(words.__getitem__, _NUMERALS & words.keys())), sum(map(_NUMERALS.__contains__, in_last))]
    shape = [*_wording(prompt, stem, in_stem), len(sentences), stem.count("\n"), prompt.count(","), _capitals(stem) / max(1, len(stem))]
    grouped = _grouped(words)
    return [
        *shape,
        *_numbers(prompt, sentences[-1], numerals),
        *_edges(prompt, stem),
        *_options(stem, options),
        *(grouped[group] for group in _WORDS_IN_TEXT),
        *(float(sum(map(prompt.count, marks))) for marks in _MARKS_IN_TEXT.values()),
        *(float(len(found.findall(prompt))) for found in _PATTERNS_IN_TEXT.values()),
        float(len(prompt) - len(prompt.encode("ascii", "ignore"))),
        *(float(not asked.isdisjoint(group)) for group in _WORDS_IN_QUESTION.values()),
        float(_NUMBER_BEHIND.search(sentences[-1]) is not None),
    ]


def surfaces(prompts: Sequence[str]) -> NDArray[np.float64]:
    """Return one row of figures for each prompt."""
    return np.array([surface(p) for p in prompts], dtype=np.float64).reshape(len(prompts), len(NAMES))


def _wording(prompt: str, stem: str, in_stem: Sequence[str]) -> list[float]:
    lengths = list(map(len, in_stem)) or [0]
    distinct = len(set(in_stem)) / max(1, len(in_stem))
    logs = [log1p(len(prompt)), log1p(len(stem))]
    return [len(prompt), len(stem), *logs, len(in_stem), sum(lengths) / len(lengths), max(lengths), distinct]


def _capitals(text: str) -> int:
    plain = text.encode("ascii", "ignore")
    foreign = [] if text.isascii() else _FOREIGN.findall(text)
    return len(plain) - len(plain.translate(None, _CAPITALS)) + sum(map(str.isupper, foreign))


def _grouped(words: Mapping[str, int]) -> dict[str, float]:
    """Return how many words of each group there are."""
    found = dict.fromkeys(_WORDS_IN_TEXT, 0.0)
    for word in _GROUPS_OF_WORD.keys() & words.keys():
        for group in _GROUPS_OF_WORD[word]:
            found[group] += words[word]
    return found


def _numbers(prompt: str, last: str, numerals: Sequence[int]) -> list[float]:
    values = [_value(x) for x in _NUMBER.findall(prompt)] or [0.0]
    sizes = [log1p(max(values)), log1p(min(values))]
    return [len(values), len(set(values)), *sizes, numerals[0], len(last), len(_NUMBER.findall(last)), numerals[1]]


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
    words = [frozenset(o.lower().split()) for o in options]
    bit = {word: 1 << i for i, word in enumerate(frozenset().union(*words))}
    sets = [sum(map(bit.__getitem__, one)) for one in words]  # as bits: ten options make 45 pairs
    sizes = list(map(len, words))
    in_stem = set(stem.lower().split())
    mean = sum(lengths) / len(lengths)
    spread = (sum((x - mean) ** 2 for x in lengths) / len(lengths)) ** 0.5
    pairs = [(both := (a & sets[j]).bit_count()) / max(1, sizes[i] + sizes[j] - both) for i, a in enumerate(sets) for j in range(i)] or [
        0.0
    ]
    kinds = [
        sum(_ONLY_NUMBER.fullmatch(o) is not None for o in options),
        len(set(options)),
        sum(o[:1].isupper() for o in options),
        sum(o.rstrip().endswith(".") for o in options),
        sum(len(w) == 1 for w in words),
    ]
    overlap = sum(len(w & in_stem) / max(1, len(w)) for w in words) / len(words)
    return [len(options), mean, max(lengths), min(lengths), spread, *kinds, overlap, sum(pairs) / len(pairs)]
