from __future__ import annotations

from sdxl_lab.kernels.slate.libraries import of_tables
from sdxl_lab.settings.schedulers import SCHEDULERS, Scheduler


def test_a_table_is_for_each_notebook_what_it_was_for_the_first(monkeypatch):
    """
    What a notebook adds to a table of the lab, or puts there under a known name, is gone for the next one.
    """
    before = dict(SCHEDULERS)
    restorers = list(of_tables())
    monkeypatch.setitem(SCHEDULERS, "euler", Scheduler(class_name="HeunDiscreteScheduler", label="Heun"))
    monkeypatch.setitem(SCHEDULERS, "mine", Scheduler(class_name="DDIMScheduler", label="DDIM"))
    for restore in restorers:
        restore()
    assert before == SCHEDULERS
