"""Kills processes of a sweep at chosen moments, told by Python's own audit events, in whichever of its processes a moment comes.

`install` writes a `sitecustomize.py` that every Python process below an environment runs at its start: the command, its workers and their kernels.
It listens to what files are opened or renamed, and what folders are made and processes started. At the current moment of a list it kills
the victim with SIGKILL, and the next moment becomes current.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SITECUSTOMIZE = """
import json, os, signal, sys, threading, time
from pathlib import Path

FOLDER = Path(os.environ["TRIPWIRE"])
MOMENTS = json.loads((FOLDER / "moments.json").read_text())
ARGUMENTS = sys.orig_argv
KINDS = {"ipykernel_launcher": "kernel", "spawn_main": "worker", "sdxl_lab.comet": "other", "sdxl_lab.tracking": "other", "/sdxl-lab": "command"}
KIND = next((kind for part, kind in KINDS.items() if any(part in argument for argument in ARGUMENTS)), "other")
seen = {}


def parents():
    pid, found = os.getpid(), []
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def kind_of(pid):
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split(chr(0))
    return next((kind for part, kind in KINDS.items() if any(part in argument for argument in arguments)), "other")


def listen(event, args):
    if event not in ("open", "os.mkdir", "os.rename", "subprocess.Popen", "forward"):
        return
    tripped = len(os.listdir(FOLDER / "tripped"))
    if tripped >= len(MOMENTS):
        return
    moment = MOMENTS[tripped]
    if moment["where"] != KIND or moment["event"] != event:
        return
    what = " ".join(map(str, args[1] if event == "subprocess.Popen" else args[:2] if event == "os.rename" else args[:1]))
    writes = event != "open" or (isinstance(args[2], int) and args[2] & os.O_CREAT) or (args[1] or "r")[0] in "wxa"
    if moment["what"] not in what or moment["writes"] != bool(writes):
        return
    seen[tripped] = seen.get(tripped, 0) + 1
    if seen[tripped] < moment["count"]:
        return
    victim = next((pid for pid in parents() if kind_of(pid) == moment["victim"]), None)
    if victim is None:
        return
    try:
        (FOLDER / "tripped" / f"{tripped:02}").mkdir()
    except FileExistsError:
        return
    (FOLDER / "log").open("a").write(f"{moment['name']}: {moment['victim']} {victim}, from {KIND} {os.getpid()}, at {event} {what[-60:]}\\n")
    if moment["delay_s"]:
        threading.Timer(moment["delay_s"], os.kill, (victim, signal.SIGKILL)).start()
    else:
        os.kill(victim, signal.SIGKILL)
        time.sleep(5)  # does not go on before its parent's death reaches it


if KIND != "other":
    sys.addaudithook(listen)
"""

STARTUP = """
def _tell():
    import sys
    from diffusers import UNet2DConditionModel
    forward = UNet2DConditionModel.forward
    def told(*args, **kwargs):
        sys.audit("forward", "UNet")
        return forward(*args, **kwargs)
    UNet2DConditionModel.forward = told
_tell()
"""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When to kill whom.

    Attributes:
        name: For people.
        where: In which kind of process the moment comes: command, worker or kernel.
        event: Python's audit event, or `forward` for a call of a UNet.
        what: Part of what is opened, made, renamed or started.
        writes: Whether a file is opened to be written.
        victim: Which kind of process is killed: that one, or one that it was started by.
        count: At which occurrence in one process.
        delay_s: How long after that the victim is killed; at 0 the process in which the moment comes does not get any further.
    """

    name: str
    where: str
    event: str
    what: str
    victim: str
    writes: bool = True
    count: int = 1
    delay_s: float = 0.0


def install(folder: Path, moments: Sequence[Moment]) -> dict[str, str]:
    """Lay the wires.

    Args:
        folder: An empty folder.
        moments: In the order in which they are waited for.

    Returns:
        The environment to run the command in.
    """
    (folder / "tripped").mkdir(parents=True)
    (folder / "moments.json").write_text(json.dumps([asdict(moment) for moment in moments]))
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "told.py").write_text(STARTUP)
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"TRIPWIRE": str(folder), "PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython")}
