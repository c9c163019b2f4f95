"""Which datasets an experiment used, as Comet draws it: artifacts, or where it is asked for, digests of what lies on this machine alone."""

from __future__ import annotations

import re
import time
from typing import Any

from sdxl_lab.comet.artifact import FINAL_S
from sdxl_lab.comet.reference import Reference

NAME_CHARACTERS = 100
"""Comet cuts names of artifacts."""


def consume(experiment: Any, dataset: str) -> None:
    """Let an experiment record that it used a version of an artifact; saying so twice changes nothing. For use inside a worker.

    Args:
        experiment: A live experiment of the SDK.
        dataset: As an experiment names its dataset. What is no `workspace/name:version`, or what Comet does not have (a folder laid out
            by hand can carry such a name), is no artifact and leaves no trace.

    Raises:
        Exception: What the SDK raises when the server does not answer, or refuses the key.
    """
    from comet_ml import exceptions

    reference = Reference.parse(dataset)
    if reference is None or not reference.is_exact:
        return
    try:
        experiment.get_artifact(dataset)
    except (exceptions.ArtifactNotFound, exceptions.ArtifactNotFinalException):
        return


def refer(experiment: Any, name: str, digest: str) -> None:
    """Let an experiment record that it used a dataset which no artifact holds. For use inside a worker.

    An artifact `local-NAME` gets a version for each digest, which holds a link made of the digest and none of the content. It is not called as
    the dataset, since an artifact of that name may hold the dataset itself.

    Args:
        experiment: A live experiment of the SDK.
        name: The dataset's.
        digest: Its sha256, hex.

    Raises:
        Exception: As for `consume`.
    """
    from comet_ml import Artifact, exceptions

    named, alias = f"local-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"[:NAME_CHARACTERS], f"sha256-{digest[:16]}"
    until = None
    while True:
        try:
            experiment.get_artifact(named, version_or_alias=alias)
            return
        except (exceptions.ArtifactNotFound, exceptions.ArtifactNotFinalException):
            if until is not None and time.monotonic() > until:
                return  # an experiment without its lineage is better than none
        if until is None:
            until = time.monotonic() + FINAL_S
            artifact = Artifact(named, "dataset", aliases=[alias], metadata={"sha256": digest})
            artifact.add_remote(f"sha256:{digest}", logical_path=name, sync_mode=False)
            experiment.log_artifact(artifact)
        time.sleep(0.5)
