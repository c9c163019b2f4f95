"""The command that makes single pictures: `sdxl-lab paint`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdxl_lab.cli import completion
from sdxl_lab.cli.fetching import Fetch, bring
from sdxl_lab.cli.usage import in_pairs, settings_given
from sdxl_lab.errors import LabError
from sdxl_lab.files import places

if TYPE_CHECKING:
    from sdxl_lab.bench.bench import Bench
    from sdxl_lab.bench.pictures import BenchPicture
    from sdxl_lab.bench.worker import Making
    from sdxl_lab.records.session import SessionFolder

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Ends of a text that is no prompt."""

SIDES = ("left", "right", "top", "bottom")

OF_CODE = ("self", "latest", "on_step", "image", "mask_image")
"""What a bench is told by code alone."""


def paint(
    prompt: Annotated[str | None, typer.Argument(help="What to paint.", metavar="PROMPT")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="A picture to work on; left out, words alone make one.", metavar="FILE")] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help="Its mask: white is repainted.", metavar="FILE")] = None,
    canvas: Annotated[
        list[str] | None, typer.Option("--canvas", help="Paint beyond the picture's border: left=256, and right, top, bottom.", metavar="SIDE=PIXELS")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="What to do, where the files do not tell: outpaint keeps what the mask shows.",
            metavar="TASK",
            autocompletion=completion.tasks,
        ),
    ] = None,
    seed: Annotated[list[str] | None, typer.Option("--seed", help="A seed, or 1-4 or random(4); 0 if left out. Repeatable.", metavar="N")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            *("-p", "--parameters", "--parameter"),
            metavar="NAME VALUE",
            help="A setting by name: -p guidance_scale 5, -p checkpoint sdxl, -p tracking off. Repeatable.",
            callback=in_pairs,
            autocompletion=completion.settings,
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Go on from the last picture: what is not given stays as it was.")] = False,
    earlier: Annotated[
        str | None,
        typer.Option("--from", help="Go on from an earlier picture instead: its number in the session, or its PNG.", metavar="NUMBER|FILE"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(*("-o", "--output"), parser=places.output, help="Write the picture there too.", metavar="FILE.png")
    ] = None,
    fetch: Fetch = False,
) -> None:
    """Make a picture from words, from a picture, or inside its mask, and keep it in today's session.

    The last line is the picture's path. Each picture says how it was made, for show, reproduce and --again.
    """
    given = _parameters(parameter or [], canvas or [])
    if fetch:
        bring(given)
    written = [*(seed or []), *(text for name in ("seed", "seeds") for text in _texts(given.pop(name, None)))]
    seeds = _seeds(written)
    if task is not None:
        given["task"] = task
    prompt, again = given.pop("prompt", None) if prompt is None else prompt, again or earlier is not None
    _require_sense(prompt, again=again, image=image, mask=mask, extends=bool(canvas), output=output)
    if own := [name for name in OF_CODE if name in given]:
        raise typer.BadParameter(f"-p {own[0]}: there is no such setting; sdxl-lab paint --help lists the options")
    from sdxl_lab import progress
    from sdxl_lab.progress.bars import following
    from sdxl_lab.runs.made_picture import require_png
    from sdxl_lab.spec.cautions import MINUS_ONE, CautionWarning

    if output is not None:
        require_png(output)
    if isinstance(named := given.get("checkpoint"), str):
        from sdxl_lab.checkpoints.locating import locate

        locate(named)  # a name that stands for nothing is told before PyTorch starts, which takes seconds
    paths: list[Path] = []
    said: set[str] = set()
    makings: list[Making] = []

    def say(notes: Iterable[str]) -> None:
        for note in notes:
            if note not in said:
                print(f"sdxl-lab: {note}", file=sys.stderr, flush=True)
            said.add(note)

    say([MINUS_ONE] if "-1" in written else [])
    with following() as follow, warnings.catch_warnings():
        warnings.simplefilter("ignore", CautionWarning)  # they are among the pictures' notes
        progress.tell("starting PyTorch")
        bench = _bench(given, again=again, earlier=earlier)
        if mask is not None or not again:
            bench.open(image, mask, as_pixels=True)
        try:
            with follow("paint", len(seeds), lambda: len(paths), lambda: makings[-1].under_way if makings else None):
                for each in seeds:
                    makings.append(bench.start(prompt, seed=each, **given))
                    say(makings[-1].planned.notes)
                    picture = makings[-1].result()
                    say(picture.notes)
                    say(_variant(picture))
                    if makings[-1].step is None:
                        say([f"it was made before, as number {picture.number}: {picture.path}"])
                    if output and (copy := _beside(output, picture.seed, len(paths))).is_file():
                        say([f"replaced {copy}"])
                    paths.append(picture.save(_beside(output, picture.seed, len(paths))) if output else picture.path)
        finally:
            bench.close()
            say(bench.finish() if paths else ())
            print(*paths, sep="\n", end="\n" if paths else "")


def _variant(picture: BenchPicture) -> Iterator[str]:
    """The prompts that a picture has in which words were replaced or drawn."""
    for name in picture.stamp.resolved.template_of(picture.edit):
        yield f"{name} at seed {picture.seed}: {getattr(picture, name)}"


def _parameters(words: list[str], canvas: list[str]) -> dict[str, Any]:
    """What `-p` and `--canvas` give, by name or section; `seeds` are several of `--seed`."""
    given = settings_given(words)
    for written in (part for text in canvas for part in text.split(",")):
        side, _, pixels = written.strip().partition("=")
        if side not in SIDES or not pixels.isdecimal():
            raise typer.BadParameter(f"--canvas got {written!r}; write a side and pixels, such as left=256; sides are {', '.join(SIDES)}")
        given |= {"task": "outpaint", "mode": "canvas", f"{side}_px": int(pixels)}
    return given


def _require_sense(prompt: str | None, *, again: bool, image: Path | None, mask: Path | None, extends: bool, output: Path | None) -> None:
    """See that options go together, and that files are there, before anything large is imported."""
    if prompt and prompt.lower().endswith(PICTURES):
        raise typer.BadParameter(f"the prompt is {prompt!r}, which names a file; write --image {prompt}, or to go on from it --from {prompt}")
    if prompt is None and not again:
        raise typer.BadParameter('what to paint? sdxl-lab paint "a corgi on a reef"; or go on from the last picture with --again')
    if again and image is not None:
        raise typer.BadParameter("--again and --from go on from an earlier picture's own; leave --image out, or leave them out for another picture")
    if mask is not None and not (again or image):
        raise typer.BadParameter("--mask shows what of a picture is repainted; give the picture with --image")
    _require_files(image=image, mask=mask)
    if output is not None and output.suffix.lower() != ".png":
        raise typer.BadParameter(f"-o {output}: it must end in .png, the one format that keeps how a picture was made")
    if extends and not (again or image):
        raise typer.BadParameter("--canvas extends a picture; give it with --image")


def _require_files(**given: Path | None) -> None:
    """See that files are there, of options by their names."""
    from sdxl_lab.settings.hyperparams import closest

    for name, path in given.items():
        if path is None or path.expanduser().exists():
            continue
        folder = path.expanduser().parent
        beside = [other.name for other in folder.iterdir() if other.suffix.lower() in PICTURES] if folder.is_dir() else []
        near = closest(path.name, beside)
        advice = f"did you mean {path.with_name(near)}?" if near else "look up its name"
        raise typer.BadParameter(f"--{name} {path}: there is no such file; {advice}")


def _seeds(written: list[str]) -> list[int | None]:
    """The seeds, in the order in which they were given; None for the one that is taken where none is."""
    from sdxl_lab.settings import ranges

    found: list[int] = []
    for text in written:
        try:
            found += [int(text)] if text.lstrip("+-").isdecimal() else ranges.seeds(text)
        except LabError:
            raise typer.BadParameter(f"--seed: got {text!r}; write a whole number, 1-4 or random(4), and repeat --seed for several") from None
    return list(dict.fromkeys(found)) or [None]


def _texts(value: Any) -> list[str]:
    """One or several values as they would be written."""
    return [] if value is None else [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _bench(given: dict[str, Any], *, again: bool, earlier: str | None) -> Bench:
    """A bench on the session that the picture is kept in; with `again` on the last picture of that, or on an earlier one."""
    from sdxl_lab.bench.bench import Bench

    named, tracking, checkpoint = given.pop("name", None), given.pop("tracking", None), given.pop("checkpoint", None)
    is_file = earlier is not None and not earlier.isdecimal()
    session = _session(named, tracking, goes_on=again)
    if again and not is_file and not (session and session.latest()):
        raise typer.BadParameter("--again and --from NUMBER go on from what was painted, and nothing was painted yet; leave them out")
    if session is None:
        session = Bench(checkpoint or "pocket", named or _today(), tracking=tracking or "auto").session
    if not again or earlier:
        bench = Bench.on(session)
        from_checkpoint = _opened(bench, earlier) if earlier else "pocket"
    else:
        bench = Bench.resume(session)
        from_checkpoint = bench.checkpoint
    bench.checkpoint = checkpoint or from_checkpoint
    return bench


def _opened(bench: Bench, earlier: str) -> str:
    """Put what an earlier picture was made from on a bench, by its number or PNG, and say what its checkpoint was."""
    from sdxl_lab.bench.pictures import meant
    from sdxl_lab.records.stamps import read_stamp
    from sdxl_lab.wording import counted

    if earlier.isdecimal():
        if meant(bench.session, int(earlier), also_deleted=True) is None:
            has, folder = counted(bench.session.count, "picture"), bench.session.path
            raise typer.BadParameter(f"--from {earlier}: the session has {has}, of other numbers; sdxl-lab show {folder} lists them")
        return bench.open_earlier(int(earlier))
    file = Path(earlier).expanduser()
    _require_files(**{"from": file})
    try:
        read_stamp(file)
    except LabError as error:
        raise typer.BadParameter(
            f"--from {earlier}: it does not say how it was made ({error}); to work on what it shows write --image {earlier}"
        ) from None
    return bench.open_earlier(earlier)


def _session(named: str | None, tracking: str | None, *, goes_on: bool) -> SessionFolder | None:
    """The session that was used last among those that are meant: of that name, or of painting today, or any day to go on from it."""
    from sdxl_lab.bench.sessions import session_of, sessions

    if goes_on and tracking is not None:
        raise typer.BadParameter("-p tracking: got it with --again or --from, which go on in a session that is told already; leave one of them out")
    if goes_on and named is not None:
        return session_of(named)
    meant = [one for one in sessions() if one.name == (named or _today()) or (goes_on and one.name.startswith(PAINTED))]
    fitting = [one for one in meant if goes_on or one.tracking == (tracking or "auto")]
    return fitting[-1] if fitting else None


PAINTED = "paint-"
"""How the sessions begin that the command makes, one a day."""


def _today() -> str:
    from sdxl_lab.bench.sessions import today

    return PAINTED + today()


def _beside(output: Path, seed: int, number: int) -> Path:
    """The file of a picture: as it was named, and of each further seed with the seed in its name."""
    from sdxl_lab.spec.edit import apart

    return output.with_stem(apart(output.stem, "-", seed, number))
