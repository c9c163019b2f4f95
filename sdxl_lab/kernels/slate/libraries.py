"""The settings of libraries that a notebook may change for all: torch's switches, random numbers, printing options, plots."""

from __future__ import annotations

import random
import sys
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from sdxl_lab.kernels.slate.restoring import Restore, dict_restorer, list_restorer, value_restorer, void
from sdxl_lab.process import threads
from sdxl_lab.process.arithmetic import switches

OF_PLOTS_FOR_EACH_PROCESS = ("backend", "backend_fallback", "interactive")
"""matplotlib's settings that IPython makes once, when pyplot is imported."""


def of_numpy() -> Iterator[Restore]:
    """Printing options, and what numpy does about division by zero."""
    if numpy := sys.modules.get("numpy"):
        printing, errors = numpy.get_printoptions(), numpy.geterr()
        yield lambda: numpy.set_printoptions(**printing)
        yield lambda: void(numpy.seterr(**errors))


def of_torch() -> Iterator[Restore]:
    """Default dtype and device, threads, gradients, arithmetic, printing options."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    device = torch.get_default_device()
    yield lambda: torch.set_default_device(None if device.type == "cpu" else device)
    flushes = bool(torch.tensor([1e-310], dtype=torch.float64, device="cpu").mul(1).item() == 0)
    yield lambda: void(torch.set_flush_denormal(flushes))
    yield dict_restorer(vars(torch._tensor_str.PRINT_OPTS))
    yield list_restorer(threads.before)
    settings = [(torch.get_num_threads, torch.set_num_threads), (torch.is_grad_enabled, torch.set_grad_enabled)]
    for get, put in (*settings, (torch.is_anomaly_enabled, torch.set_anomaly_enabled), *switches()):
        yield value_restorer(get, put)


def of_tables() -> Iterator[Restore]:
    """Tables of this package, dictionaries named in capitals, to which a notebook may have added."""
    package = __name__.partition(".")[0]
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == package]
    tables = {id(value): value for module in modules for name, value in vars(module).items() if name.isupper() and type(value) is dict}
    yield from map(dict_restorer, tables.values())


def of_matplotlib() -> Iterator[Restore]:
    """Settings of plots: as a startup file left them, else as matplotlib's and IPython's configuration have them."""
    known = _settings_of_plots(sys.modules["matplotlib"].rcParams) if "matplotlib" in sys.modules else None

    def restore() -> None:
        matplotlib: Any = sys.modules.get("matplotlib")
        if matplotlib is not None:
            # By dict's own methods: matplotlib's warn, and look for a backend.
            dict.update(matplotlib.rcParams, _settings_of_plots(matplotlib.rcParamsOrig) | _configured() if known is None else known)

    yield restore


def reseed() -> None:
    """Random numbers as in a new process: not those of the notebook before."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()


def modes_of_torch(torch: Any) -> Hashable:
    """Modes that were entered, and hooks on all modules, as far as they are there."""
    stacks = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    everywhere = vars(torch.nn.modules.module)
    hooks = tuple(tuple(hooks) for name, hooks in sorted(everywhere.items()) if name.startswith("_global_") and isinstance(hooks, dict))
    return (*stacks, torch.is_inference_mode_enabled(), torch.get_num_interop_threads(), hooks)


def _settings_of_plots(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dict.items(settings) if name not in OF_PLOTS_FOR_EACH_PROCESS}  # pyright: ignore[reportArgumentType]


def _configured() -> dict[str, Any]:
    """What IPython's configuration has for plots in a notebook."""
    inline: Any = sys.modules.get("matplotlib_inline.config")
    return dict(inline.InlineBackend.instance().rc) if inline is not None else {}
