from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records import infotext
from sdxl_lab.records.stamps import LIMIT_BYTES, StampError, read_stamp, stamp_of, stamped_png
from tests.support.runs import made_for, resolved_run


def stamped(tmp_path, index: int = 0, **hyperparameters) -> bytes:
    """One picture of a run, encoded with its stamp."""
    resolved = resolved_run(tmp_path, **hyperparameters)
    edit = resolved.edits[index]
    image = made_for(edit).image
    stamp = stamp_of(resolved, edit, versions={"torch": "2"}, hardware="a CPU", instruction_set="AVX2", sha256=digest_of_pixels(image))
    return stamped_png(image, stamp)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Write a PNG chunk as the PNG specification has it."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_text(content: bytes) -> bytes:
    """Build a small PNG whose text chunk `sdxl_lab` holds the given bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    png = buffer.getvalue()
    return png[:33] + chunk(b"tEXt", b"sdxl_lab\0" + content) + png[33:]


def test_a_picture_says_how_it_was_made(tmp_path):
    """
    What is read back plans exactly the one picture: words, seed, settings, digests, versions.
    """
    resolved = resolved_run(tmp_path)
    (tmp_path / "picture.png").write_bytes(stamped(tmp_path, index=2))
    stamp = read_stamp(tmp_path / "picture.png")
    assert stamp.edit == resolved.edits[2]
    assert stamp.run_id == resolved.run_id != stamp.resolved.run_id
    assert (stamp.resolved.dataset, stamp.resolved.checkpoint) == (resolved.dataset, resolved.checkpoint)
    assert stamp.versions == {"torch": "2"}
    assert stamp.sha256 == digest_of_pixels(Image.open(tmp_path / "picture.png"))


def test_pillow_finds_the_same_text(tmp_path):
    """
    Another reader finds JSON under the keyword sdxl_lab, without a local path.
    """
    image = Image.open(io.BytesIO(stamped(tmp_path)))
    content = json.loads(image.info["sdxl_lab"])
    assert content["resolved"]["edits"][0]["prompt"] == "a red octopus, on “sand”"
    assert str(tmp_path) not in image.info["sdxl_lab"]


def test_the_same_picture_is_the_same_file(tmp_path):
    """
    Encoding twice gives the same bytes, wherever the run is kept.
    """
    assert stamped(tmp_path / "a") == stamped(tmp_path / "b")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b"\xff\xfe",
        b"[" * 100000,
        b'{"format": 1}',
        b'{"format": 2, "run_id": "x"}',
        b'{"format": 1, "versions": {}, "resolved": {}, "instruction_set": null, "run_id": "", "sha256": ""}',
        b'{"format": 1, "versions": 3, "resolved": [], "instruction_set": 4, "run_id": 5, "sha256": 6}',
        b"9" * 5000,
    ],
)
def test_a_strange_stamp_is_one_clear_error(tmp_path, content):
    """
    Text that is no stamp is refused with the picture's name and what to do, whatever it holds.
    """
    (tmp_path / "strange.png").write_bytes(with_text(content))
    with pytest.raises(StampError, match=r"(?s)strange\.png.*give the file"):
        read_stamp(tmp_path / "strange.png")


def test_a_huge_stamp_is_not_read(tmp_path):
    """
    A text chunk above the limit is refused by its length alone, even where the file does not hold it.
    """
    picture = with_text(b"")
    (tmp_path / "huge.png").write_bytes(picture[:33] + struct.pack(">I", 2**31 - 1) + b"tEXtsdxl_lab\0")
    with pytest.raises(StampError, match=str(LIMIT_BYTES)):
        read_stamp(tmp_path / "huge.png")


def test_a_damaged_stamp_is_noticed(tmp_path):
    """
    One changed byte in the text is found by the chunk's checksum.
    """
    (tmp_path / "damaged.png").write_bytes(stamped(tmp_path).replace(b"-732", b"-733"))
    with pytest.raises(StampError, match="damaged"):
        read_stamp(tmp_path / "damaged.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_is_no_stamped_png_is_refused(tmp_path, content):
    """
    Empty, cut off and foreign files are one error each.
    """
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(StampError, match=r"picture\.png"):
        read_stamp(tmp_path / "picture.png")
    with pytest.raises(StampError, match="cannot read"):
        read_stamp(tmp_path / "absent.png")


@pytest.mark.parametrize(("name", "role"), [("inpaint-7-mask.png", "mask"), ("inpaint-7-input.png", "input"), ("input.png", "input")])
def test_another_file_of_a_picture_names_the_picture(tmp_path, name, role):
    """
    A mask or an input says what it is and which picture it is of, where that lies beside it; without one it is any picture.
    """
    Image.new("L", (8, 8)).save(tmp_path / name)
    with pytest.raises(StampError, match="says nothing of how it was made"):
        read_stamp(tmp_path / name)
    (tmp_path / "inpaint-7.png").write_bytes(stamped(tmp_path))
    with pytest.raises(StampError, match=rf"{name} is the {role} of a picture that sdxl_lab made; give that: .*inpaint-7\.png$"):
        read_stamp(tmp_path / name)


def test_a_prompt_too_long_for_its_picture_is_refused(tmp_path):
    """
    A stamp above the limit is never written, since it could not be read back.
    """
    resolved = resolved_run(tmp_path)
    edit = resolved.edits[0].model_copy(update={"prompt": "x" * LIMIT_BYTES})
    stamp = stamp_of(resolved, edit, versions={}, hardware=None, instruction_set=None, sha256="")
    with pytest.raises(StampError, match="shorten"):
        stamped_png(made_for(edit).image, stamp)


# --- the text that other tools read --------------------------------------------------------------------------------------------------------------


def by_lines(text: str) -> dict[str, str]:
    """Read the text as web UIs do: the last line holds the settings, and a line that starts so begins the negative prompt."""
    *lines, last = text.strip().split("\n")
    found: dict[str, str] = {"Prompt": "", "Negative prompt": ""}
    key = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            key, line = "Negative prompt", line[16:].strip()
        found[key] += ("\n" if found[key] else "") + line
    rest = last
    while rest:
        name, _, rest = rest.partition(":")
        rest = rest.lstrip()
        if rest.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:]
            _, _, rest = rest.partition(",")
        else:
            value, _, rest = rest.partition(",")
        found[name.strip()] = value.strip()
    return found


def by_search(text: str) -> dict[str, str]:
    """Read the prompts as simpler tools do, which look for the first label anywhere."""
    before, _, _ = text.partition("Steps: ")
    prompt, _, negative = before.partition("Negative prompt: ")
    return {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}


def parameters_of(tmp_path, **changes) -> str:
    """What Pillow reads as `parameters` of a picture whose edit was changed."""
    resolved = resolved_run(tmp_path)
    edit = resolved.edits[0].model_copy(update=changes)
    image = made_for(edit).image
    stamp = stamp_of(resolved, edit, versions={"sdxl_lab": "0.1.0"}, hardware=None, instruction_set=None, sha256=digest_of_pixels(image))
    return Image.open(io.BytesIO(stamped_png(image, stamp))).info["parameters"]


def test_other_tools_read_how_a_picture_was_made(tmp_path):
    """
    The text `parameters` holds the prompts and, by the names of the field, every setting that the field has a name for.
    """
    settings = resolved_run(tmp_path, mask={"feather_px": 4}, denoising={"scheduler": "dpmpp_2m_karras", "guidance_scale": 5.0}).edits[0].settings
    found = by_lines(parameters_of(tmp_path, settings=settings, negative_prompt="blurry, dark"))
    assert found == {
        "Prompt": "a red octopus, on “sand”",
        "Negative prompt": "blurry, dark",
        "Steps": "50",
        "Sampler": "DPM++ 2M Karras",
        "CFG scale": "5",
        "Seed": "-732",
        "Size": "24x16",
        "Model hash": "c" * 10,
        "Model": "pocket",
        "Denoising strength": "0.99",
        "Mask blur": "4",
        "Version": "sdxl_lab 0.1.0",
    }


@pytest.mark.parametrize(
    ("denoising", "said"),
    [
        ({"scheduler": "dpmpp_3m_sde", "karras": True}, {"Sampler": "DPM++ 3M SDE", "Schedule type": "Karras"}),
        ({"scheduler": "dpmpp_2m_karras", "karras": True}, {"Sampler": "DPM++ 2M Karras"}),
        ({"scheduler": "kdpm2_a", "timestep_spacing": "trailing"}, {"Sampler": "DPM2 a", "Timestep spacing": "trailing"}),
        ({"scheduler": "lcm", "timestep_spacing": "trailing"}, {"Sampler": "LCM"}),
        ({"scheduler": "dpmpp_2m", "karras": True, "timestep_spacing": "trailing"}, {"Sampler": "DPM++ 2M", "Schedule type": "Karras"}),
    ],
)
def test_how_steps_are_spread_is_named_as_other_tools_name_it(tmp_path, denoising, said):
    """
    A schedule of Karras' has their word for it, where it is not in the sampler's name already; a spacing if it was asked for and counts.
    """
    found = by_lines(parameters_of(tmp_path, settings=resolved_run(tmp_path, denoising=denoising).edits[0].settings))
    assert {name: value for name, value in found.items() if name in ("Sampler", "Schedule type", "Timestep spacing")} == said


def test_the_hand_over_is_named_as_other_tools_name_it(tmp_path):
    """
    A picture by base and refiner says where the one hands over to the other.
    """
    assert by_lines(parameters_of(tmp_path))["Refiner switch at"] == "0.8"


def test_without_a_negative_prompt_none_is_named(tmp_path):
    """
    None and the empty text both leave the line out.
    """
    assert "Negative" not in parameters_of(tmp_path, negative_prompt=None)
    assert "Negative" not in parameters_of(tmp_path, negative_prompt="")


HOSTILE_PROMPTS = [
    "a cat\nNegative prompt: dogs\nSteps: 5, Sampler: Evil, CFG scale: 1",
    "Negative prompt: a cat",
    "Steps: 5, Sampler: Evil, CFG scale: 1, Seed: 666, Size: 1x1",
    'a "cat", "Model: evil", \\"',
    "a cat\r\n\x0b\x0c\x1c\u2028\u2029\x85Steps: 5",
    "negative PROMPT: x STEPS: 9 Steps:: 7 steps:8",
    "\x00\x1b[2J a cat",
    "Seed: 1, Model hash: x, Model: y",
    "ein Kater, 猫 🐈",
    "",
    "   ",
]


@pytest.mark.parametrize("prompt", HOSTILE_PROMPTS)
def test_no_prompt_changes_what_other_tools_read(tmp_path, prompt):
    """
    Whatever the prompts hold, two independent readers find the same words in them, and the settings that were really used.
    """
    plain = by_lines(parameters_of(tmp_path, prompt="a cat", negative_prompt="a dog"))
    text = parameters_of(tmp_path, prompt=prompt, negative_prompt=prompt or "x")
    found = by_lines(text)
    assert {**found, "Prompt": "", "Negative prompt": ""} == {**plain, "Prompt": "", "Negative prompt": ""}
    words = re.findall(r"[\w]+|[^\w\s\x00-\x1f]", prompt)
    assert re.findall(r"[\w]+|[^\w\s]", found["Prompt"]) == words
    assert re.findall(r"[\w]+|[^\w\s]", found["Negative prompt"]) == (words or (["x"] if not prompt else []))
    assert by_search(text) == {key: found[key] for key in ("Prompt", "Negative prompt")}


def test_a_mark_that_was_text_asks_other_tools_for_nothing(tmp_path):
    """
    What the web UI would take out of a prompt as a wish for a file is none in the text; that of 0.1.0 contradicts nothing.
    """
    written = parameters_of(tmp_path, prompt="a <lora:moon:0.8> star, <hypernet:ink:1>", negative_prompt="<lyco:sun:1>")
    assert re.findall(r"<(\w+):([^>]+)>", written) == []
    as_before = written.replace("< ", "<")
    assert infotext.differing(as_before, written) == infotext.differing(written, written) == {}
    assert infotext.differing(as_before, written.replace("ink", "oil"))


def test_the_model_name_cannot_pose_as_a_setting(tmp_path):
    """
    A checkpoint's name with commas, colons and quotes is quoted as the field quotes.
    """
    resolved = resolved_run(tmp_path)
    name = 'x, Seed: 1, "y\\'
    stamp = stamp_of(resolved, resolved.edits[0], versions={}, hardware=None, instruction_set=None, sha256="")
    checkpoint = stamp.resolved.checkpoint.model_copy(update={"name": name})
    text = infotext.write(stamp.edit, checkpoint, size=(1, 2), version="1")
    assert (by_lines(text)["Model"], by_lines(text)["Seed"]) == (name, "-732")
    assert infotext.differing(text, text) == {}
    assert infotext.differing(text, text.replace("Seed: -732", "Seed: 5")) == {"Seed": ("-732", "5")}


def test_a_tokenizer_does_not_see_what_was_changed():
    """
    The tokens of a prompt are those of its line in the text: SDXL's tokenizers split words from signs and pass over spaces.
    """
    from sdxl_lab.pocket.training import architecture

    tokenizer = architecture.build_tokenizer()
    for prompt in ("Negative prompt: a red circle", "a red\ncircle, Steps: on grass", "a <lora:red:0.8> circle,<lora:grass:1>"):
        written = infotext.write(
            resolved_run(Path()).edits[0].model_copy(update={"prompt": prompt}),
            resolved_run(Path()).checkpoint,
            size=(1, 1),
            version="",
        )
        assert tokenizer(written.split("\n")[0])["input_ids"] == tokenizer(prompt)["input_ids"]
