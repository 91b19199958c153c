"""Sentiment by lexicon: VADER's rated words and rules (Hutto and Gilbert, ICWSM 2014), a fraction of a millisecond a sentence."""

import threading
from functools import cache
from typing import TYPE_CHECKING

from partsong.contracts import Task

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

__all__ = ["sentiment"]


def sentiment(task: Task, labels: tuple[str, str, str] = ("positive", "neutral", "negative"), threshold: float = 0.05) -> tuple[str, float]:
    """Answer with one of the labels, and how far from the other labels the compound score lies (in [0, 1], not calibrated).

    `threshold` is where VADER's authors put the borders: neutral lies between -0.05 and 0.05. The text judged is the task's `text` in its
    metadata, where a prompt is wrapped around it, else its user messages.
    """
    score = float(_analyzer().polarity_scores(str(task.metadata.get("text") or task.text))["compound"])
    positive, neutral, negative = labels
    if abs(score) < threshold:
        return neutral, 1 - abs(score) / threshold
    return (positive if score > 0 else negative), abs(score)


_loading = threading.Lock()


def _analyzer() -> "SentimentIntensityAnalyzer":
    with _loading:  # the first calls come together, and each would read the lexicon for itself
        return _loaded()


@cache
def _loaded() -> "SentimentIntensityAnalyzer":
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
