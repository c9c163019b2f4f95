"""All that is looked at, one line a part: who looks, in which process, and how long it may say nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a part is looked at.

    Attributes:
        look: Who does it, `module:function`. It is called with the checkpoint that was given, or None, and yields findings.
        process: Parts of one process are looked at in it one after the other. A library that crashes or hangs takes nothing else along.
        needs: Parts without which there is nothing to be looked at.
        patience_s: How many seconds it may be silent.
        of_checkpoint: Whether it is looked at only where a checkpoint is given.
        is_remote: Whether it waits for a server, and leaves the machine to others meanwhile.
    """

    look: str
    process: str
    needs: tuple[str, ...] = ()
    patience_s: float = 60.0
    of_checkpoint: bool = False
    is_remote: bool = False


LAST = "models"
"""The process that is started when all others have ended that are not remote: what it measures takes all of the machine."""

CHECKS: dict[str, Check] = {
    "system": Check(look="sdxl_lab.doctor.machine:system", process="machine"),
    "memory": Check(look="sdxl_lab.doctor.machine:memory", process="machine"),
    "disk": Check(look="sdxl_lab.doctor.disk:disk", process="disk"),
    "requirements": Check(look="sdxl_lab.doctor.libraries:requirements", process="libraries"),
    "constraints": Check(look="sdxl_lab.doctor.libraries:constraints", process="libraries"),
    "opencv": Check(look="sdxl_lab.doctor.libraries:opencv", process="opencv"),
    "notebooks": Check(look="sdxl_lab.doctor.libraries:notebooks", process="notebooks", patience_s=120.0),
    "hub": Check(look="sdxl_lab.doctor.network:hub", process="hub", is_remote=True),
    "comet": Check(look="sdxl_lab.doctor.network:comet", process="comet", patience_s=90.0, is_remote=True),
    "checkpoint": Check(look="sdxl_lab.doctor.models:files", process="checkpoint", patience_s=600.0, of_checkpoint=True),
    "torch": Check(look="sdxl_lab.doctor.models:torch", process=LAST, patience_s=180.0),
    "device": Check(look="sdxl_lab.doctor.models:device", process=LAST, needs=("torch",), patience_s=120.0),
    "sdpa": Check(look="sdxl_lab.doctor.models:sdpa", process=LAST, needs=("torch", "device"), patience_s=120.0),
    "diffusers": Check(look="sdxl_lab.doctor.models:diffusers", process=LAST, needs=("torch",), patience_s=180.0),
    "weights": Check(
        look="sdxl_lab.doctor.pictures:weights",
        process=LAST,
        needs=("torch", "device", "diffusers", "checkpoint"),
        patience_s=600.0,
        of_checkpoint=True,
    ),
    "pictures": Check(look="sdxl_lab.doctor.pictures:pictures", process=LAST, needs=("weights",), patience_s=600.0, of_checkpoint=True),
    "equality": Check(look="sdxl_lab.doctor.pictures:equality", process=LAST, needs=("weights",), patience_s=600.0, of_checkpoint=True),
    "cost": Check(look="sdxl_lab.doctor.pictures:cost", process=LAST, needs=("weights",), patience_s=600.0, of_checkpoint=True),
}
"""By what the part is called, in the order of the page."""
