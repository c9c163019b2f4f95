"""The libraries: which versions, whether they suit the lab and each other, and those that need something of the system."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sdxl_lab.doctor.findings import Finding, attention, broken, ok, quoted

PACKAGE = "sdxl-lab"

SHOWN = (
    "torch", "diffusers", "transformers", "accelerate", "huggingface_hub", "safetensors", "tokenizers", "numpy", "pillow", "opencv-python",
    "opencv-python-headless", "comet_ml", "papermill", "ipykernel", "jupyterlab", "anywidget", "torchvision", "xformers", "peft",
)  # fmt: skip
"""Named with their versions, where they are installed: what decides a picture, a run, or whether one can be made."""

IN_PLACE_OF = {"opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")}
"""What holds the same modules under another name."""


def requirements(_: str | None) -> Iterator[Finding]:
    """The installed versions, and whether they are within the bounds that the lab and its libraries set."""
    versions = [f"{name} {version}" for name in SHOWN if (version := _version(name))]
    yield ok("libraries", f"{PACKAGE} {_version(PACKAGE) or 'from its folder'}; {', '.join(versions)}")
    if _version(PACKAGE) is None:
        yield attention("bounds", f"unknown, since {PACKAGE} is not installed", "install it with pip, in this environment")
        return
    own, others = _misfits()
    if own:
        wanted = " ".join(f'"{wanted}"' for _, wanted in own)
        yield broken("bounds", f"the lab needs {'; '.join(f'{wanted}, got {got}' for got, wanted in own)}", f"pip install {wanted}")
    elif others:
        yield attention("bounds", "; ".join(others[:6]), "install the lab anew in a fresh environment, and let pip choose")
    else:
        yield ok("bounds", "all libraries are within the bounds that the lab and they themselves set")


def _misfits() -> tuple[list[tuple[str, str]], list[str]]:
    """What of the lab's own requirements is not met, as what is there and what is wanted; and in words what of its libraries'."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    own: list[tuple[str, str]] = []
    others: list[str] = []
    seen, left = {canonicalize_name(PACKAGE)}, [PACKAGE]
    while left:
        name = left.pop()
        for text in metadata.requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = _version(wanted.name)
            if version is None or not wanted.specifier.contains(version, prereleases=True):
                if version is None and any(_version(other) for other in IN_PLACE_OF.get(wanted.name, ())):
                    continue
                shown = f"{wanted.name}{wanted.specifier}"
                if name == PACKAGE:
                    own.append((version or "none", shown))
                else:
                    others.append(f"{name} needs {shown}, got {version or 'none'}")
            if version is not None and (key := canonicalize_name(wanted.name)) not in seen:
                seen.add(key)
                left.append(wanted.name)
    return own, others


def constraints(_: str | None) -> Iterator[Finding]:
    """In a clone of the repository: whether the versions are those that the tests ran with."""
    from packaging.version import Version

    import sdxl_lab

    file = Path(sdxl_lab.__file__).parents[1] / "constraints.txt"
    if not (file.is_file() and (file.parent / "pyproject.toml").is_file()):
        return
    pinned = dict(line.split("==") for line in file.read_text("utf-8").splitlines() if "==" in line and not line.startswith("#"))
    pinned = {name: version.strip() for name, version in pinned.items() if name in SHOWN}
    others = [
        f"{name} {version} (tested: {pinned[name]})"
        for name in pinned
        # A build for CPU or CUDA is the same version.
        if (version := _version(name)) and Version(version).public != Version(pinned[name]).public
    ]
    if others:
        yield attention(
            "constraints", f"not the versions the tests ran with: {', '.join(others)}", "if something is odd: pip install -c constraints.txt ."
        )
    else:
        yield ok("constraints", "the versions that the tests ran with (constraints.txt)")


def opencv(_: str | None) -> Iterator[Finding]:
    """Whether OpenCV can be imported, which needs libraries of the system, and dilates a mask."""
    import numpy as np

    try:
        import cv2
    except ImportError as error:
        is_system = ".so" in str(error)
        yield broken(
            "opencv",
            f"cannot be imported, so that no mask can be used: {quoted(error)}",
            "apt-get install libgl1 libglib2.0-0 (Debian, Ubuntu), dnf install mesa-libGL glib2 (Fedora), or put opencv-python-headless in the place "
            "of opencv-python"
            if is_system
            else "pip install --force-reinstall opencv-python",
        )
        return
    grown = cv2.dilate(np.pad(np.full((1, 1), 255, np.uint8), 2), np.ones((3, 3), np.uint8))
    if int((grown > 0).sum()) == 9:
        yield ok("opencv", f"{cv2.__version__}, imported and dilates a mask")
    else:
        yield broken("opencv", f"{cv2.__version__} dilates a mask wrongly", "pip install --force-reinstall opencv-python")


def notebooks(_: str | None) -> Iterator[Finding]:
    """Whether papermill finds the lab's engine, and a kernel starts and answers."""
    import papermill  # noqa: F401 - that it can be imported

    if not any(entry.name == "warm" for entry in metadata.entry_points(group="papermill.engine")):
        yield attention("papermill", "does not know the engine warm", f"install {PACKAGE} with pip, in this environment")
    else:
        yield ok("papermill", f"{_version('papermill')}, and knows the engine warm")
    from sdxl_lab.kernels.process import Kernel, Wanted

    kernel = Kernel(Wanted(kernel_name="python3", arguments=(), preload=(), config=None, alone=True))
    try:
        kernel.enter(start_timeout=60)
    finally:
        kernel.close(at_once=True)
    yield ok("kernel", "a notebook's kernel starts and answers")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
