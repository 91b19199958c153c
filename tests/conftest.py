"""Options of the whole suite."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def pytest_addoption(parser):
    parser.addoption("--engine", choices=["inline", "ray", "address"], default="inline", help="what runs the behaviour suite")
