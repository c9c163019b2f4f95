"""Which files of tests one process runs, where several do: each file whole, and those together that can share a warm kernel."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

SHARING = {"tests/bench/test_bench.py", "tests/runs/test_one_picture.py", "tests/sweeps/test_sweep.py", "tests/test_demo.py"}
"""Files whose notebooks make pictures in the engine's warm kernel, which takes longer to start than they take to run. They leave it as it is."""


class WithItsKernel(LoadFileScheduling):
    """xdist's own by files, with the files that share a kernel as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "files that share a kernel" if file in SHARING else file
