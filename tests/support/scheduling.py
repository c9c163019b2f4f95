"""Which files of tests one process runs, where several do: each file whole, and those together that can share a warm kernel."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadFileScheduling

SHARING = {"tests/bench/test_bench.py", "tests/runs/test_one_picture.py", "tests/sweeps/test_sweep.py", "tests/test_demo.py"}
"""Files whose notebooks make pictures in the engine's warm kernel, which takes longer to start than they take to run. They leave it as it is."""


TOGETHER = "files that share a kernel"
FIRST = (
    TOGETHER,
    "tests/test_cli.py",
    "tests/tracking/test_comet_sessions.py",
    "tests/tracking/test_comet_demo.py",
    "tests/sweeps/test_sweep_command.py",
    "tests/sweeps/test_plan.py",
    "tests/kernels/test_engine.py",
    "tests/kernels/test_engine_hostile.py",
)
"""What takes longest is begun first, so that no process is left with it at the end; else files are begun in the order of the tree."""


class WithItsKernel(LoadFileScheduling):
    """xdist's own by files, with the files that share a kernel as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER if file in SHARING else file

    def _assign_work_unit(self, node: Any) -> None:
        for scope in reversed(FIRST):
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)
