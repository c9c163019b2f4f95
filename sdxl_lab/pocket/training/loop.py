"""A training loop that loses minutes, not hours, when it is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdxl_lab.pocket.training.under_way import step as tell_step
from sdxl_lab.pocket.training.under_way import stopping

SAVE_EVERY_S = 120
EMA_DECAY = 0.995
MEASURED = 5
"""How many steps tell how long one takes."""

Model = TypeVar("Model", bound=torch.nn.Module)


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    name: str,
    build: Callable[[], Model],
    loss: Callable[[Model, int], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    folder: Path,
    ema_decay: float = EMA_DECAY,
) -> Model:
    """Train a model and return the moving average of its weights.

    Model, average, optimizer and step are saved to `folder/name.pt` every two minutes, at the end, and where it is stopped; a later call goes
    on from there. Randomness needs no saving: the weights' beginning and each step have a seed of their own.

    Args:
        name: Name of the stage, as its state is called.
        build: Makes what to train; parameters that need no gradient stay as they are.
        loss: From model and step number to a scalar.
        steps: Steps in all. A finished stage that is given more steps goes on from where it stood.
        learning_rate: Peak of a schedule that rises over the first 100 steps, stays, and falls to nothing over the last 30%.
        folder: Where the training state is kept.
        ema_decay: How much of the moving average each step leaves.

    Raises:
        KeyboardInterrupt: By ctrl-C or SIGTERM, once the step was done and saved.
    """
    torch.manual_seed(0)
    model = build().to(device()).train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    parts = {"model": model, "average": average, "optimizer": optimizer}
    state_file, step = folder / f"{name}.pt", 0
    if state_file.exists():
        state = torch.load(state_file, map_location=device(), weights_only=True)
        step = state["step"]
        for key, part in parts.items():
            part.load_state_dict(state[key])
    began = saved_at = time.monotonic()
    first, shown = step, 0.0
    with stopping() as is_asked_to_stop:
        while step < steps:
            torch.manual_seed(step)
            value = loss(model, step)
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _share_of_peak(step, steps)
            optimizer.step()
            average.update_parameters(model)
            step += 1
            shown = 0.98 * shown + 0.02 * value.item() if shown else value.item()
            a_step_s = (time.monotonic() - began) / (step - first)
            tell_step(f"training, loss {shown:.4f}", step, steps, a_step_s * (steps - step) if step - first >= MEASURED else None)
            is_stopped = is_asked_to_stop()
            if is_stopped or step == steps or time.monotonic() - saved_at > SAVE_EVERY_S:
                _save({key: part.state_dict() for key, part in parts.items()} | {"step": step}, state_file)
                saved_at = time.monotonic()
            if is_stopped:
                raise KeyboardInterrupt
    return average.module.eval()


def _share_of_peak(step: int, steps: int) -> float:
    return min(1, (step + 1) / 100, (steps - step) / (0.3 * steps))


def _save(state: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)
