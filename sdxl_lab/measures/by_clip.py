"""Pictures and words, as CLIP and its offspring see them: CLIPScore, directional similarity, PickScore."""

from __future__ import annotations

import numpy as np

from sdxl_lab.extractors import Asked, Clip, open_clip
from sdxl_lab.images.pictures import rgb
from sdxl_lab.measures._measure import Looks, Measure, Models, Opened, Told, unit
from sdxl_lab.prompts.reading import parts_of
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.wording import counted


class Reader:
    """A CLIP that looks at no picture and reads no text twice.

    Args:
        clip: It.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.picture = Looks(clip)
        self.cut: set[str] = set()
        self._read: dict[str, np.ndarray] = {}

    def text(self, text: str) -> np.ndarray:
        """The embedding of a text."""
        if text not in self._read:
            if self.clip.is_cut(text):
                self.cut.add(text)
            self._read[text] = self.clip.embed_text(text)
        return self._read[text]

    def notes(self) -> list[str]:
        """What is to be said of texts that were too long for it."""
        if not self.cut:
            return []
        longer = counted(len(self.cut), "prompt is", "prompts are")
        return [f"{longer} longer than the {self.clip.longest} tokens that {self.clip.model} reads; what is beyond does not count"]


def words_of(edit: Edit) -> str:
    """What a prompt says without the marks of weights, which no network here knows."""
    return " ".join("".join(fragment.text for fragment in part) for part in parts_of(edit.prompt, edit.settings.prompt_syntax)).strip()


def clip_score(picture: np.ndarray, text: np.ndarray) -> float:
    """100 times the cosine of the embeddings of picture and prompt, 0 where it is negative.

    Args:
        picture: Shape (d,).
        text: Likewise.

    Source:
        Hessel, Holtzman, Forbes, Le Bras and Choi, CLIPScore: a reference-free evaluation metric for image captioning, EMNLP 2021,
        arXiv:2104.08718, with 100 in place of 2.5 and nothing put before the prompt, as torchmetrics has it.
    """
    return 100 * max(float(unit(picture) @ unit(text)), 0.0)


def directional(before: np.ndarray, after: np.ndarray, caption: np.ndarray, prompt: np.ndarray) -> float | None:
    """The cosine between what changed from input to result and what differs between caption and prompt, each embedding of length 1.

    Args:
        before: Of the input, shape (d,); likewise `after`, of the result, `caption`, of what the input shows, and `prompt`.
        after: Of the result.
        caption: Of what the input shows.
        prompt: Of what was asked.

    Returns:
        From -1 to 1; None where input and result, or caption and prompt, are the same.

    Source:
        Gal, Patashnik, Maron, Bermano, Chechik and Cohen-Or, StyleGAN-NADA, SIGGRAPH 2022, arXiv:2108.00946; for edits of pictures as in
        Brooks, Holynski and Efros, InstructPix2Pix, arXiv:2211.09800.
    """
    seen, said = unit(after) - unit(before), unit(prompt) - unit(caption)
    if not (seen.any() and said.any()):
        return None
    return float(unit(seen) @ unit(said))


def _reader(models: Models) -> Reader:
    return models.once("clip", lambda place: Reader(open_clip(Asked(name="clip", model=place, fetch=models.fetch))))


def _open_clip_score(models: Models) -> Opened:
    reader = _reader(models)

    def of(made: Generated, _: Told) -> float:
        return clip_score(reader.picture(made.image), reader.text(words_of(made.edit)))

    return _by(reader, "clip_score", of)


def _open_directional(models: Models) -> Opened:
    reader = _reader(models)

    def of(made: Generated, told: Told) -> float | None:
        if made.input_image is None:
            return None
        before, after = reader.picture(rgb(made.input_image)), reader.picture(made.image)
        return directional(before, after, reader.text(told.input_caption), reader.text(words_of(made.edit)))

    return _by(reader, "clip_directional", of)


def _by(reader: Reader, name: str, of: object) -> Opened:
    clip = reader.clip
    return Opened(name=name, of=of, networks={"clip": clip.identity_with_texts()}, models={"clip": clip.model}, notes=reader.notes)  # pyright: ignore[reportArgumentType]


def _open_pick_score(models: Models) -> Opened:
    processor = Asked(name="pick_score", model=models.place("pickscore_processor"), fetch=models.fetch)

    def opened(place: str) -> Reader:
        return Reader(open_clip(Asked(name="pick_score", model=place, fetch=models.fetch), processor))

    reader = models.once("pickscore", opened)

    def of(made: Generated, _: Told) -> float:
        return reader.clip.scale * float(unit(reader.picture(made.image)) @ unit(reader.text(words_of(made.edit))))

    return Opened(
        name="pick_score",
        of=of,
        networks={"pickscore": reader.clip.identity_with_texts()},
        models={"pickscore": reader.clip.model, "pickscore_processor": processor.model},
        notes=reader.notes,
    )


MEASURES = (
    Measure(name="clip_score", open=_open_clip_score),
    Measure(name="clip_directional", open=_open_directional),
    Measure(name="pick_score", open=_open_pick_score),
)
