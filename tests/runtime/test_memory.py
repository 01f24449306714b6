"""Memory that a step frees is there for the next one."""

import platform
import subprocess
import sys

import pytest
from support import ROOT, environment

FAULTS = """
import resource, torch
{call}
block = torch.zeros(10_000_000)
def step():
    activations = [block + 1 for _ in range(4)]  # all there at once, as before a backward pass
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(call=call)],
        env=environment(PYTHONPATH=str(ROOT / "src")),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_after_some_steps_no_new_pages_are_needed() -> None:
    ours = "from housenumbers.runtime.memory import disable_malloc_trimming; disable_malloc_trimming()"
    without = page_faults("")
    assert without > 10_000, "16 blocks of 40 MB are mapped anew"
    assert page_faults(ours) < without / 4
