"""The form of knobs in a real browser, at a hub that only repeats what it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sdxl_lab.bench.widget.knobs import knobs_of
from tests.support.browser import IN_A_BROWSER, Page
from tests.support.knobs_page import POCKET, write_page

pytestmark = IN_A_BROWSER

STEPS, DILATION = "denoising.num_inference_steps", "mask.kernel_size"
OF_TOMORROW = {"section": "glaze", "choices": None, "minimum": None, "maximum": None, "soft": None, "step": None, "odd": False, "parts": None}
OF_TOMORROW |= {"optional": False, "none": "none", "unit": "", "allowed": "this", "help": "That.", "default": None, "shown": True}


@pytest.fixture
def form(browser: Page, tmp_path: Path) -> Iterator[Page]:
    """The form for inpainting with pocket; nothing is complained of in it."""
    open_form(browser, tmp_path)
    yield browser
    assert browser.complaints == []
    assert len(browser.requests) == 1


def open_form(page: Page, folder: Path, task: str = "inpaint", **state: Any) -> None:
    """Show the form in the browser."""
    page.open(write_page(folder / "knobs.html", task, **state).as_uri(), 400, 1000)
    page.until("globalThis.form !== undefined")


def asks(page: Page, count: int) -> list[dict[str, Any]]:
    """What was asked, once so much was asked."""
    page.until(f"asks().length >= {count}")
    return page.evaluate("asks()")


def asked(page: Page) -> dict[str, Any]:
    """The changes that were asked for, laid over each other, once nothing is on its way."""
    page.evaluate("new Promise(resolve => setTimeout(resolve, 400))")
    return page.evaluate("Object.assign({}, ...asks().map(({ changes }) => changes))")


def type_into(page: Page, path: str, text: str, index: int = 0) -> None:
    """Put the caret into a field, in place of what it holds, and type."""
    page.evaluate(f"(field => {{ field.focus(); field.select(); }})(input({json.dumps(path)}, {index}))")
    if text:
        page.call("Input.insertText", text=text)
    else:
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Backspace", windowsVirtualKeyCode=8)


def leave(page: Page) -> None:
    """Take the focus away from the form."""
    page.evaluate("document.getElementById('host').shadowRoot.activeElement?.blur()")


def tell(page: Page, name: str, value: Any) -> None:
    """Let the kernel tell something."""
    page.evaluate(f"hub.emit({json.dumps(name)}, {json.dumps(value)})")


def test_every_knob_is_there_once_and_has_a_name(form: Page) -> None:
    """Each knob of the kernel stands in the form, and each of its inputs has a name for those who do not see it."""
    paths = [knob["path"] for knob in knobs_of("inpaint", POCKET)]
    assert sorted(form.evaluate("[...form.querySelectorAll('.knob')].map(knob => knob.dataset.path)")) == sorted(paths)
    nameless = """[...form.querySelectorAll('input, select, textarea, button')].filter(each => !each.labels?.length && !each.textContent
        && !each.ariaLabel && !form.querySelector('#' + CSS.escape(each.getAttribute('aria-labelledby')))).length"""
    assert form.evaluate(nameless) == 0


def test_what_is_dragged_is_asked_for_often_but_not_always_and_the_end_is(form: Page) -> None:
    """Of sixty positions of a slider at most twelve a second are asked for besides the ends, in order, and the last one among them."""
    form.evaluate(f"""(async slider => {{
        for (let place = 1; place <= 60; place += 1) {{
            slider.value = place;
            slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
            await new Promise(resolve => setTimeout(resolve, 1000 / 60));
        }}
        slider.dispatchEvent(new Event('change', {{ bubbles: true }}));
    }})(input('{STEPS}'))""")
    told = [ask["changes"][STEPS] for ask in form.evaluate("asks()")]
    times = form.evaluate("hub.calls.map(([, , time]) => time)")
    assert told == sorted(told)
    assert told[-1] == 60
    assert 5 <= len(told) <= 12 * (times[-1] - times[0]) / 1000 + 2
    assert min(later - earlier for earlier, later in pairwise(times[:-1])) > 60  # but for the end, which waits for nothing


def test_each_kind_of_control_asks_for_its_value(form: Page) -> None:
    """Numbers, words beside them, lists, segments, pairs, texts with suggestions and words ask for what they show, in their own type."""
    form.evaluate("form.querySelector('details').open = true")
    type_into(form, "denoising.guidance_scale", "3.25", 1)
    type_into(form, DILATION, "21", 1)
    type_into(form, "conditioning.target_size", "640", 0)
    type_into(form, "conditioning.target_size", "512", 1)
    type_into(form, "prompt", "a blue star")
    leave(form)
    form.evaluate("(list => { list.selectedIndex = 2; list.dispatchEvent(new Event('change', { bubbles: true })) })(input('denoising.scheduler'))")
    form.evaluate("(list => { list.value = 'other'; list.dispatchEvent(new Event('change', { bubbles: true })) })(input('size.aspect'))")
    form.call("Input.insertText", text="7:5")
    leave(form)
    form.evaluate("input('mask.latent_mask', 1).click()")
    assert asked(form) == {
        "denoising.guidance_scale": 3.25,
        DILATION: 21,
        "conditioning.target_size": [640, 512],
        "prompt": "a blue star",
        "denoising.scheduler": "ddim",
        "size.aspect": "7:5",
        "mask.latent_mask": "cover",
    }
    form.evaluate(f"knob('{DILATION}').querySelector('.knob-word').click()")
    assert asked(form)[DILATION] == "auto"
    assert form.evaluate(f"input('{DILATION}', 1).value") == ""


def test_kinds_of_tomorrow_have_a_control(browser: Page, tmp_path: Path) -> None:
    """A flag, one that may be left open, and anything else can be asked for, though no setting is of these kinds today."""
    kinds = {"matt": {"kind": "flag", "default": False}, "glossy": {"kind": "flag", "optional": True}, "coats": {"kind": "other"}}
    knobs = [OF_TOMORROW | {"path": f"glaze.{name}", "label": name} | more for name, more in kinds.items()]
    open_form(browser, tmp_path, knobs={"task": "inpaint", "checkpoint": "pocket", "knobs": knobs})
    browser.evaluate("input('glaze.matt').click()")
    browser.evaluate("input('glaze.glossy', 2).click()")
    type_into(browser, "glaze.coats", "[thin, 2, {color: 'light, blue'}]")
    leave(browser)
    assert asked(browser) == {"glaze.matt": True, "glaze.glossy": False, "glaze.coats": ["thin", 2, {"color": "light, blue"}]}
    assert browser.complaints == []


@pytest.mark.parametrize("text", ["", "null", "5", "-0.5", "true", "a text", "[1, 2]", "[a, [b, c]]", '{"a": 1}', "{a: 1, b: [2, x]}", "'5'", '"5"'])
def test_a_line_is_read_as_yaml_reads_it(form: Page, text: str) -> None:
    """What is typed for a value of no common kind means what it means in YAML."""
    assert form.evaluate(f"(async () => readValueForTests({json.dumps(text)}))()") == yaml.safe_load(text or "null")


def test_what_is_being_typed_stays(form: Page) -> None:
    """An echo of the kernel does not overwrite a field that has the focus, and shows in it when the hand has left without a change."""
    form.evaluate("input('prompt').focus()")
    form.call("Input.insertText", text="a blue st")
    tell(form, "asked", {"asked": {"prompt": "a blue", STEPS: 12}, "keepSeed": True})
    assert form.evaluate("input('prompt').value") == "a blue st"
    assert form.evaluate(f"input('{STEPS}', 1).value") == "12"
    form.call("Input.insertText", text="ar")
    assert asked(form)["prompt"] == "a blue star"
    tell(form, "asked", {"asked": {"prompt": "a red star"}, "keepSeed": True})
    leave(form)
    form.until("input('prompt').value === 'a red star'")


def test_another_task_leaves_the_hand_where_it_is(form: Page) -> None:
    """When the task and its knobs change, what is being typed stays in its field, which keeps the focus."""
    form.evaluate("input('prompt').focus()")
    form.call("Input.insertText", text="a blue")
    tell(form, "knobs", {"task": "outpaint", "checkpoint": "pocket", "knobs": knobs_of("outpaint", POCKET)})
    form.call("Input.insertText", text=" star")
    assert form.evaluate("input('prompt').value") == "a blue star"
    assert form.evaluate("knob('canvas.left_px') !== null")
    assert asked(form) == {"prompt": "a blue star"}


def test_keys_make_with_what_was_typed_last(form: Page) -> None:
    """Shift and Enter ask for what was typed, and make after that; Enter alone is a new line."""
    type_into(form, "prompt", "a star")
    form.press("Enter")
    form.press("Enter", shift=True)
    form.until("hub.calls.length >= 2")
    calls = form.evaluate("hub.calls.map(([action, fields]) => [action, fields])")
    assert calls == [["ask", {"changes": {"prompt": "a star\n"}}], ["make", None]]


def test_a_knob_that_was_turned_says_so_and_goes_back(form: Page) -> None:
    """Where another value than the default is asked for a button names the default and takes the value back; else there is none."""
    hidden = f"knob('{STEPS}').querySelector('.knob-reset').hidden"
    assert form.evaluate(hidden)
    type_into(form, STEPS, "31", 1)
    leave(form)
    asks(form, 1)
    assert not form.evaluate(hidden)
    assert "30" in form.evaluate(f"knob('{STEPS}').querySelector('.knob-reset').title")
    form.evaluate(f"knob('{STEPS}').querySelector('.knob-reset').click()")
    assert asks(form, 2)[-1]["changes"] == {STEPS: None}
    form.until(f"{hidden} && input('{STEPS}', 1).value === '30'")


def test_what_the_gate_says_stands_at_its_knob(form: Page) -> None:
    """A problem stands beside the knob of its path, or the first of its section, and describes the field; any other at the top, whole."""
    problems = [{"path": DILATION, "text": "got 14"}, {"path": "size", "text": "one without the other"}, {"path": "", "text": "no mask"}]
    tell(form, "checked", {"task": "inpaint", "values": {}, "problems": problems, "cautions": ["it will be poor"]})
    said = """[...form.querySelectorAll('.knob-problem')].map(each => [each.parentElement.dataset.path, each.textContent])
        .filter(([, text]) => text)"""
    assert dict(form.evaluate(said)) == {DILATION: "got 14", "size.width": "one without the other"}
    described = f"input('{DILATION}', 1).getAttribute('aria-describedby').split(' ').map(id => form.querySelector('#' + CSS.escape(id)).textContent)"
    assert form.evaluate(described)[0] == "got 14"
    assert form.evaluate(f"input('{DILATION}', 1).getAttribute('aria-invalid')") == "true"
    assert form.evaluate("form.querySelector('.knob-faults').textContent") == "no mask"
    assert form.evaluate("form.querySelector('.knob-cautions').textContent") == "it will be poor"
    tell(form, "checked", {"task": "inpaint", "values": {DILATION: 15}, "problems": [], "cautions": []})
    assert form.evaluate(said) == []
    assert form.evaluate("form.querySelectorAll('[aria-invalid]').length") == 0
    assert form.evaluate(f"[input('{DILATION}', 0).value, input('{DILATION}', 1).title]") == ["15", "auto: 15\u00a0px"]


def test_a_seed_is_drawn_typed_and_kept(form: Page) -> None:
    """The die draws a seed of 32 bits; what is drawn or typed is kept, the largest seed digit by digit; the lock lets go of it."""
    for _ in range(3):
        form.evaluate("knob('seed').querySelectorAll('.knob-icon')[0].click()")
    drawn = [ask["changes"]["seed"] for ask in asks(form, 3)]
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in drawn)
    assert len(set(drawn)) == 3
    type_into(form, "seed", str(2**64 - 1))
    leave(form)
    assert asks(form, 4)[-1] == {"changes": {"seed": str(2**64 - 1)}, "keepSeed": True}
    form.evaluate("new Promise(resolve => setTimeout(resolve, 50))")
    form.evaluate("knob('seed').querySelectorAll('.knob-icon')[1].click()")
    assert asks(form, 5)[-1] == {"changes": {}, "keepSeed": False}
    form.until("knob('seed').querySelectorAll('.knob-icon')[1].getAttribute('aria-pressed') === 'false'")


def test_while_turning_each_change_is_made_but_none_that_is_wrong(form: Page) -> None:
    """With live making each change is made after it was asked for; while the gate refuses none is, and once it does not, the last is."""
    makes = "hub.calls.filter(([action]) => action === 'make').length"
    form.evaluate("hub.local.live = true")
    type_into(form, STEPS, "31", 1)
    leave(form)
    form.until(f"{makes} === 1")
    assert form.evaluate("hub.calls.map(([action]) => action)") == ["ask", "make"]
    wrong = {"task": "inpaint", "values": {}, "problems": [{"path": STEPS, "text": "got 0"}], "cautions": []}
    tell(form, "checked", wrong)
    for steps in ("32", "33"):
        type_into(form, STEPS, steps, 1)
        leave(form)
    assert asked(form) == {STEPS: 33}
    assert form.evaluate(makes) == 1
    tell(form, "checked", wrong | {"problems": []})
    assert form.evaluate(makes) == 2


def test_settings_that_are_folded_away_are_found(form: Page) -> None:
    """What is typed into the filter leaves the knobs whose label, path or help hold all its words, and their sections."""
    form.evaluate("form.querySelector('details').open = true")
    form.evaluate("(field => { field.value = 'AESTHETIC negative'; field.dispatchEvent(new Event('input')) })(form.querySelector('[type=search]'))")
    shown = "[...form.querySelectorAll('details .knob')].filter(knob => knob.checkVisibility()).map(knob => knob.dataset.path)"
    assert form.evaluate(shown) == ["refiner.negative_aesthetic_score"]
    assert form.evaluate("[...form.querySelectorAll('legend')].filter(legend => legend.checkVisibility()).map(each => each.textContent)") == [
        "refiner"
    ]


def test_a_long_prompt_is_seen_whole(form: Page) -> None:
    """The field of a prompt is as high as its text, whether the kernel told it or it is typed, and shrinks with it."""
    height = "input('prompt').clientHeight"
    least = form.evaluate(height)
    tell(form, "asked", {"asked": {"prompt": "a star beside a circle on grass " * 20}, "keepSeed": True})
    assert form.evaluate(f"{height} >= input('prompt').scrollHeight && {height} > {3 * least}")
    type_into(form, "prompt", "a star")
    assert form.evaluate(height) == least
