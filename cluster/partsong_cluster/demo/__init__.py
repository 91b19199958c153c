"""The demo: real models on real rows, several ways of combining them, and what each came to."""

from partsong_cluster.demo.run import DemoOrder, DemoResult, ModelSet, run_demo

__all__ = ["DemoOrder", "DemoResult", "ModelSet", "run_demo"]
