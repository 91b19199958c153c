"""What is told of one thing is told once, not once a call."""

from partsong.contracts import Notice
from partsong.work.notices import Notices


def notice(code="retry-server-error", where="mini"):
    return Notice(code=code, where=where, what="it broke")


def test_the_first_notice_of_a_kind_and_place_is_told_and_others_when_a_minute_is_over():
    told, now_s = [], [0.0]
    tell = Notices(told.append, lambda: now_s[0])
    for now_s[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        tell(notice())
    assert len(told) == 2


def test_other_places_and_other_kinds_are_told_for_themselves():
    told = []
    tell = Notices(told.append, lambda: 0.0)
    for one in (notice(), notice(where="maxi"), notice(code="breaker-open"), notice()):
        tell(one)
    assert [(one.code, one.where) for one in told] == [
        ("retry-server-error", "mini"),
        ("retry-server-error", "maxi"),
        ("breaker-open", "mini"),
    ]
