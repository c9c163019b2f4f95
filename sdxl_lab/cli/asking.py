"""The commands of preference studies: asking people, and reading what they answered."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from sdxl_lab.cli import completion, usage
from sdxl_lab.cli.looking import folders_of
from sdxl_lab.files import places
from sdxl_lab.wording import counted

app = typer.Typer(cls=usage.Commands, no_args_is_help=True, rich_markup_mode=None, help="Ask people which pictures they prefer, blind.")


@app.command()
def new(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, sweeps or sessions, folders above some, or sweep files.", metavar="RUN|SWEEP|SESSION")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The study's folder, which must not be there yet.", metavar="FOLDER")] = Path(
        "study"
    ),
    question: Annotated[
        str,
        typer.Option(
            "--question",
            help="better: which picture is better; prompt: which fits the prompt better; edit: which edit is cleaner.",
            metavar="better|prompt|edit",
            autocompletion=completion.questions,
        ),
    ] = "better",
    pairs: Annotated[int | None, typer.Option("--pairs", help="How many times judges choose; all that there are, 100 at most, if left out.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="By which is drawn what is shown.")] = 0,
    together: Annotated[int, typer.Option("--together", help="How many pictures are shown at a time, from 2 to 9.")] = 2,
    repeat: Annotated[float, typer.Option("--repeat", help="Share of what is asked a second time, the other way round, from 0 to 1.")] = 0.1,
) -> None:
    """Make a page that asks people which picture they prefer, of runs that differ in a setting; nothing on it says which is which."""
    from sdxl_lab.studies.making import study
    from sdxl_lab.tables import wrapped

    made = study(folders_of(runs), output, question=question, pairs=pairs, seed=seed, together=together, repeat=repeat)  # pyright: ignore[reportArgumentType]
    width = shutil.get_terminal_size().columns
    for note in made.notes:
        print(wrapped(note, width))
    for label in made.key.systems:
        print(f"  {label}")
    print(f"written: {made.page}; send that one file to judges, and keep {made.folder / 'study.json'}, which says what is what")
    print(f"when they have sent votes-NAME.json back: sdxl-lab study result {shlex.quote(str(made.folder))} votes-*.json")


def _check(study: Path) -> None:
    """Say what is no study, before its answer's place is looked at, which may be a file's then."""
    from sdxl_lab.studies.trials import Study

    Study.read(study.expanduser())


@app.command()
def result(
    study: Annotated[Path, typer.Argument(help="The study's folder, with its study.json.", metavar="STUDY")],
    votes: Annotated[
        list[Path] | None, typer.Argument(help="Files that judges sent back; the folder's own votes-*.json if left out.", metavar="VOTES")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the answer is kept; result in the study's folder if left out.", metavar="FOLDER")
    ] = None,
    min_self_agreement: Annotated[
        float,
        typer.Option("--min-self-agreement", help="Leave out judges who answered less of the repeated questions as before: a share, such as 0.7."),
    ] = 0.0,
) -> None:
    """Count the votes of a study: shares with 95% intervals, judges, and which recorded metrics agree with people; the runs' report has it then."""
    from sdxl_lab.studies.printed import print_result
    from sdxl_lab.studies.recorded import keep_beside
    from sdxl_lab.studies.result import study_result
    from sdxl_lab.studies.result_page import write_result
    from sdxl_lab.studies.trials import Study

    _check(study)
    folder = output or study / "result"
    if reason := places.unmakeable(folder):
        raise places.PlaceError(f"the output: got {str(folder)!r}; allowed is a folder, and {reason}")
    found = study_result(study, votes or [], min_self_agreement=min_self_agreement)
    print_result(found)
    print(f"written: {write_result(found, folder)}")
    if kept := keep_beside(found, Study.read(study), study):
        print(f"kept beside {counted(len(kept), 'record')} too ({kept[0].parent.name}): compare, report and push have it now")
