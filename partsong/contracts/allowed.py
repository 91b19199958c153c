"""Allowed: what a mesh file may do beyond its own folder; the user says it, never the file."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from partsong.contracts.frozen import Frozen

__all__ = ["ALLOW_VARIABLE", "NOTHING", "PYTHON_VARIABLE", "Allowed", "python_is_off"]

ALLOW_VARIABLE = "PARTSONG_ALLOW"
"""The environment variable that says it for every command: words with commas between."""

PYTHON_VARIABLE = "PARTSONG_PYTHON_ADAPTER"
"""The environment variable of a cluster's node; `off`: no mesh runs Python code there, whatever its system or job asks for."""


class Allowed(Frozen):
    """Nothing, unless the user says so: a mesh file may come from a stranger."""

    outside_files: bool = False
    """`outside-files`: read what the mesh file extends, includes and names (prompts, weights, recorded outcomes, keys) outside its folder,
    and keep the journal and traces at any place."""
    key_files: bool = False
    """`key-files`: read files of keys outside the folder (`/run/secrets/openai`), and nothing else there."""
    installed_modules: bool = False
    """`installed-modules`: run code of any installed Python module, not only of modules beside the mesh file."""
    link_local: bool = False
    """`link-local`: connect to link-local addresses and to the metadata services of clouds, which hand out credentials of the machine."""

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """Return what can be allowed, as the user writes it."""
        return tuple(name.replace("_", "-") for name in cls.model_fields)

    @classmethod
    def of(cls, words: Iterable[str]) -> "Allowed":
        """Return what the words allow; ValueError names one that is none."""
        said = [part.strip() for word in words for part in word.split(",") if part.strip()]
        for word in said:
            if word not in cls.words():
                near = get_close_matches(word, cls.words(), n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(cls.words())}"
                raise ValueError(f"{word!r} is nothing that can be allowed; {hint}")
        return cls(**{word.replace("-", "_"): True for word in said})

    @classmethod
    def by_environment(cls, env: Mapping[str, str], words: Iterable[str] = ()) -> "Allowed":
        """Return what the environment's `PARTSONG_ALLOW` allows, and the words beside it; ValueError as in `of`."""
        return cls.of([env.get(ALLOW_VARIABLE, ""), *words])


NOTHING = Allowed()
"""What is allowed unless somebody says otherwise."""


def python_is_off(env: Mapping[str, str]) -> bool:
    """Return whether no mesh runs Python code on the node of this environment."""
    return env.get(PYTHON_VARIABLE) == "off"
