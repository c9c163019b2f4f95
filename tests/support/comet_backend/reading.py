"""What `comet_ml.API` reads back; the fields are those that its documentation shows."""

from __future__ import annotations

import json
from typing import Any

from tests.support.comet_backend.state import Asset, Experiment, Logged, Point, State, now_ms
from tests.support.comet_backend.wire import REST, Refused, Reply, Request, route
from tests.support.comet_backend.writing import project_id


def metadata(experiment: Experiment) -> dict[str, Any]:
    """
    What identifies an experiment.
    """
    ended_ms = experiment.ended_ms or now_ms()
    return {
        "archived": experiment.archived,
        "durationMillis": ended_ms - experiment.started_ms,
        "endTimeMillis": ended_ms,
        "experimentKey": experiment.key,
        "experimentName": experiment.name,
        "fileName": None,
        "filePath": experiment.file_path,
        "hasCrashed": experiment.crashed,
        "optimizationId": None,
        "projectId": project_id(experiment),
        "projectName": experiment.project,
        "running": experiment.running,
        "startTimeMillis": experiment.started_ms,
        "throttle": False,
        "workspaceName": experiment.workspace,
    }


def asked_for(state: State, request: Request) -> Experiment:
    """
    The experiment that the query names.
    """
    return state.experiment(request.query.get("experimentKey"))


@route("GET", f"{REST}account-details")
def tell_account(state: State, request: Request) -> Reply:
    """
    Whose key it is.
    """
    return Reply.of({"userName": state.workspaces[0], "defaultWorkspaceName": state.workspaces[0]})


@route("GET", f"{REST}workspaces")
def list_workspaces(state: State, request: Request) -> Reply:
    """
    All that the account may use.
    """
    return Reply.of({"workspaceNames": state.workspaces})


@route("GET", f"{REST}projects")
def list_projects(state: State, request: Request) -> Reply:
    """
    Of a workspace.
    """
    found = {
        experiment.project: {"projectName": experiment.project, "projectId": project_id(experiment), "workspaceName": experiment.workspace}
        for experiment in state.experiments.values()
        if experiment.workspace == request.query["workspaceName"]
    }
    return Reply.of({"projects": list(found.values())})


@route("GET", f"{REST}experiments")
def list_experiments(state: State, request: Request) -> Reply:
    """
    Of a project.
    """
    archived = request.query.get("archived") == "True"
    place = (request.query.get("workspaceName"), request.query.get("projectName"), archived)
    found = [
        metadata(experiment) for experiment in state.experiments.values() if (experiment.workspace, experiment.project, experiment.archived) == place
    ]
    return Reply.of({"experiments": found})


@route("GET", f"{REST}experiment/metadata")
def tell_metadata(state: State, request: Request) -> Reply:
    """
    Of one experiment.
    """
    return Reply.of(metadata(asked_for(state, request)))


def summary(name: str, values: list[Logged]) -> dict[str, Any]:
    """
    The largest, smallest and last value; as numbers when all are.
    """
    try:
        order = sorted(values, key=lambda logged: float(logged.value))
    except ValueError:
        order = sorted(values, key=lambda logged: logged.value)
    told = {"name": name, "editable": False}
    for suffix, logged in (("Max", order[-1]), ("Min", order[0]), ("Current", values[-1])):
        told |= {f"value{suffix}": logged.value, f"timestamp{suffix}": logged.timestamp_ms, f"step{suffix}": logged.step}
    return told


@route("GET", f"{REST}experiment/parameters")
def list_parameters(state: State, request: Request) -> Reply:
    """
    Nested names as the SDK flattened them.
    """
    return Reply.of({"values": [summary(name, [logged]) for name, logged in asked_for(state, request).logged_parameters.items()]})


@route("GET", f"{REST}experiment/log-other")
def list_others(state: State, request: Request) -> Reply:
    """
    Name among them, once it was given.
    """
    return Reply.of({"values": [summary(name, [logged]) for name, logged in asked_for(state, request).logged_others.items()]})


@route("GET", f"{REST}experiment/metrics/summary")
def summarize_metrics(state: State, request: Request) -> Reply:
    """
    One line a metric.
    """
    values: dict[str, list[Logged]] = {}
    for point in asked_for(state, request).points:
        values.setdefault(point.name, []).append(Logged(str(point.value), point.step, point.timestamp_ms))
    return Reply.of({"values": [summary(name, logged) for name, logged in values.items()]})


def described(point: Point, offset: int) -> dict[str, Any]:
    """
    A point; its value as text.
    """
    told = {"metricName": point.name, "metricValue": str(point.value), "timestamp": point.timestamp_ms, "step": point.step}
    return told | {"epoch": point.epoch, "runContext": point.context, "offset": offset}


@route("GET", f"{REST}experiment/metrics/get-all", f"{REST}experiment/metrics/get-metric")
def list_points(state: State, request: Request) -> Reply:
    """
    Of one metric, or of all.
    """
    name = request.query.get("metricName")
    points = [described(point, offset) for offset, point in enumerate(asked_for(state, request).points) if name in (None, point.name)]
    return Reply.of({"metrics": points})


@route("GET", f"{REST}experiment/tags")
def list_tags(state: State, request: Request) -> Reply:
    """
    In no order that means anything.
    """
    return Reply.of({"tags": sorted(asked_for(state, request).tags)})


@route("GET", f"{REST}experiment/html")
def tell_html(state: State, request: Request) -> Reply:
    """
    What was logged.
    """
    return Reply.of({"html": asked_for(state, request).html})


@route("GET", f"{REST}experiment/output")
def tell_output(state: State, request: Request) -> Reply:
    """
    What was printed.
    """
    return Reply.of({"output": "".join(asked_for(state, request).output)})


@route("GET", f"{REST}experiment/system-details")
def tell_system(state: State, request: Request) -> Reply:
    """
    What was told of machine and process.
    """
    return Reply.of(asked_for(state, request).system)


@route("GET", f"{REST}experiment/git/metadata")
def tell_git(state: State, request: Request) -> Reply:
    """
    What was told of the repository.
    """
    return Reply.of(asked_for(state, request).git)


@route("GET", f"{REST}experiment/git/patch")
def tell_patch(state: State, request: Request) -> Reply:
    """
    What was not committed, if that was sent.
    """
    patch = asked_for(state, request).git_patch
    return Reply.of({"msg": "no patch"}) if patch is None else Reply(content=patch, content_type="application/octet-stream")


def listed(state: State, experiment: Experiment, asset: Asset) -> dict[str, Any]:
    """
    A file as listings show it.
    """
    text = None if asset.metadata is None else json.dumps(asset.metadata)
    address = f"{state.url}api/asset/download?experimentKey={experiment.key}&assetId={asset.id}"
    return {
        "fileName": asset.name,
        "fileSize": asset.size_bytes,
        "runContext": asset.context,
        "step": asset.step,
        "remote": asset.link is not None,
        "link": asset.link or address,
        "createdAt": asset.created_ms,
        "dir": "images" if asset.type == "image" else "assets",
        "canView": asset.type == "image",
        "audio": asset.type == "audio",
        "video": asset.type == "video",
        "histogram": asset.type == "histogram3d",
        "image": asset.type == "image",
        "type": asset.type,
        "metadata": text if state.metadata_as_text else asset.metadata,
        "assetId": asset.id,
        "tags": [],
        "experimentKey": experiment.key,
        "items": [],
        "etag": None,
    }


@route("GET", f"{REST}experiment/asset/list", f"{REST}experiment/asset/get-by-name")
def list_assets(state: State, request: Request) -> Reply:
    """
    Images and other files, of one type or name, or all.
    """
    experiment = asked_for(state, request)
    kind, name = request.query.get("type", "all"), request.query.get("assetName")
    found = [asset for asset in experiment.images + experiment.assets if kind in ("all", asset.type) and name in (None, asset.name)]
    return Reply.of({"assets": [listed(state, experiment, asset) for asset in found]})


@route("GET", f"{REST}experiment/asset/get-asset")
def get_asset(state: State, request: Request) -> Reply:
    """
    The bytes of a file, of an experiment or of an artifact's version.
    """
    query = request.query
    if "artifactVersionId" in query:
        _, version = state.version_by_id(query["artifactVersionId"])
        files = version.assets
    else:
        experiment = asked_for(state, request)
        files = experiment.images + experiment.assets
    for asset in files:
        if asset.id == query.get("assetId"):
            return Reply(content=asset.content, content_type="application/octet-stream")
    raise Refused(f"no asset {query.get('assetId')}", status=404)
