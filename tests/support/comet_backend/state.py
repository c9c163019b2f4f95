"""What the backend holds: experiments, their files, and artifacts in versions."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.comet_backend.wire import UNKNOWN_ARTIFACT, UNKNOWN_EXPERIMENT, Refused


def now_ms() -> int:
    """
    Milliseconds since 1970.
    """
    return int(time.time() * 1000)


def text_of(value: Any) -> str:
    """
    A value as a reader gets it back: text as it is, the rest as JSON.
    """
    return value if isinstance(value, str) else json.dumps(value)


class Logged(NamedTuple):
    """
    The value that a parameter or an other has now.
    """

    value: str
    step: int | None
    timestamp_ms: int


class Point(NamedTuple):
    """
    One value of a metric.
    """

    name: str
    value: Any
    step: int | None
    epoch: int | None
    context: str | None
    timestamp_ms: int


@dataclass(kw_only=True)
class Asset:
    """
    A file of an experiment or of an artifact's version.

    Attributes:
        link: Where a remote file lies; None when its content is here.
        claimed_bytes: The size that listings tell in place of the real one.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    name: str
    type: str = "asset"
    step: int | None = None
    context: str | None = None
    metadata: dict[str, Any] | None = None
    content: bytes = field(default=b"", repr=False)
    link: str | None = None
    claimed_bytes: int | None = None
    created_ms: int = field(default_factory=now_ms)

    @property
    def size_bytes(self) -> int:
        """
        As listings tell it.
        """
        return len(self.content) if self.claimed_bytes is None else self.claimed_bytes

    @property
    def sha256(self) -> str:
        """
        Of the content.
        """
        return hashlib.sha256(self.content).hexdigest()


@dataclass(kw_only=True)
class Experiment:
    """
    All that was sent for one key.

    Attributes:
        offline: It came as an archive.
        inputs: Artifact versions it consumed, as "workspace/name:version"; `outputs` those it made.
        system: Whatever was told of machine and process.
    """

    key: str
    name: str
    workspace: str
    project: str
    offline: bool = False
    running: bool = True
    crashed: bool = False
    archived: bool = False
    started_ms: int = field(default_factory=now_ms)
    ended_ms: int | None = None
    logged_parameters: dict[str, Logged] = field(default_factory=dict)
    logged_others: dict[str, Logged] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    images: list[Asset] = field(default_factory=list)
    assets: list[Asset] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    html: str = ""
    file_path: str | None = None
    output: list[str] = field(default_factory=list)
    system: dict[str, Any] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    git_patch: bytes | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """
        Values as read back.
        """
        return {name: logged.value for name, logged in self.logged_parameters.items()}

    @property
    def others(self) -> dict[str, str]:
        """
        Values as read back.
        """
        return {name: logged.value for name, logged in self.logged_others.items()}

    @property
    def metrics(self) -> list[tuple[str, Any, int | None]]:
        """
        Every point that came, in order, as sent: name, value, step.
        """
        return [(point.name, point.value, point.step) for point in self.points]


@dataclass(kw_only=True)
class Version:
    """
    One version of an artifact; only a CLOSED one can be consumed, and none of its files changes any more.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    version: str
    experiment_key: str
    aliases: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    metadata: str | None = None
    state: str = "OPEN"
    assets: list[Asset] = field(default_factory=list)
    added_ms: int = field(default_factory=now_ms)

    @property
    def size_bytes(self) -> int:
        """
        As listings tell it.
        """
        return sum(asset.size_bytes for asset in self.assets)


@dataclass(kw_only=True)
class Artifact:
    """
    A name with versions, oldest first.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    workspace: str
    name: str
    type: str = "dataset"
    tags: list[str] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

    def label(self, version: Version) -> str:
        """
        The version as people write it.
        """
        return f"{self.workspace}/{self.name}:{version.version}"

    def point(self, aliases: Sequence[str], version: Version) -> None:
        """
        Let the aliases mean this version and no other.
        """
        for other in self.versions:
            other.aliases = [alias for alias in other.aliases if alias not in aliases]
        version.aliases += [alias for alias in aliases if alias not in version.aliases]


@dataclass(kw_only=True, repr=False)
class State:
    """
    Everything there is. `lock` is held while a request changes or reads it.

    Attributes:
        workspaces: Those that exist; the first is the account's own.
        artifacts: By "workspace/name".
        metadata_as_text: Listings give a file's metadata as JSON text, else as an object; the SDK's own reading expects text.
    """

    api_key: str = "loopback0key0loopback0key"
    workspaces: list[str] = field(default_factory=lambda: ["lab"])
    experiments: dict[str, Experiment] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    metadata_as_text: bool = True
    lock: Any = field(default_factory=threading.RLock)
    url: str = ""

    def experiment(self, key: str | None) -> Experiment:
        """
        The experiment of a key; no such experiment, no such answer.
        """
        if key not in self.experiments:
            raise Refused(f"no experiment {key}", code=UNKNOWN_EXPERIMENT)
        return self.experiments[key]

    def new_experiment(self, key: str, *, workspace: str | None, project: str | None, offline: bool = False) -> Experiment:
        """
        An experiment under that key, in the account's own workspace and the project "general" unless told.
        """
        name = f"unnamed_{len(self.experiments) + 1}"
        experiment = Experiment(key=key, name=name, workspace=workspace or self.workspaces[0], project=project or "general", offline=offline)
        self.experiments[key] = experiment
        return experiment

    def version_by_id(self, id: str) -> tuple[Artifact, Version]:
        """
        An artifact and its version of that id.
        """
        return self._version(lambda _, version: version.id == id, id)

    def version_by_label(self, label: str) -> tuple[Artifact, Version]:
        """
        An artifact and its version, from "workspace/name:version".
        """
        return self._version(lambda artifact, version: artifact.label(version) == label, label)

    def _version(self, wanted: Callable[[Artifact, Version], bool], what: str) -> tuple[Artifact, Version]:
        for artifact in self.artifacts.values():
            for version in artifact.versions:
                if wanted(artifact, version):
                    return artifact, version
        raise Refused(f"no artifact version {what}", code=UNKNOWN_ARTIFACT)

    def add_artifact(
        self, label: str, files: Mapping[str, bytes], *, aliases: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> Version:
        """
        A closed version as if somebody had logged it: "workspace/name:version" and content by logical path.
        """
        path, _, number = label.partition(":")
        workspace, _, name = path.partition("/")
        with self.lock:
            artifact = self.artifacts.setdefault(path, Artifact(workspace=workspace, name=name))
            assets = [Asset(name=path, content=content) for path, content in files.items()]
            text = None if metadata is None else json.dumps(metadata)
            version = Version(version=number, experiment_key="0" * 32, metadata=text, state="CLOSED", assets=assets)
            artifact.versions.append(version)
            artifact.point([*aliases, "Latest"], version)
        return version
