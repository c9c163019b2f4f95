"""Where sessions are, and which one is meant."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from sdxl_lab.bench.errors import BenchError
from sdxl_lab.records.finding import find_sessions
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.resolution import runs_folder


def today() -> str:
    """What a session is called that nobody named."""
    return date.today().isoformat()


def sessions_folder() -> Path:
    """Where sessions are kept; it need not exist."""
    return runs_folder() / "sessions"


def sessions() -> list[SessionFolder]:
    """All that can be read, the one that was used last at the end."""
    return sorted((one for one in find_sessions(sessions_folder()) if one.is_readable), key=_last_used)


def session_of(named: str | Path | None) -> SessionFolder:
    """Find a session.

    Args:
        named: Its folder, its name, or the first digits of its id; the one that got a picture last if None.

    Raises:
        BenchError: There is none. Of several with that name, the one that was used last is meant.
    """
    found = sessions()
    if named is not None and (at := SessionFolder(named)).is_begun:
        return at
    fitting = [one for one in found if named is None or str(named) in (one.name, one.path.name) or (named and one.about["id"].startswith(str(named)))]
    if not fitting:
        has = f"there are {', '.join(one.path.name for one in found[-5:])}" if found else "there is none yet"
        raise BenchError(f"got the session {str(named)!r}, and {has}, in {sessions_folder()}; give one of these, or begin one: Bench()")
    return fitting[-1]


def _last_used(session: SessionFolder) -> float:
    file = session.lines_file if session.lines_file.is_file() else session.about_file
    return file.stat().st_mtime
