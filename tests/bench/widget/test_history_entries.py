"""A session's history as pages get it."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from sdxl_lab.bench.widget.history import draw, entry
from sdxl_lab.bench.widget.news import News
from sdxl_lab.records.session import SessionFolder
from tests.support import sessions


@pytest.fixture
def session(tmp_path: Path) -> SessionFolder:
    """A session without a picture."""
    return sessions.begun(tmp_path)


def entries(session: SessionFolder) -> list[dict[str, Any]]:
    """All of a session, as JSON gives them back."""
    pictures = session.pictures()
    return json.loads(json.dumps([entry(kept, before) for kept, before in zip(pictures, [None, *pictures], strict=False)]))


def changed(one: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What changed, by its path."""
    return {change["path"]: (change["before"], change["after"]) for change in one["changed"]}


def pixels(file: Path) -> np.ndarray:
    """A picture's pixels, RGB."""
    read = cv2.imread(str(file))
    assert read is not None
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB))


def test_an_entry_says_what_changed_against_the_one_before(session):
    """Exactly what was asked otherwise is listed, with both values, None where it was not asked; the first picture has changed nothing."""
    sessions.add(session, "a star", seed=1, guidance_scale=3.0)
    sessions.add(session, "a star", seed=1, guidance_scale=3.0, feather_px=4)
    sessions.add(session, "a blue star", seed=2, guidance_scale=3.0, negative_prompt="fog")
    first, second, third = entries(session)
    assert changed(first) == {}
    assert changed(second) == {"mask.feather_px": (None, 4)}
    assert changed(third) == {
        "prompt": ("a star", "a blue star"), "seed": (1, 2), "negative_prompt": (None, "fog"), "mask.feather_px": (4, None),
    }  # fmt: skip
    assert third["settings"].items() >= {"denoising.guidance_scale": 3.0}.items()
    assert not {"mask.feather_px", "denoising.eta"} & third["settings"].keys()


def test_another_picture_or_mask_is_a_change(session, monkeypatch):
    """A mask that was painted otherwise is told, and a picture that is another; with words alone there is neither."""
    sessions.add(session, "a star")
    disk = sessions.disk()
    monkeypatch.setattr(sessions, "disk", lambda *_: disk.transpose(Image.Transpose.ROTATE_90).resize((128, 128)).point(lambda value: 255 - value))
    sessions.add(session, "a star")
    sessions.add(session, "a star", task="text_to_image")
    _, second, third = entries(session)
    assert changed(second).keys() == {"mask"}
    assert changed(third).keys() >= {"image", "mask", "task"}
    assert third["input"] is third["mask"] is third["original"] is None


def test_files_are_where_an_entry_says(session):
    """The PNG, what it was made from and its mask are opened at their paths, and are of the size that is said."""
    sessions.add(session, "a star", side_px=300, seed=2**63)
    [one] = entries(session)
    assert {pixels(Path(one[role])).shape for role in ("file", "input", "mask")} == {(300, 300, 3)}
    assert (one["width"], one["height"], one["original"]) == (300, 300, {"left": 0, "top": 0, "width": 300, "height": 300})
    assert one["seed"] == "9223372036854775808"  # a browser's numbers do not hold it


def test_a_large_picture_is_drawn_small_once(session):
    """Nothing is drawn until somebody looks; then it is a WebP of at most 192 pixels that shows the picture, and a small picture is its own."""
    large, small = sessions.add(session, "a star", side_px=500), sessions.add(session, "a star", side_px=256, seed=1)
    before = entries(session)
    assert [one["thumbnail"] for one in before] == [None, before[1]["file"]]
    file = draw(large)
    assert draw(small) == small.recorded.image
    assert [entries(session)[0]["thumbnail"], file.parent.name] == [str(file), "thumbnails"]
    content = file.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("WEBP", (192, 192))
        shown = np.asarray(image.convert("RGB"), np.float32)
    assert np.abs(shown - cv2.resize(pixels(large.recorded.image), (192, 192), interpolation=cv2.INTER_AREA)).mean() < 6
    file.write_bytes(b"as it was")
    assert draw(large).read_bytes() == b"as it was"


def test_stars_and_notes_are_told_at_once(session):
    """An entry has the marks that its session has now."""
    kept = sessions.add(session, "a star")
    assert [(one["starred"], one["note"]) for one in entries(session)] == [(False, "")]
    session.star(kept, starred=True)
    session.note(kept, "<b>")
    assert [(one["starred"], one["note"]) for one in entries(session)] == [(True, "<b>")]


def test_a_long_history_is_written_again_in_no_time(session):
    """After each picture all of a session is written: of 60 pictures that takes a small part of a second."""
    for seed in range(60):
        sessions.add(session, "a star", seed=seed)
    entries(session)
    began = time.process_time()
    assert len(entries(session)) == 60
    assert time.process_time() - began < 0.2


def test_whatever_changes_in_a_session_is_news_once(session, monkeypatch):
    """
    A picture, a star, a note, a small picture and a deletion are told once each, whoever made them; without a change nothing is read.
    """
    news, other = News(session), SessionFolder(session.path)
    large = sessions.add(session, "a red star", side_px=300)
    kept = sessions.add(session, "a blue star")
    steps = [
        lambda: None,
        lambda: other.star(large, starred=True),
        lambda: other.note(large, "good"),
        lambda: draw(large),
        lambda: other.delete(large),
    ]
    told: list[Any] = []
    for step in steps:
        step()
        changed, gone = news.news()
        told.append(([one["number"] for one in changed], gone))
        monkeypatch.setattr(session, "pictures", lambda: pytest.fail("read again"))
        assert news.news() == ([], [])
        monkeypatch.undo()
    assert told[0] == ([large.number, kept.number], [])
    assert told[1:4] == [([large.number], [])] * 3
    assert told[4][1] == [large.number]
    news.forget()
    assert [one["number"] for one in news.news()[0]] == [kept.number]
