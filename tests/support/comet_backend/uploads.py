"""Files that experiments send."""

from __future__ import annotations

import json

from tests.support.comet_backend.state import Asset, State
from tests.support.comet_backend.wire import CLIENT, IMMUTABLE, REST, Refused, Reply, Request, route
from tests.support.comet_backend.writing import DONE

NAMED_HERE = "auto-generated-in-the-backend"
"""What the SDK calls a text; the name it gets is one that Comet's own cometx shows."""


def received(request: Request, *, id: str | None, name: str, type: str) -> Asset:
    """
    The uploaded file.
    """
    parts, told = request.parts, {} if not id else {"id": id}
    metadata = json.loads(parts["metadata"].content) if "metadata" in parts else None
    if "file" not in parts and "link" not in parts:
        raise Refused("the upload has neither a file nor a link")
    content = parts["file"].content if "file" in parts else b""
    link = parts["link"].content.decode() if "link" in parts else None
    place = dict(step=request.step(), context=request.query.get("context"))
    return Asset(**told, name=name, type=type, metadata=metadata, content=content, link=link, **place)


def store(files: list[Asset], asset: Asset, *, overwrite: bool) -> None:
    """
    Add a file: in place of the one with its id, and, if told so, of all with its name.
    """
    files[:] = [other for other in files if other.id != asset.id and not (overwrite and other.name == asset.name)]
    files.append(asset)


@route("POST", f"{CLIENT}visualizations/upload")
def upload_image(state: State, request: Request) -> Reply:
    """
    An image or figure.
    """
    experiment = state.experiment(request.query.get("experimentId"))
    asset = received(request, id=request.query.get("imageId"), name=request.query["figName"], type="image")
    store(experiment.images, asset, overwrite=request.query.get("overwrite") == "True")
    return Reply.of({"imageId": asset.id})


@route("POST", f"{CLIENT}asset/upload")
def upload_asset(state: State, request: Request) -> Reply:
    """
    Any other file, of the experiment or of an artifact's version that it is making.
    """
    experiment = state.experiment(request.query.get("experimentId"))
    query = request.query
    name = f"text-sample-{request.step()}.txt" if query["fileName"] == NAMED_HERE else query["fileName"]
    asset = received(request, id=query.get("assetId"), name=name, type=query.get("type", "asset"))
    files = experiment.assets
    if "artifactVersionId" in query:
        _, version = state.version_by_id(query["artifactVersionId"])
        if version.state == "CLOSED":
            raise Refused(f"version {version.version} is closed", code=IMMUTABLE)
        files = version.assets
    store(files, asset, overwrite=query.get("overwrite") == "True")
    return Reply.of({"assetId": asset.id})


@route("POST", f"{REST}write/experiment/upload-asset")
def log_asset(state: State, request: Request) -> Reply:
    """
    A file through the API, which gets its id here.
    """
    experiment = state.experiment(request.query.get("experimentKey"))
    kind = request.query.get("type", "asset")
    asset = received(request, id=None, name=request.query.get("fileName", "file"), type=kind)
    files = experiment.images if kind == "image" else experiment.assets
    store(files, asset, overwrite=request.query.get("overwrite") == "True")
    return Reply.of({"assetId": asset.id})


@route("GET", f"{REST}write/experiment/asset/delete")
def delete_asset(state: State, request: Request) -> Reply:
    """
    Gone for good.
    """
    experiment, id = state.experiment(request.query.get("experimentKey")), request.query.get("assetId")
    if all(asset.id != id for asset in experiment.images + experiment.assets):
        raise Refused(f"no asset {id}")
    for files in (experiment.images, experiment.assets):
        files[:] = [asset for asset in files if asset.id != id]
    return DONE


@route("POST", f"{CLIENT}git-patch/upload")
def upload_patch(state: State, request: Request) -> Reply:
    """
    What was not committed.
    """
    state.experiment(request.query.get("experimentId")).git_patch = request.parts["file"].content
    return DONE
