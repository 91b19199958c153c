"""Small specialised workers: sentiment by lexicon, language by n-grams."""

import pytest

from partsong.contracts import Task
from partsong.specialists.language import language
from partsong.specialists.sentiment import sentiment


@pytest.mark.parametrize(
    ("text", "label"),
    [("I love it, works great!", "positive"), ("Horrible. It broke and I hate it.", "negative"), ("The box is on the table.", "neutral")],
)
def test_sentiment_tells_praise_from_complaint(text, label):
    told, confidence = sentiment(Task.of(text))
    assert told == label
    assert 0 < confidence <= 1


def test_sentiment_answers_in_the_words_it_is_given():
    assert sentiment(Task.of("I love it"), labels=("pos", "neu", "neg"))[0] == "pos"


def test_the_bare_text_in_the_metadata_outranks_the_prompt_around_it():
    task = Task.of("Is this great, wonderful review happy or not?").model_copy(update={"metadata": {"text": "awful"}})
    assert sentiment(task)[0] == "negative"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is my parcel? I ordered it two weeks ago.", "en"),
        ("Wo bleibt mein Paket? Ich habe es vor zwei Wochen bestellt.", "de"),
        ("Où est mon colis ? Je l'ai commandé il y a deux semaines.", "fr"),
    ],
)
def test_language_is_told_by_its_code_with_a_probability(text, code):
    told, probability = language(Task.of(text))
    assert told == code
    assert 0.5 < probability <= 1


def test_language_can_be_chosen_among_a_few():
    assert language(Task.of("Waar is mijn pakket?"), among=["en", "fr"])[0] in ("en", "fr")
