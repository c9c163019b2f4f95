"""A training that is stopped keeps the step it was at, says so in one line, and goes on as if nobody had stopped it."""

from __future__ import annotations

import signal

import pytest


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global as_command, fit, in_course, torch
    import torch

    from sdxl_lab.pocket.training.loop import fit
    from sdxl_lab.pocket.training.under_way import as_command, in_course


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def trained(folder, *, stopped_at: int | None = None, by: int = signal.SIGTERM):
    """
    A layer after eight steps, perhaps with a signal in the middle of one.
    """

    def loss(model, step):
        if step == stopped_at:
            signal.raise_signal(by)
        return (model(torch.randn(4, 2)) - 1).square().mean()

    return fit("layer", lambda: torch.nn.Linear(2, 1), loss, steps=8, learning_rate=0.1, folder=folder)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_where_it_was(tmp_path, by, capsys):
    """
    The command ends with 130 and one line that names the step; what is saved is that step, and the weights in the end are those of no stop.
    """

    def command():
        for _ in in_course(["neon", "paper"]):
            trained(tmp_path / "stopped", stopped_at=4, by=by)

    with pytest.raises(SystemExit) as ended:
        as_command(command)
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 130
    assert said[-1].startswith("stopped at neon, 1 of 2: ")
    assert said[-1].endswith("step 5 of 8; the same command goes on")
    assert torch.load(tmp_path / "stopped" / "layer.pt", weights_only=True)["step"] == 5
    on, whole = trained(tmp_path / "stopped"), trained(tmp_path / "whole")
    assert all(torch.equal(one, other) for one, other in zip(on.parameters(), whole.parameters(), strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_left_counts_what_comes_after(tmp_path, monkeypatch):
    """
    In the first of two the time that is left is that of both: the step's own, and as much again as the first takes in all.
    """
    from sdxl_lab import progress
    from sdxl_lab.pocket.training import under_way

    monkeypatch.setattr(under_way.time, "monotonic", iter([100.0, 160.0, 200.0, 230.0]).__next__)
    told: list[progress.Doing] = []
    with progress.heard_here(told.append):
        for _ in in_course(["neon", "paper"]):
            under_way.step("training", 5, 10, 40.0)
    assert [str(doing) for doing in told] == [
        "neon, 1 of 2: training, step 5 of 10, about 2:20 left",
        "paper, 2 of 2: training, step 5 of 10, about 0:40 left",
    ]
