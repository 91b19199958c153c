"""Server-sent events: the same events come out however the bytes are split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.adapters.sse import EventTooLongError, ServerEvent, SseParser


def events(*pieces, most_bytes=10_000):
    parser = SseParser(most_bytes)
    return [event for piece in pieces for event in parser.feed(piece)]


def test_an_event_has_a_name_and_its_data_lines():
    assert events(b"event: delta\ndata: one\ndata: two\n\n") == [ServerEvent("delta", "one\ntwo")]


def test_an_event_without_a_name_has_an_empty_one():
    assert events(b"data: one\n\n") == [ServerEvent("", "one")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_in_any_of_three_ways(end):
    assert events(b"data: a" + end + b"data:b" + end + end + b"data: c" + end + end) == [ServerEvent("", "a\nb"), ServerEvent("", "c")]


def test_comments_unknown_fields_and_events_without_data_are_let_pass():
    assert events(b": keep-alive\n\nid: 7\nretry: 5\nevent: ping\n\ndata\n\n") == [ServerEvent("", "")]


def test_one_space_after_the_colon_is_not_data():
    assert events(b"data:  x\n\n") == [ServerEvent("", " x")]


def test_a_byte_order_mark_is_skipped_at_the_start_alone():
    assert events(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [ServerEvent("", "a")]


def test_an_event_that_nothing_ends_is_no_event():
    assert events(b"data: a\n\ndata: b\n") == [ServerEvent("", "a")]


def test_broken_utf8_becomes_replacement_characters():
    assert events(b"data: \xff\n\n") == [ServerEvent("", "\ufffd")]


def test_a_line_without_end_is_bounded():
    with pytest.raises(EventTooLongError):
        events(*[b"data: " + b"x" * 100] * 11, most_bytes=1000)


def test_an_event_without_end_is_bounded():
    with pytest.raises(EventTooLongError):
        events(*[b"data: xxxxxxxxxxxxxxxxxxxxxxxxx\n"] * 100, most_bytes=1000)


def test_many_events_are_not_one_long_one():
    assert len(events(*[b"data: xxxxxxxxxxxxxxxxxxxxxxxxx\n\n"] * 100, most_bytes=100)) == 100


LINES = st.one_of(
    st.sampled_from(["data: grüße", "data:", "data: 🙂", "event: x", ": note", "", "", "id: 3", "nonsense"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6).map("data: {}".format),
)


@given(st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20), st.data())
def test_any_split_gives_the_same_events(lines, data):
    stream = "".join(line + end for line, end in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events(*pieces) == events(stream)
    assert events(*(bytes([byte]) for byte in stream)) == events(stream)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_random_bytes_raise_nothing(pieces):
    events(*pieces)
