"""What `partsong doctor` looks at: a machine, a cluster and what a mesh file needs of them, with what to do about what is wrong."""

from partsong_cluster.doctor.checks import CHECKS, Check, examined
from partsong_cluster.doctor.finding import Finding, Level
from partsong_cluster.doctor.patient import Patient

__all__ = ["CHECKS", "Check", "Finding", "Level", "Patient", "examined"]
