"""Partsong over Ray: the command line, batch runs, reports; and `open`, the face of `partsong.open` over Ray.

async with partsong_cluster.open("mesh.yaml") as mesh:
    answer = await mesh.ask("How do I change my PIN?")

partsong_cluster.rate(Path("out"), [Verdict(row="q17", score=0.0, by="ann")])
"""

from partsong_cluster.feedback import Verdict, rate
from partsong_cluster.opened import open_mesh as open  # noqa: A004  the same word as partsong.open

__all__ = ["Verdict", "open", "rate"]
