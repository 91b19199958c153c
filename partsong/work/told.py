"""Told: how a call's trouble is put into words, as notices for who watches and as failures of the caller's own making."""

from partsong.contracts import Failure, FailureCode, Notice
from partsong.errors import PartsongError
from partsong.pool.breaker import Opened, Paused

__all__ = [
    "asks_pause",
    "back",
    "cannot_start",
    "given_up",
    "goes_on",
    "locked_out",
    "no_worker",
    "ran_out",
    "rests",
    "too_late",
    "trouble",
    "unavailable",
]

_TOO_LATE = "no answer within the row's deadline"


def too_late(name: str) -> Failure:
    """The row's deadline has passed; nothing was sent."""
    return Failure(code=FailureCode.DEADLINE, message=_TOO_LATE, where=name)


def ran_out(failure: Failure) -> Failure:
    """The row's deadline passed while an attempt was out; whether it was sent, and what it cost, stays."""
    return failure.model_copy(update={"code": FailureCode.DEADLINE, "message": _TOO_LATE, "retryable": False})


def given_up(failure: Failure, deaths: int) -> Failure:
    """A call that so many workers died of."""
    message = f"{deaths} workers died with this call in flight, the last ones with nothing else: the call seems to kill them"
    return failure.model_copy(update={"message": message, "retryable": False})


def no_worker(name: str) -> Failure:
    """All workers are gone; others may come."""
    return Failure(code=FailureCode.WORKER_LOST, message="the model has no worker left", where=name, retryable=True)


def cannot_start(name: str, cause: PartsongError) -> Failure:
    """No worker of the model can start."""
    problem = cause.problems[0]
    message = f"{problem.what}; {problem.remedy}" if problem.remedy else problem.what
    return Failure(code=FailureCode.CANNOT_START, message=message, where=name)


def locked_out(name: str, refused: Failure) -> Failure:
    """Not asked, since every call is refused in the same way."""
    return unavailable(name, f"not asked, as every call of late was refused: {refused.message}", refused.code)


def unavailable(name: str, message: str, code: FailureCode = FailureCode.UNAVAILABLE) -> Failure:
    """The model was not asked."""
    return Failure(code=code, message=message, where=name)


def trouble(name: str, failure: Failure) -> Notice:
    """A call is made again."""
    what = f"{failure.code.value} ({failure.message})"
    return Notice(
        code=f"retry-{failure.code.value}", where=name, what=what, doing="such calls are made again, each time after a longer pause"
    )


def rests(name: str, opened: Opened, failure: Failure | None, now_s: float) -> Notice:
    """The breaker opened, at this failure if it was one."""
    of = "" if failure is None else f" ({failure.code.value}: {failure.message})"
    what = f"{opened.bad} of its last {opened.counted} calls {'were slow' if opened.reason == 'slow' else 'failed'}{of}"
    if opened.reason == "locked-out":
        doing = "its calls fail at once until one is let through"
    else:
        rest_s = opened.until_s - now_s
        doing = f"it is given a rest of {rest_s:.3g} s, then asked again by single calls; the others wait or go to fallbacks"
    return Notice(code="breaker-open", where=name, what=what, doing=doing)


def goes_on(name: str, failure: Failure) -> Notice:
    """A call is left to the model's fallbacks."""
    return Notice(code="fallback", where=name, what=f"{failure.code.value} ({failure.message})", doing="such calls go to its fallbacks")


def back(name: str) -> Notice:
    """The breaker closed."""
    return Notice(code="breaker-closed", where=name, what="answers again", doing="all calls go on")


def asks_pause(name: str, paused: Paused, now_s: float) -> Notice:
    """The provider asked for a pause."""
    return Notice(code="paused", where=name, what=f"asks for a pause of {paused.until_s - now_s:.3g} s", doing="its calls wait")
