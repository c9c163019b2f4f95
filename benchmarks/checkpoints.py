"""What a study of three checkpoints costs: `sdxl-lab sweep` against a script by hand with diffusers and compel, from the shell to fifteen pictures.

Use: python benchmarks/checkpoints.py [--pairs 5] [--steps 25]      (alternating pairs; the styles of `python -m sdxl_lab.pocket.styles` must be made)

Both load the same files, weigh the same word, and lead away from the same embedding, in Euler a, on one thread; tracking is off, and the lab keeps
records, a report and a sheet besides. Generation alone is what either says that its pictures took, texts and decoding included. Processor time
is that of all processes of a side, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.families import Made
from sdxl_lab.families.pocket import POCKET, WEIGHTS
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.settings.arguments import read_file, written
from sdxl_lab.settings.hyperparams import replace

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))
SWEEP = Path(__file__).parents[1] / "notebooks" / "checkpoints.yaml"
STUDY = read_file(SWEEP)
SEEDS = (1, 2, 3, 4, 5)

SCRIPT = """
import json, sys, time
import torch
from compel import CompelForSDXL, DiffusersTextualInversionManager
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline
from safetensors.torch import load_file
from transformers import CLIPTextModelWithProjection

asked = json.loads(sys.argv[1])
torch.set_num_threads(1)
vectors = load_file(asked["embedding"])
seconds = []
for name, path in asked["checkpoints"].items():
    if path == asked["base"]:
        pipeline = StableDiffusionXLPipeline.from_pretrained(path, dtype=torch.float32, add_watermarker=False)
    else:
        # Of two encoders of one width diffusers reads the first for the second too; a fine-tune of the UNet has the base's own.
        parts = {"text_encoder_2": CLIPTextModelWithProjection.from_pretrained(asked["base"], subfolder="text_encoder_2", dtype=torch.float32)}
        if name in asked["without_vae"]:
            parts["vae"] = AutoencoderKL.from_pretrained(asked["base"], subfolder="vae", dtype=torch.float32)
        pipeline = StableDiffusionXLPipeline.from_single_file(path, config=asked["base"], dtype=torch.float32, add_watermarker=False, **parts)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
    for key, part in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = getattr(pipeline, f"text_encoder{part}"), getattr(pipeline, f"tokenizer{part}")
        pipeline.load_textual_inversion(vectors[key], token=asked["token"], text_encoder=encoder, tokenizer=tokenizer)
    compel = CompelForSDXL(pipeline, textual_inversion_manager=DiffusersTextualInversionManager(pipeline))
    for seed in asked["seeds"]:
        began = time.perf_counter()
        said = compel(asked["prompt"], negative_prompt=asked["negative_prompt"])
        picture = pipeline(
            prompt_embeds=said.embeds, pooled_prompt_embeds=said.pooled_embeds,
            negative_prompt_embeds=said.negative_embeds, negative_pooled_prompt_embeds=said.negative_pooled_embeds,
            num_inference_steps=asked["steps"], guidance_scale=asked["guidance_scale"], width=128, height=128,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        seconds.append(time.perf_counter() - began)
        picture.save(f"{asked['folder']}/{name}-{seed}.png")
print(json.dumps(seconds))
"""
"""What somebody writes who has no lab: it imports nothing of it."""


def by_hand(folder: Path, steps: int) -> tuple[float, float]:
    """Make the study by the script: its wall time, and that of its pictures, in seconds."""
    asked = STUDY["parameters"]["hyperparameters"]
    [(token, embedding)] = asked["embeddings"].items()
    places = {name: str(place.file if isinstance(place, Made) else WEIGHTS / "base") for name, place in POCKET.names.items()}
    told = {
        "checkpoints": {name: places[name] for name in STUDY["grid"]["checkpoint"]},
        "without_vae": ["pocket-paper"],
        "base": str(WEIGHTS / "base"),
        "embedding": str(WEIGHTS.parent / "embeddings" / embedding["file"]),
        "token": token,
        "prompt": asked["prompt"],
        "negative_prompt": asked["negative_prompt"],
        "guidance_scale": asked["denoising"]["guidance_scale"],
        "steps": steps,
        "seeds": SEEDS,
        "folder": str(folder),
    }
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(told)], check=True, capture_output=True, text=True)
    return time.perf_counter() - began, sum(json.loads(ended.stdout.splitlines()[-1]))


def by_the_lab(folder: Path, steps: int) -> tuple[float, float]:
    """Make the study by the lab's command: its wall time, and that of its pictures, in seconds."""
    parameters = replace(STUDY["parameters"], "hyperparameters.denoising.num_inference_steps", steps)
    parameters |= {"tracking": "off", "runs_folder": str(folder / "runs")}
    file = folder / SWEEP.name
    file.write_text(written(STUDY | {"parameters": parameters}))
    began = time.perf_counter()
    subprocess.run([COMMAND, "sweep", str(file)], check=True, capture_output=True, cwd=folder)
    seconds = time.perf_counter() - began
    made = [picture for run in (folder / "runs").glob("*/spec.json") for picture in RunFolder(run.parent).pictures()]
    for picture in made:
        run = RunFolder(picture.image.parents[2])
        (folder / f"{run.resolved.checkpoint.name}-{picture.seed}.png").write_bytes(picture.image.read_bytes())
    return seconds, sum(picture.seconds for picture in made)


def spent() -> float:
    """Processor seconds of all processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def alike(ours: Path, theirs: Path) -> bool:
    """Whether both made the same fifteen pictures, bit for bit."""
    names = {path.name for path in theirs.glob("*.png")}
    kept = {path.name for path in ours.glob("*.png")}
    pixels = [(np.asarray(Image.open(ours / name)), np.asarray(Image.open(theirs / name))) for name in names & kept]
    return names == kept and len(names) == 15 and all(np.array_equal(left, right) for left, right in pixels)


def main() -> None:
    """Measure, and print the medians of the pairs' ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, help="steps of a picture (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    whole, computing, alone, equal = [], [], [], True
    for pair in range(arguments.pairs):
        times = {}
        with tempfile.TemporaryDirectory() as scratch:
            for side in (by_hand, by_the_lab) if pair % 2 else (by_the_lab, by_hand):
                folder = Path(scratch) / side.__name__
                folder.mkdir()
                before = spent()
                seconds, pictures = side(folder, arguments.steps)
                times[side] = seconds, spent() - before, pictures
            equal = equal and alike(Path(scratch) / by_the_lab.__name__, Path(scratch) / by_hand.__name__)
        for index, kind in enumerate((whole, computing, alone)):
            kind.append([times[side][index] for side in (by_the_lab, by_hand)])
    print(f"15 pictures, {'equal bit for bit' if equal else 'DIFFERENT'}")
    for what, pairs in (("from the shell to all pictures", whole), ("processor time of that", computing), ("the pictures alone", alone)):
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{what}: lab {ours:.2f} s, script {theirs:.2f} s, median of {len(pairs)} ratios {statistics.median(a / b for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
