"""Code: whether a text looks like source code."""

__all__ = ["looks_like_code"]


def looks_like_code(text: str) -> bool:
    """Return whether the text holds a fenced block."""
    return "```" in text
