"""What libraries say at every import in a notebook, or beside what the lab says itself, and nobody needs to hear."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@cache
def quiet_libraries() -> None:
    """Silence them in this process, once, before they are imported; a verbosity that the user has set for transformers stays.

    tqdm says that it has no widgets: its text will do. transformers says that it resizes pictures without torchvision: the lab never asks it to.
    """
    warnings.filterwarnings("ignore", message="IProgress not found")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@contextmanager
def unsaid(logger: str, beginning: str) -> Iterator[None]:
    """A block in which a logger keeps to itself, in this thread, what begins so: the lab said it in its own words.

    Args:
        logger: Its name.
        beginning: Of the message.
    """
    thread, speaker = threading.get_ident(), logging.getLogger(logger)

    def passes(record: logging.LogRecord) -> bool:
        return threading.get_ident() != thread or not record.getMessage().startswith(beginning)

    speaker.addFilter(passes)
    try:
        yield
    finally:
        speaker.removeFilter(passes)
