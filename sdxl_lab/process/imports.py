"""What imports large libraries: one thread at a time."""

from __future__ import annotations

from threading import RLock

importing = RLock()
"""Held by whoever may be the first to import diffusers and transformers. Their modules import each other in circles, and of two threads that begin at
once, Python gives one a module that the other has not finished."""
