"""What a running experiment sends of itself, and an archive after it."""

from __future__ import annotations

import hashlib
import math
import uuid
from typing import Any

from tests.support.comet_backend.state import Experiment, Logged, Point, State, now_ms, text_of
from tests.support.comet_backend.wire import CLIENT, EXPERIMENT_EXISTS, REST, UNKNOWN_WORKSPACE, Refused, Reply, Request, route

IMAGE_LINKS = {"cometWebImageUrl": "api/image/download", "cometRestApiImageUrl": "api/rest/v2/image/get-image"}
ASSET_LINKS = {"cometWebAssetUrl": "api/asset/download", "cometRestApiAssetUrl": "api/rest/v2/experiment/asset/get-asset"}
DONE = Reply.of({"msg": "ok"})


def project_id(experiment: Experiment) -> str:
    """
    The same for all of a project.
    """
    return hashlib.md5(f"{experiment.workspace}/{experiment.project}".encode()).hexdigest()


def handshake(state: State, experiment: Experiment) -> Reply:
    """
    What an experiment needs to know before it sends anything; sizes in MB, 0 for the SDK's own limits.
    """
    experiment.running = True
    return Reply.of(
        {
            "runId": uuid.uuid4().hex,
            "project_id": project_id(experiment),
            "focusUrl": f"{state.url}{experiment.workspace}/{experiment.project}/",
            "name": experiment.name,
            "lastOffset": 0,
            "githubEnabled": False,
            "featureToggles": [],
            "upload_file_size_limit_in_mb": 0,
            "uploadVideoMaxSizeMB": 0,
            "asset_upload_file_size_limit_in_mb": 0,
            **{name: state.url + path for name, path in (IMAGE_LINKS | ASSET_LINKS).items()},
        }
    )


@route("GET", f"{CLIENT}isAlive/ver")
def tell_version(state: State, request: Request) -> Reply:
    """
    Newer than every feature that the SDK asks for.
    """
    return Reply.of({"version": "99.0.0"})


@route("GET", f"{CLIENT}health/ping")
def pong(state: State, request: Request) -> Reply:
    """
    Alive.
    """
    return DONE


@route("POST", f"{CLIENT}logger/add/run")
def add_run(state: State, request: Request) -> Reply:
    """
    A new experiment under a key that nobody has, unless an old one would do too.
    """
    key, workspace = request.fields["experimentKey"], request.fields["teamName"]
    if workspace is not None and workspace not in state.workspaces:
        raise Refused(f"no workspace {workspace}", code=UNKNOWN_WORKSPACE)
    if key not in state.experiments:
        offline = bool(request.fields["offline"])
        state.new_experiment(key, workspace=workspace, project=request.fields["projectName"], offline=offline)
    elif not request.fields["getOrCreateEnabled"]:
        raise Refused(f"experiment {key} exists", code=EXPERIMENT_EXISTS)
    return handshake(state, state.experiments[key])


@route("POST", f"{CLIENT}logger/get/run")
def get_run(state: State, request: Request) -> Reply:
    """
    The old experiment, to be continued.
    """
    return handshake(state, state.experiment(request.fields["previousExperiment"]))


@route("POST", f"{CLIENT}asset/3d-limits")
def tell_limits(state: State, request: Request) -> Reply:
    """
    Points and boxes of a cloud.
    """
    return Reply.of({"maxPoints": 1_000_000, "maxBoxes": 1_000})


@route("POST", f"{CLIENT}status-report/update")
def beat(state: State, request: Request) -> Reply:
    """
    It lives, or it has ended.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    experiment.running = bool(request.fields["is_alive"])
    experiment.ended_ms = None if experiment.running else now_ms()
    intervals = ("is_alive_beat_duration_millis", "gpu_monitor_interval_millis", "cpu_monitor_interval_millis")
    return Reply.of(dict.fromkeys(intervals, 10_000) | {"parameter_update_interval_millis": 1_000, "pending_rpcs": False})


@route("POST", f"{CLIENT}status-report/offline-metadata", f"{REST}write/experiment/set-start-end-time")
def set_times(state: State, request: Request) -> Reply:
    """
    When it really ran.
    """
    fields = request.fields
    experiment = state.experiment(fields["experimentKey"])
    experiment.started_ms = fields.get("startTimestamp") or fields.get("startTimeMillis") or experiment.started_ms
    experiment.ended_ms = fields.get("endTimestamp") or fields.get("endTimeMillis") or experiment.ended_ms
    return DONE


@route("POST", f"{REST}write/experiment/update-status")
def set_state(state: State, request: Request) -> Reply:
    """
    Running, finished or crashed.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    experiment.running, experiment.crashed = bool(request.fields["isAlive"]), bool(request.fields["hasCrashed"])
    return DONE


@route("POST", f"{CLIENT}notification/experiment")
def notify(state: State, request: Request) -> Reply:
    """
    Somebody would get a mail.
    """
    state.experiment(request.fields["experiment_key"])
    return DONE


@route("POST", f"{REST}write/experiment/create")
def create(state: State, request: Request) -> Reply:
    """
    An experiment made through the API, its key drawn here.
    """
    fields = request.fields
    experiment = state.new_experiment(uuid.uuid4().hex, workspace=fields["workspaceName"], project=fields["projectName"])
    experiment.name = fields.get("experimentName") or experiment.name
    place = {"workspaceName": experiment.workspace, "projectName": experiment.project}
    link = f"{state.url}{experiment.workspace}/{experiment.project}/{experiment.key}"
    return Reply.of({"experimentKey": experiment.key, "link": link} | place)


def add_parameter(experiment: Experiment, fields: dict[str, Any]) -> None:
    """
    The last value counts.
    """
    logged = Logged(text_of(fields["parameterValue"]), fields.get("step"), fields.get("timestamp") or now_ms())
    experiment.logged_parameters[fields["parameterName"]] = logged


def add_point(experiment: Experiment, fields: dict[str, Any]) -> None:
    """
    Every value counts; numbers that JSON lacks come as text or as Python writes them.
    """
    value = fields["metricValue"]
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    place = (fields.get("step"), fields.get("epoch"), fields.get("context"), fields.get("timestamp") or now_ms())
    experiment.points.append(Point(fields["metricName"], value, *place))


@route("POST", f"{CLIENT}batch/logger/experiment/parameter")
def add_parameters(state: State, request: Request) -> Reply:
    """
    Several at once.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    for value in request.fields["values"]:
        add_parameter(experiment, value)
    return DONE


@route("POST", f"{CLIENT}batch/logger/experiment/metric")
def add_points(state: State, request: Request) -> Reply:
    """
    Several at once.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    for value in request.fields["values"]:
        add_point(experiment, value)
    return DONE


@route("POST", f"{REST}write/experiment/parameter")
def log_parameter(state: State, request: Request) -> Reply:
    """
    One, through the API.
    """
    add_parameter(state.experiment(request.fields["experimentKey"]), request.fields)
    return DONE


@route("POST", f"{REST}write/experiment/metric")
def log_metric(state: State, request: Request) -> Reply:
    """
    One, through the API.
    """
    add_point(state.experiment(request.fields["experimentKey"]), request.fields)
    return DONE


@route("POST", f"{REST}write/experiment/metric/delete")
def delete_metric(state: State, request: Request) -> Reply:
    """
    All its points.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    experiment.points[:] = [point for point in experiment.points if point.name != request.fields["metricName"]]
    return DONE


@route("POST", f"{REST}write/experiment/parameter/delete", f"{REST}write/experiments/parameters/delete")
def delete_parameters(state: State, request: Request) -> Reply:
    """
    One, or a list.
    """
    for fields in request.fields.get("", [request.fields]):
        state.experiment(fields["experimentKey"]).logged_parameters.pop(fields["parameterName"], None)
    return DONE


@route("POST", f"{REST}write/experiment/log-other")
def log_other(state: State, request: Request) -> Reply:
    """
    The last value counts; the one called Name is the experiment's own.
    """
    fields = request.fields
    experiment = state.experiment(fields["experimentKey"])
    experiment.logged_others[fields["key"]] = Logged(text_of(fields["value"]), None, fields.get("timestamp") or now_ms())
    if fields["key"] == "Name":
        experiment.name = text_of(fields["value"])
    return DONE


@route("POST", f"{CLIENT}tags/add-tags-to-experiment", f"{REST}write/experiment/tags")
def add_tags(state: State, request: Request) -> Reply:
    """
    More tags.
    """
    state.experiment(request.fields["experimentKey"]).tags.update(request.fields["addedTags"])
    return DONE


@route("POST", f"{REST}write/experiment/tags/delete")
def delete_tags(state: State, request: Request) -> Reply:
    """
    Fewer tags.
    """
    state.experiment(request.fields["experimentKey"]).tags.difference_update(request.fields["tags"])
    return DONE


@route("POST", f"{REST}write/experiment/html")
def log_html(state: State, request: Request) -> Reply:
    """
    Appended, or in place of what was there.
    """
    experiment = state.experiment(request.fields["experimentKey"])
    experiment.html = request.fields["html"] if request.fields["override"] else experiment.html + request.fields["html"]
    return DONE


@route("POST", f"{REST}write/experiment/file-path")
def log_file_path(state: State, request: Request) -> Reply:
    """
    The script that ran.
    """
    state.experiment(request.fields["experimentKey"]).file_path = request.fields["filePath"]
    return DONE


@route("POST", f"{REST}write/experiment/git/metadata")
def log_git(state: State, request: Request) -> Reply:
    """
    Commit, branch, remote, author.
    """
    state.experiment(request.fields["experimentKey"]).git = {name: value for name, value in request.fields.items() if name != "experimentKey"}
    return DONE


@route("POST", f"{CLIENT}rest/v2/write/experiment/system-details", f"{REST}write/experiment/cloud-details")
def log_system(state: State, request: Request) -> Reply:
    """
    Machine and process.
    """
    fields = {name: value for name, value in request.fields.items() if name != "experimentKey"}
    state.experiment(request.fields["experimentKey"]).system |= fields
    return DONE


@route("PUT", f"{REST}write/experiment/dependencies")
def log_dependencies(state: State, request: Request) -> Reply:
    """
    Other things that are told of a process.
    """
    state.experiment(request.fields["experimentKey"]).system.setdefault("dependencies", []).extend(request.fields["logDependencies"])
    return DONE


@route("POST", f"{CLIENT}rest/v2/write/experiment/output")
def log_output(state: State, request: Request) -> Reply:
    """
    Lines of stdout and stderr.
    """
    state.experiment(request.fields["experimentKey"]).output += [line["output"] for line in request.fields["outputLines"]]
    return DONE


@route("GET", f"{REST}write/experiment/set-status")
def keep_alive(state: State, request: Request) -> Reply:
    """
    The API's own heartbeat.
    """
    state.experiment(request.query.get("experimentKey"))
    return Reply.of({"isAliveBeatDurationMillis": 10_000, "gpuMonitorIntervalMillis": 60_000, "cpuMonitorIntervalMillis": 68_000})


@route("GET", f"{REST}write/experiment/archive", f"{REST}write/experiment/restore")
def archive(state: State, request: Request) -> Reply:
    """
    Put away, or back.
    """
    state.experiment(request.query.get("experimentKey")).archived = request.path.endswith("archive")
    return DONE


@route("GET", f"{REST}write/experiment/delete")
def delete(state: State, request: Request) -> Reply:
    """
    Gone for good.
    """
    del state.experiments[state.experiment(request.query.get("experimentKey")).key]
    return DONE
