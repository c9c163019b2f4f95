"""Where papermill finds the engine `warm`.

papermill loads its engines while it is being imported, also when `sdxl_lab.kernels.engine` is what imports it, and then is not complete itself.
"""

from __future__ import annotations

from typing import Any


class _Engine:
    def __getattr__(self, name: str) -> Any:
        from sdxl_lab.kernels.engine import WarmEngine

        return getattr(WarmEngine, name)


engine = _Engine()
