"""The deploy file's page: every field of every piece, read off the schemas that check it."""

from partsong_cluster.deploy.schema import Deploy

from reference_pages.mesh import piece

__all__ = ["page"]

_INTRO = """# The deploy file

One YAML file says how a mesh is spread over machines; it is laid over the mesh file and changes nothing of what is answered. Unknown keys
are errors; `partsong deploy check FILE --mesh MESH` reports all of them at once, and what no machine can hold. How to write one:
[deploying](../deploying.md). Durations, sizes and names are written as in [the mesh file](mesh.md).
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRO, *piece(set(), "## The file", Deploy)])
