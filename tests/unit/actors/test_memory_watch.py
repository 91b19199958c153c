"""Memory watch: a process that is refused memory ends itself and says so; one that is refused once goes on."""

import subprocess
import sys
import time

PROCESS = """
import resource, sys, time
from partsong_actors.memory_watch import end_without_memory

end_without_memory(7, "no memory left")
keep = sys.argv[1] == "keep"
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2**20, limits[1]))
time.sleep(5 if keep else 0.5)
resource.setrlimit(resource.RLIMIT_AS, limits)
time.sleep(1)
"""


def ran(what: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROCESS, what], capture_output=True, text=True, timeout=20, check=False)


def test_a_process_that_gets_no_memory_ends_itself_and_says_so():
    began_s = time.monotonic()
    ended = ran("keep")
    assert (ended.returncode, ended.stderr) == (7, "no memory left\n")
    assert time.monotonic() - began_s < 4


def test_a_process_that_was_refused_memory_for_a_moment_goes_on():
    ended = ran("let go")
    assert (ended.returncode, ended.stderr) == (0, "")
