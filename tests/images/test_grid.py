import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images import grid
from sdxl_lab.images.grid import lettering


def picture(size: tuple[int, int], colour: str) -> Image.Image:
    """Make a picture of one colour."""
    return Image.new("RGB", size, colour)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    """Count the pixels of exactly that colour."""
    return int((np.asarray(sheet) == colour).all(axis=-1).sum())


def test_every_picture_is_on_the_sheet_whole():
    """
    Pictures that fit keep every pixel; larger ones are scaled to the cell with their aspect.
    """
    cells = [[picture((50, 20), "red"), picture((512, 256), "blue")], [picture((40, 40), "lime"), None]]
    sheet = grid.contact_sheet(rows=["one", "two"], columns=["a", "b"], cells=cells)
    assert (count(sheet, (255, 0, 0)), count(sheet, (0, 0, 255)), count(sheet, (0, 255, 0))) == (1000, 256 * 128, 1600)
    whole = grid.contact_sheet(rows=["one", "two"], columns=["a", "b"], cells=cells, cell_px=None)
    assert count(whole, (0, 0, 255)) == 512 * 256


def test_long_labels_are_wrapped_and_never_cover_a_picture():
    """
    However long the labels, the pictures keep all their pixels and the sheet its width.
    """
    cells = [[picture((100, 30), "red")]]
    short = grid.contact_sheet(rows=["a"], columns=["b"], cells=cells)
    sheet = grid.contact_sheet(rows=["a much longer label " * 9], columns=["unbreakable" * 20], cells=cells)
    assert count(sheet, (255, 0, 0)) == 3000
    assert sheet.width == short.width
    assert sheet.height > short.height


@pytest.mark.parametrize("number", [1, 4, 5, 24])
def test_pictures_with_captions_are_wrapped_in_rows(number):
    """
    Each picture is on the sheet once, whole, the rows are about as many as the columns, and no caption, however long, covers any.
    """
    pictures = [picture((200, 100 + index), "red") for index in range(number)]
    sheet = grid.captioned_sheet(captions=["a prompt of many words " * 40] * number, pictures=pictures)
    assert count(sheet, (255, 0, 0)) == sum(200 * (100 + index) for index in range(number))
    across = {1: 1, 4: 4, 5: 4, 24: 5}[number]
    assert across * 200 < sheet.width < across * 200 + 200


@pytest.mark.parametrize("max_pixels", [60_000, 100_000, 250_000])
def test_sheets_stay_below_the_limit_and_lose_nothing(max_pixels):
    """
    Split over sheets, every picture appears once, whole, and no sheet exceeds the limit.
    """
    cells = [[picture((100 + row, 100), "red") for _ in range(4)] for row in range(5)]
    sheets = grid.contact_sheets(rows=list("abcde"), columns=list("1234"), cells=cells, max_pixels=max_pixels)
    assert len(sheets) > 1
    assert all(sheet.width * sheet.height <= max_pixels for sheet in sheets)
    assert sum(count(sheet, (255, 0, 0)) for sheet in sheets) == sum(cell.width * cell.height for row in cells for cell in row)


def test_details_show_the_masks_box_and_fifteen_percent():
    """
    The box is the white region's, grown by 15% of its sides on each side, cut at the picture's edge.
    """
    mask = Image.new("L", (200, 100))
    mask.paste(255, (50, 2, 90, 22))
    assert grid.details_box(mask) == (44, 0, 96, 25)


def axes(columns: int, rows: int) -> dict[str, grid.Axis]:
    """Two axes of so many values."""
    return {
        "x": grid.Axis(name="guidance_scale", values=tuple(f"{value + 1}.5" for value in range(columns))),
        "y": grid.Axis(name="kernel_size", values=tuple(str(2 * value + 1) for value in range(rows))),
    }


def read(letters: Image.Image) -> bool:
    """Whether there is anything but paper."""
    return bool((np.asarray(letters) < 128).any())


@pytest.mark.parametrize(("size", "cell_px"), [((128, 128), 256), ((300, 70), 256), ((9, 11), 256), ((700, 400), None)])
def test_a_labelled_grid_shows_every_picture_whole(size, cell_px):
    """
    Whatever their size, the pictures keep all their pixels, and title, legend and axes stand around them.
    """
    cells = [[picture(size, "red") for _ in range(3)] for _ in range(2)]
    common = {"cells": cells, "cell_px": cell_px, **axes(3, 2)}
    expected = 6 * size[0] * size[1] if cell_px is None or max(size) <= cell_px else 6 * 256 * round(size[1] * 256 / size[0])
    (bare,) = grid.labelled_grids(**common)
    (full,) = grid.labelled_grids(**common, title="Guidance and dilation", constants={"seed": "-732", "prompt": "a red star " * 20})
    assert count(bare, (255, 0, 0)) == count(full, (255, 0, 0)) == expected
    assert full.height > bare.height
    assert read(full.crop((0, 0, full.width, full.height - bare.height)))


def test_what_is_missing_is_hatched_and_says_why():
    """
    A missing picture's field is as large as a picture, hatched, and holds its reason; None says that it is missing.
    """
    empty: list[grid.Cell] = [None, "failed: out of memory", "failed: " + "a very long reason " * 40]
    for cell in empty:
        (sheet,) = grid.labelled_grids(cells=[[picture((200, 150), "red"), cell]], **axes(2, 1))
        field = sheet.crop((sheet.width - 8 - 200, sheet.height - 8 - 150, sheet.width - 8, sheet.height - 8))
        assert count(field, (235, 235, 235)) > 0
        assert count(field, (214, 214, 214)) > 0
        assert read(field)
        assert count(field, (255, 255, 255)) == 0
    (nothing,) = grid.labelled_grids(cells=[[None, None]], **axes(2, 1))
    assert read(nothing)


@pytest.mark.parametrize("max_pixels", [90_000, 140_000, 300_000])
def test_a_large_labelled_grid_is_split_and_loses_nothing(max_pixels):
    """
    Split, every part stays below the limit, every picture appears once, and each part is larger than its pictures by its own labels.
    """
    cells = [[picture((100 + row, 100), "red") for _ in range(5)] for row in range(6)]
    sheets = grid.labelled_grids(cells=cells, title="A large grid", constants={"seed": "7"}, max_pixels=max_pixels, **axes(5, 6))
    assert len(sheets) > 1
    assert all(sheet.width * sheet.height <= max_pixels for sheet in sheets)
    assert sum(count(sheet, (255, 0, 0)) for sheet in sheets) == sum(cell.width * cell.height for row in cells for cell in row)
    assert all(read(sheet.crop((0, 0, sheet.width, 30))) for sheet in sheets)


def test_long_names_and_values_are_wrapped():
    """
    However long names and values are, no picture is covered, and letters keep to the sheet's margin.
    """
    x = grid.Axis(name="unbreakable" * 30, values=("a value of many words " * 8, "b" * 300))
    y = grid.Axis(name="a name longer than the grid is tall " * 9, values=("c" * 99,))
    (sheet,) = grid.labelled_grids(x=x, y=y, cells=[[picture((120, 80), "red"), picture((90, 80), "red")]], title="title " * 60)
    assert count(sheet, (255, 0, 0)) == 120 * 80 + 90 * 80
    pixels = np.asarray(sheet)
    for margin in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (margin == 255).all()


def test_letters_grow_with_the_pictures():
    """
    On a sheet of large pictures the title takes about as much of the height as on one of small pictures.
    """
    title = {"title": "The same", "cell_px": None, **axes(2, 2)}
    heads = []
    for side in (256, 1024):
        (sheet,) = grid.labelled_grids(cells=[[picture((side, side), "red")] * 2] * 2, **title)
        first = int(np.flatnonzero((np.asarray(sheet) == (255, 0, 0)).all(axis=-1).any(axis=1))[0])
        heads.append(first / sheet.height)
    assert heads[1] == pytest.approx(heads[0], rel=0.35)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid.contact_sheet(rows=[], columns=["a"], cells=[]), "needs rows and columns"),
        (lambda: grid.captioned_sheet(captions=["a"], pictures=[]), "1 row label"),
        (lambda: grid.contact_sheet(rows=["a"], columns=["b", "c"], cells=[[None]]), "2 column labels"),
        (lambda: grid.contact_sheet(rows=["a"], columns=["b"], cells=[[None]], cell_px=0), "cell_px is 0"),
        (lambda: grid.contact_sheets(rows=["a"], columns=["b"], cells=[[picture((99, 99), "red")]], max_pixels=9), "make cell_px smaller"),
        (lambda: grid.details_box(Image.new("L", (9, 9))), "no white pixel"),
        (lambda: grid.labelled_grids(cells=[[None]], **axes(2, 1)), "2 column labels"),
        (lambda: grid.labelled_grids(cells=[[picture((99, 99), "red")]], max_pixels=9, **axes(1, 1)), "make cell_px smaller"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(call, message):
    """
    Each impossible table raises one GridError with its reason.
    """
    with pytest.raises(grid.GridError, match=message):
        call()


def test_names_of_files_break_where_their_parts_meet():
    """
    A word that is too wide is broken behind `_`, `-`, `/` or `.`, else anywhere, and no line has one letter of it alone.
    """
    for word in ("juggernautXL_v9-RunDiffusionPhoto_v2.safetensors", "dreamshaperXL_turboDpmppSDE", "a" * 40, "models/Stable-diffusion/x_y"):
        for width_px in range(40, 200, 7):
            lines = lettering.wrap(word, width_px, 14).split("\n")
            assert "".join(lines) == word
            assert all(lettering.width(line, 14) <= width_px for line in lines)
            assert all(len(line) > 1 for line in lines)
    assert lettering.wrap("juggernautXL_v9-RunDiffusion", 150, 14).split("\n")[0].endswith(("_", "-"))
