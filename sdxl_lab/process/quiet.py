"""What libraries say at every import in a notebook, and nobody needs to hear."""

from __future__ import annotations

import os
import warnings
from functools import cache


@cache
def quiet_libraries() -> None:
    """Silence them in this process, once, before they are imported; a verbosity that the user has set for transformers stays.

    tqdm says that it has no widgets: its text will do. transformers says that it resizes pictures without torchvision: the lab never asks it to.
    """
    warnings.filterwarnings("ignore", message="IProgress not found")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
