"""Artifacts as the SDK sees them: list a version, receive a file, publish a version. Runs in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sdxl_lab.comet import worker
from sdxl_lab.comet.dialogue import Refusal, serve
from sdxl_lab.comet.errors import fault_of

CHUNK_BYTES = 1 << 14
SAID_EVERY_S = 0.1
NAME_CHARACTERS = 100
"""Names that are longer may be cut by the server; the whole name then stands in the file's metadata."""

WORDS = {
    "key": "it refuses the API key",
    "absent": "there is none of that name and version",
    "not final": "it was begun and never finished",
    "cut": "the connection broke off",
    "retries": "it answers with errors, time and again",
    "unreachable": "it gives no answer",
}
"""What kinds of faults are called where Comet is the one that does it."""


def main() -> None:
    """Answer requests about artifacts until stdin closes."""
    serve({"list": _list, "receive": _receive, "publish": _publish}, _explain)


def _list(workspace: str, name: str, version: str | None, alias: str | None) -> Iterator[Mapping[str, Any]]:
    """Say which version a name stands for, and what it holds."""
    api = _api()
    found = api.get_artifact(workspace, name, version=version, alias=alias)
    listing = api.get_artifact_files(workspace, name, version=str(found.version))
    yield {"version": str(found.version), "metadata": dict(found.metadata), "files": listing.get("files")}


def _receive(asset: str, version_id: str, path: str, most_bytes: int) -> Iterator[Mapping[str, Any]]:
    """Write a file as it comes, and say how much of it came; more than was claimed is not taken."""
    from requests.exceptions import RequestException

    # The SDK's own download joins the listing's names to paths and never gives up; this is the call it uses underneath.
    response = _api()._client.get_experiment_asset(asset, artifact_version_id=version_id, return_type="response", stream=True)
    received, said_at = 0, time.monotonic()
    with response, Path(path).open("xb") as file:
        try:
            for chunk in response.iter_content(CHUNK_BYTES):
                received += len(chunk)
                if received > most_bytes:
                    raise Refusal("cut", f"more came than the {most_bytes:,} bytes it claims")
                file.write(chunk)
                if time.monotonic() - said_at > SAID_EVERY_S:
                    said_at = time.monotonic()
                    yield {"bytes": received}
        except RequestException as error:
            raise Refusal("cut", f"the connection broke off after {received:,} of {most_bytes:,} bytes") from error
        file.flush()
        os.fsync(file.fileno())
    yield {"bytes": received}


def _publish(
    workspace: str, name: str, project: str, folder: str, files: Sequence[Mapping[str, Any]], metadata: dict[str, Any], final_s: float
) -> Iterator[Mapping[str, Any]]:
    """Send files as a new version, and say what the server then lists of it."""
    import comet_ml

    # A refused key, a dead server and a wrong workspace show here; `start` would only return an experiment that is not alive.
    known = _api().get_workspaces() or []
    if workspace.casefold() not in [other.casefold() for other in known]:
        raise Refusal("workspace", f"this account has no workspace {workspace}; it has {', '.join(known) or 'none'}")
    experiment = comet_ml.start(
        workspace=workspace,
        project_name=project,
        mode="create",
        experiment_config=comet_ml.ExperimentConfig(**worker.switches(), name=f"publish {name}", tags=["publish"]),
    )
    if not experiment.alive:
        raise Refusal("unreachable", "it began no experiment")
    try:
        longest = experiment.asset_name_max_length or NAME_CHARACTERS
        artifact = comet_ml.Artifact(name, "dataset", metadata=metadata)
        for number, file in enumerate(files):
            path, known = file["path"], {"sha256": file["sha256"]}
            if len(path) > longest:
                known["path"] = path
                path = f"{number}-{path[len(str(number)) + 1 - longest :].replace('/', '-')}"
            artifact.add(str(Path(folder, file["path"])), logical_path=path, copy_to_tmp=False, metadata=known)
        logged = experiment.log_artifact(artifact)
    finally:
        experiment.end()
    version = str(logged.version)
    yield {"version": version}
    until = time.monotonic() + final_s
    while True:
        try:
            yield from _list(workspace, name, version, None)
            return
        except comet_ml.exceptions.ArtifactNotFinalException:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@cache
def _api() -> Any:
    import comet_ml

    return comet_ml.API(cache=False)


def _explain(error: Exception) -> tuple[str, str]:
    """Say what an exception means: of the SDK's texts only what the server said."""
    if isinstance(error, Refusal):
        return error.kind, str(error)
    fault = fault_of(error)
    if fault.kind == "status":
        return fault.kind, f"it answers {fault.status or 'no'}" + (f": {str(fault.said)[:200]}" if fault.said else "")
    if isinstance(fault.cause, OSError) and fault.kind == "disk":
        return fault.kind, fault.cause.strerror or str(fault.cause)
    return fault.kind, WORDS.get(fault.kind, f"the SDK says {type(error).__name__}")
