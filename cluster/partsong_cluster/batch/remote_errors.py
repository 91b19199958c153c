"""Remote errors: of a place behind a network it is told apart what passes (it is away, busy, slow) and what does not (it refuses)."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from partsong.errors import Place, RunError
from partsong.journal.transport_errors import transport_errors

__all__ = ["AwayError", "away", "passes", "remote_errors", "transport_errors"]

_FOR_GOOD = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENAMETOOLONG, errno.ENOENT})
"""As fsspec's file systems translate what a server refuses for good."""

_CHECK = "check the URL, that the bucket is there, and credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID); AWS_ENDPOINT_URL names an S3 server"


class AwayError(RunError):
    """The place does not answer, or asks to come later: whoever can wait tries again."""


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """While writing there, raise AwayError in place of an error that may pass, RunError in place of one that does not."""
    try:
        yield
    except ImportError as error:
        remedy = "install it beside Partsong; `partsong[s3]` has what S3 needs"
        raise RunError("output-package", f"writing there needs a package: {error}", at=Place(url), remedy=remedy) from None
    except transport_errors(ValueError) as error:
        if passes(error):
            raise away(url, "written", error) from error
        raise RunError("output-refused", f"the place refuses: {_why(error)}", at=Place(url), remedy=_CHECK) from None


def passes(error: BaseException) -> bool:
    """Return whether the same may work later."""
    if isinstance(error, PermissionError | FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, OSError):
        return error.errno not in _FOR_GOOD
    return isinstance(error, (aiohttp.ClientError, *_botocore("HTTPClientError", "ConnectionError")))


def away(url: str, done: str, error: BaseException) -> AwayError:
    """Return the error that says so; `done` is what is done to the place: written, read."""
    return AwayError("place-away", f"it cannot be {done}: {_why(error)}", at=Place(url), remedy="try again when it is back")


def _botocore(*names: str) -> tuple[type[Exception], ...]:
    """Return the error classes of these names of the library behind `s3://`; none where nobody has imported it."""
    module = sys.modules.get("botocore.exceptions")
    return () if module is None else tuple(getattr(module, name) for name in names)


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
