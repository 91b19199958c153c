"""Which questions something was learned from."""

from knowledge_builders import knowledge
from unit.learning.made import made

from partsong.learning.memory import prints_of, shared_questions


def test_questions_that_stand_on_both_sides_of_a_split_are_counted():
    assert shared_questions(["What is 2 + 2?", "Who?"], ["what is 2+2", "Why?"]) == 1


def test_copies_of_a_question_are_one_print_of_eight_bytes():
    prints = prints_of(["What is it?", "what is it", "Who is it?"])
    assert (len(prints), prints.itemsize) == (2, 8)


def test_what_was_learned_remembers_its_questions_through_its_bytes_and_no_others():
    prompts = made(120).prompts
    assert all(knowledge().remembers(prompt.upper()) for prompt in prompts)
    assert not any(knowledge().remembers(f"{prompt} again") for prompt in prompts)
