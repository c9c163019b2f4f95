"""Processes in which the SDK works: what they may know, and how they are ended.

The SDK never runs in a notebook's or the command's own process. There it would see arguments, output and cells, and a server that hangs would
hang them too; a process of its own knows what it is given, and can be killed.

What the SDK collects by itself is turned off: host name, user, address, arguments, repository and diff, installed packages, system
metrics, output, code, and reports of its errors to others. Each of Comet's own environment variables turns its part on again, such as
`COMET_AUTO_LOG_GIT_METADATA=1`, `COMET_AUTO_LOG_ENV_DETAILS=1` or `COMET_ERROR_TRACKING_ENABLE=1`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

SWITCHES = {
    "log_graph": "COMET_AUTO_LOG_GRAPH",
    "parse_args": "COMET_AUTO_LOG_CLI_ARGUMENTS",
    "log_git_metadata": "COMET_AUTO_LOG_GIT_METADATA",
    "log_git_patch": "COMET_AUTO_LOG_GIT_PATCH",
    "log_env_details": "COMET_AUTO_LOG_ENV_DETAILS",
    "log_env_gpu": "COMET_AUTO_LOG_ENV_GPU",
    "log_env_host": "COMET_AUTO_LOG_ENV_HOST",
    "log_env_cpu": "COMET_AUTO_LOG_ENV_CPU",
    "log_env_network": "COMET_AUTO_LOG_ENV_NETWORK",
    "log_env_disk": "COMET_AUTO_LOG_ENV_DISK",
    "auto_log_co2": "COMET_AUTO_LOG_CO2",
}
"""What the SDK would collect by itself, and the variable that turns each on."""

CODE = "COMET_AUTO_LOG_CODE"
"""Turns code on: that of the notebook which made a run. The SDK itself would find this worker's."""

DATASETS = "COMET_AUTO_LOG_DATASETS"
"""Turns on, as the SDK knows no such thing, that datasets of this machine are told as artifacts: their digests, and none of their content."""

NEVER = ("auto_output_logging", "auto_param_logging", "auto_metric_logging", "auto_histogram_tensorboard_logging")
"""What in a process that makes no pictures has nothing to find."""

DEFAULTS = {
    **dict.fromkeys((CODE, DATASETS, *SWITCHES.values()), "0"),
    "COMET_ERROR_TRACKING_ENABLE": "0",
    "COMET_INTERNAL_REPORTING": "0",
    "COMET_LOGGING_CONSOLE": "error",
    "COMET_LOGGING_PARAMETERS_IGNORE": "comet:curr_step",
}
FIXED = {"COMET_DISABLE_AUTO_LOGGING": "1", "COMET_DISABLE_ANNOUNCEMENT": "1", "COMET_RICH_OUTPUT": "0"}
INHERITED = (
    "PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
UNFIT = ("COMET_API_KEY", "COMET_CONFIG", "COMET_INI", "COMET_EXPERIMENT_KEY", "COMET_OFFLINE", "COMET_OFFLINE_DIRECTORY", "COMET_RESUME_STRATEGY")
"""What the user may have set for other programs and would lead a worker astray; the key is given apart."""


ARGUMENTS = "SDXL_LAB_ARGUMENTS"
FOLDER = "sdxl-lab-comet-"
"""How the name of a worker's own folder begins."""


def inherited() -> dict[str, str]:
    """Gather what of the user's environment a worker is told: name to value."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or (name.startswith("COMET_") and name not in UNFIT and not name.startswith("COMET_START_"))
    }
    if is_asked("COMET_AUTO_LOG_CLI_ARGUMENTS"):
        mine[ARGUMENTS] = json.dumps(sys.argv)
    return {"COMET_GIT_DIRECTORY": str(Path.cwd())} | mine  # looked at only if the user has git data logged


def environment(folder: Path, account: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a worker.

    Args:
        folder: An existing folder that is the worker's own: home, temporary and working folder.
        account: Variables such as the API key; a worker without them reaches no account.

    Returns:
        Name to value: what programs need to run, Comet's variables with the lab's defaults, and nothing else of the user's.
    """
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    private = {name: str(folder / "home") for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    private |= {name: str(folder / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    private |= {"COMET_OFFLINE_DIRECTORY": str(folder / "tmp")}
    package = str(Path(__file__).resolve().parent.parent.parent)
    python = {"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    return DEFAULTS | inherited() | FIXED | private | python | dict(account)


def command(module: str, *arguments: str) -> list[str]:
    """Write the command that runs the `main` of a module, with texts as its arguments."""
    return [sys.executable, "-c", f"import sys; from {module} import main; main(*sys.argv[1:])", *arguments]


def project_name() -> str:
    """The project that experiments go to, the user's or the lab's."""
    return os.environ.get("COMET_PROJECT_NAME") or "sdxl-lab"


def voice() -> Callable[[Mapping[str, Any]], None]:
    """Keep stdout, inside a worker, for lines of JSON to the parent; what the SDK prints goes where its errors go.

    Returns:
        What sends one line. It is silent once nobody listens any more.
    """
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: Mapping[str, Any]) -> None:
        with suppress(OSError):
            lines.write(json.dumps(message) + "\n")
            lines.flush()

    return say


def leave() -> NoReturn:
    """End this worker at once, and remove its folder: the SDK's exit handlers would wait for what did not arrive."""
    # A process that is no worker has a home of its own.
    if (folder := Path.home().parent).name.startswith(FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def switches() -> dict[str, Any]:
    """Read, inside a worker, what the SDK may collect by itself: the arguments of its `ExperimentConfig`."""
    # What the SDK would take for the arguments of the run are this worker's own.
    sys.argv = json.loads(os.environ.get(ARGUMENTS, '["sdxl-lab"]'))
    chosen = {name: is_asked(variable) for name, variable in SWITCHES.items()}
    chosen["log_code"] = is_asked(CODE) and chosen["log_git_patch"]  # without which the SDK sends no patch
    return {**chosen, **dict.fromkeys(NEVER, False), "display_summary_level": 0}


def is_asked(variable: str) -> bool:
    """Whether one of Comet's own variables is set to something that means yes."""
    return os.environ.get(variable, "0").strip().lower() in ("1", "true", "yes", "on", "y", "t")
