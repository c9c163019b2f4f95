"""Artifacts: made by one experiment, consumed by others."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from tests.support.comet_backend.state import Artifact, Asset, State, Version
from tests.support.comet_backend.wire import (
    CLIENT,
    IMMUTABLE,
    REST,
    UNKNOWN_ARTIFACT,
    VERSION_EXISTS,
    VERSION_FAILED,
    VERSION_NOT_CLOSED,
    Refused,
    Reply,
    Request,
    route,
)
from tests.support.comet_backend.writing import DONE


def unknown(what: str) -> Refused:
    """
    No such artifact or version.
    """
    return Refused(f"no artifact {what}", code=UNKNOWN_ARTIFACT)


def asked_for(state: State, query: dict[str, str]) -> Artifact:
    """
    By id, or by workspace and name; the SDK quotes the name once more than HTTP needs, and writes the id's field in two ways.
    """
    id = query.get("artifactId") or query.get("artifact_id")
    if id:
        found = [artifact for artifact in state.artifacts.values() if artifact.id == id]
        if not found:
            raise unknown(id)
        return found[0]
    consumer = state.experiments.get(query.get("experimentKey", ""))
    workspace = query.get("workspace") or (consumer.workspace if consumer else state.workspaces[0])
    path = f"{workspace}/{unquote(query.get('artifactName', ''))}"
    if path not in state.artifacts:
        raise unknown(path)
    return state.artifacts[path]


def version_of(artifact: Artifact, query: dict[str, str]) -> Version:
    """
    By id, number or alias; without any the newest. "latest" means the same in any case.
    """
    if query.get("versionId"):
        found = [version for version in artifact.versions if version.id == query["versionId"]]
        if not found:
            raise unknown(query["versionId"])
        return found[0]
    number, alias, either = (query.get(name) for name in ("version", "alias", "versionOrAlias"))
    found = artifact.versions
    if number or alias or either:
        aliases = {name.lower() if name.lower() == "latest" else name for name in (alias, either) if name}
        found = [
            version
            for version in found
            if version.version in (number, either) or aliases & {name.lower() if name == "Latest" else name for name in version.aliases}
        ]
    if not found:
        raise unknown(f"{artifact.workspace}/{artifact.name}:{number or alias or either}")
    if found[-1].state != "CLOSED":
        code = VERSION_FAILED if found[-1].state == "ERROR" else VERSION_NOT_CLOSED
        raise Refused(f"{artifact.label(found[-1])} is not final", code=code)
    return found[-1]


def next_number(artifact: Artifact) -> str:
    """
    1.0.0 first, then one more in the middle.
    """
    if not artifact.versions:
        return "1.0.0"
    major, minor, *_ = artifact.versions[-1].version.split(".")
    return f"{major}.{int(minor) + 1}.0"


@route("POST", f"{REST}write/artifacts/upsert")
def upsert(state: State, request: Request) -> Reply:
    """
    A new version, open for files; the artifact too if it is new.
    """
    fields = request.fields
    experiment = state.experiment(fields["experimentKey"])
    path = f"{experiment.workspace}/{fields['artifactName']}"
    artifact = state.artifacts.get(path) or Artifact(workspace=experiment.workspace, name=fields["artifactName"], type=fields["artifactType"])
    number = fields["version"] or next_number(artifact)
    if any(version.version == number for version in artifact.versions):
        raise Refused(f"{path}:{number} exists", code=VERSION_EXISTS)
    previous = artifact.versions[-1].version if artifact.versions else None
    version = Version(version=number, experiment_key=experiment.key, tags=list(fields["versionTags"] or []), metadata=fields["versionMetadata"])
    artifact.versions.append(version)
    artifact.point(fields["alias"] or [], version)
    state.artifacts[path] = artifact
    return Reply.of({"artifactId": artifact.id, "artifactVersionId": version.id, "currentVersion": number, "previousVersion": previous})


@route("POST", f"{REST}write/artifacts/state")
def close(state: State, request: Request) -> Reply:
    """
    All files are there, or one failed; then the version never changes again.
    """
    artifact, version = state.version_by_id(request.fields["artifactVersionId"])
    experiment = state.experiment(request.fields["experimentKey"])
    if version.state == "CLOSED" and request.fields["state"] != "CLOSED":
        raise Refused(f"{artifact.label(version)} is closed", code=IMMUTABLE)
    version.state = request.fields["state"]
    if version.state == "CLOSED":
        artifact.point(["Latest"], version)
        if artifact.label(version) not in experiment.outputs:
            experiment.outputs.append(artifact.label(version))
    return DONE


@route("POST", f"{CLIENT}rest/v2/write/artifact/assets/remote/batch")
def add_remote(state: State, request: Request) -> Reply:
    """
    Files that lie elsewhere.
    """
    for fields in request.fields["remoteArtifactAssetRequests"]:
        _, version = state.version_by_id(fields["artifactVersionId"])
        if version.state == "CLOSED":
            raise Refused(f"version {version.version} is closed", code=IMMUTABLE)
        metadata = json.loads(fields["metadata"]) if fields.get("metadata") else None
        told = dict(id=fields["assetId"], name=fields["fileName"], type=fields.get("type") or "asset", link=fields["link"])
        version.assets.append(Asset(**told, metadata=metadata))
    return DONE


@route("POST", f"{REST}write/artifacts/version/labels")
def relabel(state: State, request: Request) -> Reply:
    """
    Other aliases, tags or metadata for a version; what is not told stays.
    """
    fields = request.fields
    artifact, version = state.version_by_id(fields["artifactVersionId"])
    if fields["alias"] is not None:
        version.aliases = []
        artifact.point(fields["alias"], version)
    version.tags = version.tags if fields["versionTags"] is None else fields["versionTags"]
    version.metadata = fields["versionMetadata"] or version.metadata
    return DONE


@route("POST", f"{REST}write/artifacts/details")
def retag(state: State, request: Request) -> Reply:
    """
    Other tags for the artifact.
    """
    artifact = asked_for(state, request.fields)
    artifact.tags = artifact.tags if request.fields["tags"] is None else request.fields["tags"]
    return DONE


@route("GET", f"{REST}artifacts/version")
def tell_version(state: State, request: Request) -> Reply:
    """
    One version; an experiment that says it consumes it is remembered.
    """
    artifact = asked_for(state, request.query)
    version = version_of(artifact, request.query)
    consumer = request.query.get("consumerExperimentKey")
    if consumer:
        inputs = state.experiment(consumer).inputs
        inputs += [artifact.label(version)] if artifact.label(version) not in inputs else []
    return Reply.of(described(state, artifact, version))


def described(state: State, artifact: Artifact, version: Version) -> dict[str, Any]:
    """
    A version with its artifact.
    """
    return {
        "artifact": {
            "artifactId": artifact.id,
            "artifactName": artifact.name,
            "artifactType": artifact.type,
            "tags": artifact.tags,
            "workspaceName": artifact.workspace,
        },
        "artifactVersionId": version.id,
        "artifactVersion": version.version,
        "alias": version.aliases,
        "tags": version.tags,
        "metadata": version.metadata,
        "sizeInBytes": version.size_bytes,
        "state": version.state,
        "experimentKey": version.experiment_key,
    }


@route("GET", f"{REST}artifacts/version/files")
def list_files(state: State, request: Request) -> Reply:
    """
    The files of a version, under their logical paths.
    """
    artifact = asked_for(state, request.query)
    version = version_of(artifact, request.query)
    files = [
        {
            "artifactId": artifact.id,
            "artifactVersionId": version.id,
            "assetId": asset.id,
            "fileName": asset.name,
            "fileSize": asset.size_bytes,
            "link": asset.link,
            "remote": asset.link is not None,
            "dir": None,
            "type": asset.type,
            "metadata": None if asset.metadata is None else json.dumps(asset.metadata),
        }
        for asset in version.assets
    ]
    return Reply.of({"files": files})


def detailed(artifact: Artifact) -> dict[str, Any]:
    """
    An artifact with all its versions.
    """
    versions = [
        {
            "artifactVersionId": version.id,
            "version": version.version,
            "owner": artifact.workspace,
            "metadata": version.metadata,
            "createdFrom": version.experiment_key,
            "sizeInBytes": version.size_bytes,
            "state": version.state,
            "added": version.added_ms,
            "alias": version.aliases,
            "tags": version.tags,
        }
        for version in artifact.versions
    ]
    return {
        "artifactId": artifact.id,
        "project": "general",
        "type": artifact.type,
        "name": artifact.name,
        "description": None,
        "latestVersion": versions[-1]["version"] if versions else None,
        "tags": artifact.tags,
        "isPublic": False,
        "emoji": None,
        "sizeInBytes": sum(version.size_bytes for version in artifact.versions),
        "versions": versions,
    }


@route("GET", f"{REST}artifacts/get")
def tell_artifact(state: State, request: Request) -> Reply:
    """
    One artifact.
    """
    return Reply.of(detailed(asked_for(state, request.query)))


@route("GET", f"{REST}artifacts/get-all")
def list_artifacts(state: State, request: Request) -> Reply:
    """
    A workspace's, of one type or all.
    """
    kind = request.query.get("type")
    found = [artifact for artifact in state.artifacts.values() if artifact.workspace == request.query["workspace"]]
    return Reply.of({"artifacts": [detailed(artifact) for artifact in found if kind in (None, artifact.type)]})


@route("GET", f"{REST}get/artifacts")
def tell_lineage(state: State, request: Request) -> Reply:
    """
    What an experiment consumed and made.
    """
    experiment = state.experiment(request.query.get("experimentKey"))
    direction = request.query.get("filter", "all")
    told = {}
    for name, labels in (("input", experiment.inputs), ("output", experiment.outputs)):
        if direction in ("all", name):
            told[name] = [described(state, artifact, version) for label in labels for artifact, version in [state.version_by_label(label)]]
    return Reply.of({"artifacts": told})
