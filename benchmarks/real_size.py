"""The notebook on a checkpoint of SDXL's own size, on a CPU in bfloat16: its memory, and its time against the same calls of plain diffusers.

Use: python benchmarks/real_size.py FOLDER [STEPS]      (a pair as diffusers saves it, `base` and `refiner`, say of random weights; 6 steps)

One picture of 256x256 pixels, base and refiner, stock hand-over, so that both sides make the same picture. Without AVX-512 a guided step
takes most of a minute on one core, and twenty with plain diffusers as it comes: here that is given channels-last convolutions, as the lab has.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import psutil
import torch
from overhead import scene
from PIL import Image

SIDE_PX, SEED, PROMPT, HIGH_NOISE_FRAC, LIMIT_BYTES = 256, 7, "a red star on grass", 0.8, 13e9


@dataclass
class Watch:
    """What a process used while it was watched.

    Attributes:
        peak_bytes: The most memory it ever held, the pages of mapped weight files included.
        cpu: (time of day, processor time so far), in seconds, several a second.
    """

    peak_bytes: int = 0
    cpu: list[tuple[float, float]] = field(default_factory=list)

    def cpu_s(self, began: float, ended: float) -> float:
        """Processor time between two times of day."""
        times, used = zip(*self.cpu, strict=True)
        first, last = np.interp([began, ended], times, used)
        return float(last - first)

    def look(self, process: psutil.Process) -> None:
        """Take one sample."""
        status = Path(f"/proc/{process.pid}/status").read_text()
        self.peak_bytes = max(self.peak_bytes, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        times = process.cpu_times()
        self.cpu.append((time.time(), times.user + times.system))


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the one process that this one starts inside the block."""
    watch, ended = Watch(), threading.Event()

    def poll() -> None:
        while not ended.wait(0.2):
            for child in psutil.Process().children():
                try:
                    watch.look(child)
                except (psutil.Error, OSError, IndexError):  # it has just ended
                    continue

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def at_side(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint, by links, whose UNet says that it was made for pictures of 256x256 pixels."""
    for path in checkpoint.resolve().rglob("*"):
        link = folder / path.relative_to(checkpoint.resolve())
        if path.is_file():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    config = folder / "base" / "unet" / "config.json"
    content = json.loads(config.read_text()) | {"sample_size": SIDE_PX // 8}
    config.unlink()
    config.write_text(json.dumps(content))
    return folder


def lab(checkpoint: Path, folder: Path, steps: int) -> dict[str, Any]:
    """The built-in notebook through papermill."""
    from sdxl_lab.kernels.notebooks import BUILT_IN, find
    from sdxl_lab.runs.experiment import execute

    sample = {"name": "disc", "image": "image.png", "mask": "mask.png", "inpaint": {"prompt": PROMPT, "seed": SEED}}
    (folder / "metadata.json").write_text(json.dumps({"samples": [sample]}))
    denoising = {"num_inference_steps": steps, "strength": 1.0, "high_noise_frac": HIGH_NOISE_FRAC, "handover": "stock"}
    compute = {"device": "cpu", "dtype": "bfloat16", "threads": torch.get_num_threads()}
    parameters: dict[str, Any] = dict(name="real-size", dataset=str(folder), checkpoint=str(checkpoint), samples=None, tasks=["inpaint"])
    parameters |= dict(hyperparameters={"denoising": denoising, "compute": compute}, tracking="off", runs_folder=str(folder / "runs"))
    with watching() as watch:
        run = execute(find(BUILT_IN), parameters).folder
    [picture] = run.pictures()
    [cell_s] = [
        cell["metadata"]["papermill"]["duration"]
        for cell in json.loads(run.executed_notebook.read_text())["cells"]
        if "run(resolved" in "".join(cell["source"])
    ]
    made = picture.image.stat().st_mtime
    return {
        "picture": str(picture.image),
        "steps": [picture.base_steps, picture.refiner_steps],
        "load_s": cell_s - picture.seconds,
        "run_s": picture.seconds,
        "cpu_s": watch.cpu_s(made - picture.seconds, made),
        "peak_bytes": watch.peak_bytes,
    }


def plain(checkpoint: Path, folder: Path, steps: int) -> dict[str, Any]:
    """A script that calls diffusers as its documentation does, in a process of its own."""
    command = [sys.executable, __file__, "--plain", str(checkpoint), str(folder), str(steps)]
    with watching() as watch, Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
    if process.returncode:
        raise SystemExit(f"plain diffusers ended with {process.returncode}")
    result = json.loads(lines[-1])
    return result | {"cpu_s": watch.cpu_s(result["began"], result["began"] + result["run_s"]), "peak_bytes": watch.peak_bytes}


def call_diffusers(checkpoint: Path, folder: Path, steps: int) -> None:
    """Two calls, and the decoding in float32; prints what came of them."""
    from diffusers import StableDiffusionXLInpaintPipeline as Pipeline
    from diffusers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    began = time.time()
    base: Any = Pipeline.from_pretrained(checkpoint / "base", dtype=torch.bfloat16, add_watermarker=False)
    shared = {"vae": base.vae, "text_encoder_2": base.text_encoder_2, "tokenizer_2": base.tokenizer_2}
    refiner: Any = Pipeline.from_pretrained(checkpoint / "refiner", dtype=torch.bfloat16, add_watermarker=False, **shared)
    for pipeline in (base, refiner):
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.set_progress_bar_config(disable=True)
    loaded = time.time()
    image, mask = (Image.open(folder / name) for name in ("image.png", "mask.png"))
    call: dict[str, Any] = dict(prompt=PROMPT, mask_image=mask, width=SIDE_PX, height=SIDE_PX, strength=1.0, num_inference_steps=steps)
    call |= dict(guidance_scale=7.5, output_type="latent")
    latents = base(image=image, denoising_end=HIGH_NOISE_FRAC, generator=torch.Generator().manual_seed(SEED), **call).images
    latents = refiner(image=latents, denoising_start=HIGH_NOISE_FRAC, generator=torch.Generator().manual_seed(SEED), **call).images
    with torch.no_grad():
        decoded = base.vae.to(torch.float32).decode(latents.float() / base.vae.config.scaling_factor).sample
    base.image_processor.postprocess(decoded, output_type="pil")[0].save(folder / "plain.png")
    print(json.dumps({"picture": str(folder / "plain.png"), "load_s": loaded - began, "began": loaded, "run_s": time.time() - loaded}))


def main(checkpoint: str, steps: str = "6") -> None:
    """Print memory, times and their ratio, and whether the pictures agree where the mask is white."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image, mask = scene(SIDE_PX)
        image.save(folder / "image.png")
        mask.save(folder / "mask.png")
        small = at_side(Path(checkpoint), folder / "checkpoint")
        sides = {"lab": lab(small, folder, int(steps)), "plain": plain(small, folder, int(steps))}
        inside = np.asarray(mask) > 0
        pictures = [np.asarray(Image.open(side["picture"]).convert("RGB"))[inside].astype(int) for side in sides.values()]
        apart = int(np.abs(pictures[0] - pictures[1]).max())
    for name, side in sides.items():
        print(
            f"{name:5}: run {side['run_s']:.1f} s ({side['cpu_s']:.1f} s of processor time), loading {side['load_s']:.1f} s, "
            f"peak memory {side['peak_bytes'] / 1e9:.2f} GB"
        )
    wall, cpu = (sides["lab"][kind] / sides["plain"][kind] for kind in ("run_s", "cpu_s"))
    base_steps, refiner_steps = sides["lab"]["steps"]
    print(f"{base_steps} steps by the base and {refiner_steps} by the refiner; ratio of wall time {wall:.3f}, of processor time {cpu:.3f}")
    print(f"memory is {'within' if sides['lab']['peak_bytes'] <= LIMIT_BYTES else 'ABOVE'} {LIMIT_BYTES / 1e9:.0f} GB")
    print(f"in the mask the pictures are {'equal' if apart == 0 else f'at most {apart} of 255 apart'}")


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        call_diffusers(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
