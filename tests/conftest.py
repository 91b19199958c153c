"""Options of the whole suite."""

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"  # the same for every Ray of the suite, whatever lies in the user's home
os.environ["RAY_AUTH_TOKEN"] = "0123456789abcdef" * 4
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # tables are small here: threads would wait for each other, busily


def pytest_addoption(parser):
    parser.addoption("--engine", choices=["inline", "ray", "address"], default="inline", help="what runs the behaviour suite")
