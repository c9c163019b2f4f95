import numpy as np
import pytest
from PIL import Image

from sdxl_lab import grid


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid.contact_sheet(rows=[], columns=["a"], cells=[]), "needs rows and columns"),
        (lambda: grid.contact_sheet(rows=["a"], columns=["b", "c"], cells=[[None]]), "2 column labels"),
        (lambda: grid.contact_sheet(rows=["a"], columns=["b"], cells=[[None]], cell_px=0), "cell_px is 0"),
        (lambda: grid.contact_sheets(rows=["a"], columns=["b"], cells=[[picture((99, 99), "red")]], max_pixels=9), "make cell_px smaller"),
        (lambda: grid.details_box(Image.new("L", (9, 9))), "no white pixel"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(call, message):
    """
    Each impossible table raises one GridError with its reason.
    """
    with pytest.raises(grid.GridError, match=message):
        call()
