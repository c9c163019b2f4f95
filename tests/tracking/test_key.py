"""The key by which Comet knows a run."""

from __future__ import annotations

import pytest

from sdxl_lab.records.folder import RecordError, RunFolder
from sdxl_lab.tracking.key import experiment_key
from tests.support.run_folders import complete
from tests.support.runs import resolved_run


def test_a_key_is_drawn_once_and_at_random(tmp_path):
    """
    The same run in two places has two keys, and each place keeps its own.
    """
    first, second = complete(resolved_run(tmp_path / "a")), complete(resolved_run(tmp_path / "b"))
    assert first.resolved.run_id == second.resolved.run_id
    assert experiment_key(first) == experiment_key(RunFolder(first.path)) != experiment_key(second)
    assert (first.path / "comet" / "key").read_text() == f"{experiment_key(first)}\n"
    assert experiment_key(second).isalnum()
    assert len(experiment_key(second)) == 32


def test_a_damaged_key_is_no_key(tmp_path):
    """
    What is no key names no experiment: the error says which file to remove.
    """
    run = complete(resolved_run(tmp_path))
    experiment_key(run)
    (run.path / "comet" / "key").write_text("../other")
    with pytest.raises(RecordError, match=r"comet/key holds '\.\./other'; allowed are 32 hexadecimal digits"):
        experiment_key(run)
