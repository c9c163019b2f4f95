"""The only importer of comet_ml: a run's record, projected to one Comet experiment."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.disclosure import public_notebook
from sdxl_lab.disk import TEMPORARY, DiskError, sync_folder, write_whole
from sdxl_lab.errors import LabError
from sdxl_lab.records import Picture, RunFolder

PROJECT = "sdxl-lab"
TIMEOUT_S = 300.0
VALUE_LIMIT = 1000
"""Comet cuts parameters and others at 1000 characters."""

SILENT = (
    "log_code", "log_graph", "parse_args", "log_git_metadata", "log_git_patch", "log_env_details", "log_env_gpu", "log_env_host", "log_env_cpu",
    "log_env_network", "log_env_disk", "auto_output_logging", "auto_param_logging", "auto_metric_logging", "auto_log_co2",
    "auto_histogram_tensorboard_logging",
)  # fmt: skip
"""Everything the SDK would collect by itself; all of it is turned off."""

ENVIRONMENT = {
    "COMET_ERROR_TRACKING_ENABLE": "0",
    "COMET_INTERNAL_REPORTING": "0",
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_DISABLE_ANNOUNCEMENT": "1",
    "COMET_LOGGING_CONSOLE": "error",
    "COMET_AUTO_LOG_ENV_DETAILS": "0",
    "COMET_AUTO_LOG_GIT_METADATA": "0",
    "COMET_AUTO_LOG_GIT_PATCH": "0",
    "COMET_AUTO_LOG_CODE": "0",
    "COMET_AUTO_LOG_CLI_ARGUMENTS": "0",
    "COMET_LOGGING_PARAMETERS_IGNORE": "comet:curr_step",
}
INHERITED = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")


class CometError(LabError):
    """Comet cannot be used as asked, or its archive could not be built."""


def check(tracking: str) -> None:
    """Refuse a way of tracking that is not there, before a run begins.

    Args:
        tracking: `auto`, `online`, `offline` or `off`.

    Raises:
        CometError: It is `online`.
    """
    if tracking == "online":
        raise CometError(
            "tracking: got online, which this version does not have; allowed are offline, off and auto (offline): "
            "run offline, and send the archive when you like with `comet upload <run>/comet/<key>.zip`"
        )


def archive(run: RunFolder, *, contact_sheet: Path | None = None) -> Path:
    """Build the offline archive of a finished run, which `comet upload` sends as one experiment.

    It is built from the record alone, in a process of its own: the SDK sees neither the notebook's process nor the user's
    environment or configuration, and sends nothing. Built again with the same content, the archive there is kept; with other
    content, such as an executed notebook, it is replaced under the same key.

    Args:
        run: A run that is done. Nobody else may be writing to it.
        contact_sheet: A picture to add, if there is one.

    Returns:
        `comet/<key>.zip` in the run's folder.

    Raises:
        CometError: The run is not done, or the SDK did not build what it was asked for.
        DiskError: The disk is full or not writable.
    """
    if not run.is_done:
        raise CometError(f"{run.path} is not done, and only a finished record is archived; run it again to finish it")
    key = run.comet_key()
    target = run.comet_folder / f"{key}.zip"
    state = run.comet_folder / "archive.json"
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=run.comet_folder, ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            job = _job(run, key, folder, contact_sheet)
            content = json.dumps({"key": key, "content": _digest(job)}).encode() + b"\n"
            if target.is_file() and state.is_file() and state.read_bytes() == content:
                return target
            built = _build(job, folder)
            with built.open("rb") as file:
                os.fsync(file.fileno())
            state.unlink(missing_ok=True)
            built.replace(target)
            sync_folder(run.comet_folder)
            write_whole(state, content)
    except OSError as error:
        raise DiskError(f"could not write {target}: {error.strerror or error}; free some space, or put permissions right, and run again") from error
    return target


def _job(run: RunFolder, key: str, folder: Path, contact_sheet: Path | None) -> dict[str, Any]:
    """All that the experiment will hold, as plain values and paths of files."""
    pictures = run.pictures()
    assets = {"prompts.csv": run.prompts_file}
    if run.executed_notebook.is_file():
        copy = folder / "executed.ipynb"
        try:
            copy.write_bytes(public_notebook(run.executed_notebook.read_bytes()))
            assets["executed.ipynb"] = copy
        except ValueError as error:
            raise CometError(f"{run.executed_notebook} is no whole notebook ({error}); remove it and run again") from error
    images = [*_images(run, pictures)]
    if contact_sheet:
        images.append({"name": "contact-sheet", "step": None, "path": str(contact_sheet), "metadata": {}})
    return {
        "key": key,
        "name": run.resolved.spec.name,
        "tags": _tags(run),
        "parameters": _parameters(run),
        "others": _others(run),
        "metrics": [*_metrics(pictures)],
        "images": images,
        "assets": {name: str(path) for name, path in assets.items()},
    }


def _images(run: RunFolder, pictures: Sequence[Picture]) -> Iterator[dict[str, Any]]:
    edits = {(edit.sample, edit.task): edit for edit in run.resolved.edits}
    seen: set[Path] = set()
    for picture in pictures:
        settings = edits[picture.key].settings.model_dump(mode="json")
        words = {"sample": picture.sample, "task": picture.task}
        made = words | {
            "prompt": picture.prompt,
            "negative_prompt": picture.negative_prompt,
            "seed": picture.seed,
            "sha256": picture.sha256,
            "base_steps": picture.base_steps,
            "refiner_steps": picture.refiner_steps,
            "steps": picture.base_steps + picture.refiner_steps,
            "settings": settings,
        }
        original = picture.image.with_name("input.png")
        files = [
            ("input", original, {"sample": picture.sample}),
            (f"{picture.task}-input", picture.input_image, words),
            (f"{picture.task}-mask", picture.mask_image, words),
            (picture.task, picture.image, made),
        ]
        for name, path, metadata in files:
            if path not in seen:
                yield {"name": name, "step": picture.step, "path": str(path), "metadata": metadata}
            seen.add(path)


def _parameters(run: RunFolder) -> dict[str, Any]:
    """One value a key for the whole run; the keys are the same in every run with these tasks, so that runs can be compared."""
    resolved = run.resolved
    samples = tuple(dict.fromkeys(edit.sample for edit in resolved.edits))
    parameters: dict[str, Any] = {
        "dataset": resolved.dataset.name,
        "checkpoint": resolved.checkpoint.name,
        "samples": _short(", ".join(samples)),
        "dtype": resolved.dtype,
        "threads": resolved.threads,
        "device": resolved.device,
    }
    for task in dict.fromkeys(edit.task for edit in resolved.edits):
        edits = [edit for edit in resolved.edits if edit.task == task]
        settings = edits[0].settings.model_dump(mode="json")
        words = {name: _common([getattr(edit, name) for edit in edits]) for name in ("prompt", "negative_prompt", "seed")}
        every = json.dumps([[edit.sample, edit.prompt, edit.negative_prompt] for edit in edits]).encode()
        parameters[task] = settings | words | {"prompts_sha256": hashlib.sha256(every).hexdigest()}
    return parameters


def _others(run: RunFolder) -> dict[str, Any]:
    resolved, record = run.resolved, run.record
    version = f":{resolved.dataset.version}" if resolved.dataset.version and ":" not in resolved.dataset.name else ""
    others = {
        "run_id": resolved.run_id,
        "dataset": resolved.dataset.name + version,
        "dataset_digest": resolved.dataset.digest,
        "checkpoint": resolved.checkpoint.name,
        "checkpoint_revision": resolved.checkpoint.revision,
        "checkpoint_digest": resolved.checkpoint.digest,
        "finished": record.get("finished"),
        "instruction_set": record.get("instruction_set"),
    }
    versions = {f"version.{name}": version for name, version in record.get("versions", {}).items()}
    return {name: _short(value) for name, value in (others | versions).items() if value is not None}


def _tags(run: RunFolder) -> list[str]:
    tasks = list(dict.fromkeys(edit.task for edit in run.resolved.edits))
    runs_folder = run.path.resolve().parent
    # Only the lab's own layout names a group; any other folder's name is the user's business.
    return [*tasks, runs_folder.name] if runs_folder.parent.name == "runs" else tasks


def _metrics(pictures: Sequence[Picture]) -> Iterator[dict[str, Any]]:
    for picture in pictures:
        numbers = {"seconds": picture.seconds, "base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps, **picture.metrics}
        for name, number in numbers.items():
            yield {"name": f"{picture.task}/{name}", "value": number, "step": picture.step}


def _common(values: list[Any]) -> Any:
    return _short(values[0]) if all(value == values[0] for value in values) else "one for each sample"


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…"


def _digest(job: Mapping[str, Any]) -> str:
    """Identify what an archive will hold, wherever its files lie."""
    paths = [image["path"] for image in job["images"]] + list(job["assets"].values())
    files = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    portable = dict(job) | {"images": [image | {"path": None} for image in job["images"]], "assets": list(job["assets"])}
    return hashlib.sha256(json.dumps([portable, files], sort_keys=True).encode()).hexdigest()


def _build(job: Mapping[str, Any], folder: Path) -> Path:
    """Let the SDK write the archive, in a process that knows nothing of this one, and check what it wrote."""
    request = folder / "job.json"
    request.write_text(json.dumps(dict(job)), "utf-8")
    for name in ("home", "tmp", "out"):
        (folder / name).mkdir()
    package = str(Path(__file__).resolve().parent.parent)
    chosen = {name: os.environ[name] for name in (*INHERITED, "COMET_PROJECT_NAME", "COMET_WORKSPACE") if name in os.environ}
    isolated = {name: str(folder / "home") for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME")}
    isolated |= {name: str(folder / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    environment = chosen | isolated | ENVIRONMENT | {"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    code = "import sys; from sdxl_lab.comet import _replay; _replay(sys.argv[1])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(request)],
            env=environment,
            cwd=folder / "home",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CometError(f"comet_ml took more than {TIMEOUT_S:.0f} s to build an archive; run again: the pictures are kept") from error
    built = folder / "out" / f"{job['key']}.zip"
    if done.returncode or not built.is_file():
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise CometError(
            f"comet_ml could not build the archive: {last}; see that comet-ml is installed whole and the disk is not full, and run again"
        )
    _check_archive(built, job)
    return built


def _check_archive(built: Path, job: Mapping[str, Any]) -> None:
    expected = len(job["images"]) + len(job["assets"])
    try:
        with zipfile.ZipFile(built) as opened:
            damaged = opened.testzip()
            messages = [json.loads(line) for line in opened.read("messages.json").splitlines()]
            members = set(opened.namelist())
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise CometError(f"comet_ml built an archive that cannot be read ({error}); run again: the pictures are kept") from error
    uploads = [message["payload"]["file_path"] for message in messages if message["type"] == "file_upload"]
    if damaged or len(uploads) != expected or not set(uploads) <= members:
        raise CometError(
            f"comet_ml put {len(uploads)} of {expected} files into the archive; run again: the pictures are kept, and the disk may be full"
        )


def _replay(request: str) -> None:
    """Say all of a job to the SDK. Runs in a process of its own."""
    import comet_ml

    job = json.loads(Path(request).read_text("utf-8"))
    silent: dict[str, Any] = dict.fromkeys(SILENT, False)
    experiment = comet_ml.start(
        online=False,
        mode="create",
        experiment_key=job["key"],
        workspace=os.environ.get("COMET_WORKSPACE"),
        project_name=os.environ.get("COMET_PROJECT_NAME", PROJECT),
        experiment_config=comet_ml.ExperimentConfig(
            **silent, display_summary_level=0, offline_directory=str(Path(request).parent / "out"), name=job["name"], tags=job["tags"]
        ),
    )
    experiment.log_parameters(job["parameters"])
    experiment.log_others(job["others"])
    # A step sticks to all that follows, so what has none comes first.
    for name, path in job["assets"].items():
        experiment.log_asset(path, file_name=name)
    for image in sorted(job["images"], key=lambda image: -1 if image["step"] is None else image["step"]):
        experiment.log_image(image["path"], name=image["name"], step=image["step"], metadata=image["metadata"])
    for metric in job["metrics"]:
        experiment.log_metric(metric["name"], metric["value"], step=metric["step"])
    experiment.end()
