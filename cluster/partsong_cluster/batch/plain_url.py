"""Plain URL: input and output are named by addresses that hold no credential, as they are kept, shown, and sent to a cluster."""

from partsong.contracts.credentials import credential_in
from partsong.errors import InputError

__all__ = ["check_plain"]


def check_plain(url: str, whose: str) -> None:
    """Raise InputError if the URL of `whose` (the input, the output) holds a credential; the error does not repeat it."""
    if found := credential_in(url):
        what = f"the address of {whose} holds {found}; it would be kept and shown with the run"
        remedy = "take it out and change it: credentials are read from the environment (AWS_PROFILE...); download signed links first"
        raise InputError("literal-secret", what, remedy=remedy)
