"""What a saved notebook shows of a bench."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.bench.widget.still import still
from sdxl_lab.records.session import SessionFolder
from tests.support import sessions

INNOCENT = {"div", "p", "b", "i", "code", "figure", "img", "figcaption", "br"}


class Read(HTMLParser):
    """What HTML holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.pictures: list[Image.Image] = []
        self.pieces: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; a picture is decoded."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "img":
            scheme, _, content = (dict(attrs)["src"] or "").partition(",")
            assert scheme == "data:image/webp;base64"
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(content))))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.pieces.append(data)

    @property
    def words(self) -> str:
        """All of its text."""
        return "".join(self.pieces)

    @property
    def numbers(self) -> list[int]:
        """Which pictures are shown, in their order."""
        return [int(piece.removesuffix(" ★")) for piece in self.pieces if re.fullmatch(r"\d+( ★)?", piece)]


@pytest.fixture
def session(tmp_path: Path, monkeypatch) -> SessionFolder:
    """A session without a picture, in the lab that is worked in."""
    monkeypatch.chdir(tmp_path)
    return sessions.begun_in(tmp_path)


def test_it_says_which_session_it_is_and_how_to_go_on(session):
    """Name, place and call stand there, also before the first picture."""
    sessions.add(session, "a star")
    read = Read(still(session))
    assert "tried" in read.words
    assert "1 picture." in read.words
    assert f"artifacts/runs/sessions/{session.path.name}" in read.words
    assert f'Bench.resume("{session.path.name}")' in read.words
    assert "0 pictures." in Read(still(sessions.begun(session.path.parent))).words


def test_starred_pictures_come_first_and_then_the_latest(session):
    """Each is shown with its number, star, note and what changed, starred ones before all others, and in both the latest first."""
    kept = [sessions.add(session, "a star", seed=seed) for seed in range(5)]
    session.star(kept[1], starred=True)
    session.note(kept[1], "too small")
    read = Read(still(session))
    assert read.numbers == [2, 5, 4, 3, 1]
    assert "2 ★ a starseed: 0 → 1too small" in read.words
    assert [picture.size for picture in read.pictures] == [(sessions.SIDE_PX, sessions.SIDE_PX)] * 5


def test_texts_stay_texts(session):
    """Prompts and notes of markup are shown as they were written; there is no script, and nothing is asked of anybody."""
    hostile = '</figcaption><script>alert("&amp;")</script><img src=x onerror=alert(1)>'
    session.note(sessions.add(session, hostile), hostile)
    read = Read(still(session))
    assert read.tags <= INNOCENT
    assert read.attributes <= {"style", "src", "alt"}
    assert hostile in read.words


def test_it_stays_below_a_megabyte(session, monkeypatch):
    """Of pictures of noise, which nothing makes small, only as many are shown as there is room for, and that is said."""
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8)
    drawn = sessions.drawn

    def drawn_of_noise(*given, **more):
        made = drawn(*given, **more)
        image = Image.fromarray(np.roll(noise, made.edit.seed, 0))
        return type(made)(**{**vars(made), "image": image, "raw": image})

    monkeypatch.setattr(sessions, "drawn", drawn_of_noise)
    for seed in range(50):
        sessions.add(session, "a star", seed=seed, task="text_to_image")
    text = still(session)
    shown = Read(text).numbers
    assert len(text) < 1_000_000
    assert 10 < len(shown) < 48
    assert shown == list(range(50, 50 - len(shown), -1))
    assert f"50 pictures; here are {len(shown)}" in Read(text).words
