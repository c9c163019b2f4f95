"""The `sdxl-lab` command: a thin shell over the rooms, quick to start because each command imports what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sdxl_lab.errors import LabError

PARAMETER_FLAGS = ("-p", "--parameter")

app = typer.Typer(
    help="A lab bench for Stable Diffusion XL image editing: inpaint and outpaint a dataset, keep every picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class ParameterError(LabError):
    """A parameter given to the command cannot be read."""


def main() -> None:
    """Run the command; leave with 0 (done), 1 (an error, said in one message) or 2 (wrong usage)."""
    try:
        app(_paired(sys.argv[1:]), prog_name="sdxl-lab")
    except LabError as error:
        print(f"sdxl-lab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("sdxl-lab: interrupted; pictures made so far are kept: the same command goes on from there", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of a pipe left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def demo() -> None:
    """Inpaint and outpaint five pictures in three ways: base, base and refiner, the same with dilated masks."""
    from sdxl_lab.demo import demo

    demo()


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="An .ipynb file, or inpaint_outpaint for the built-in one.", metavar="NOTEBOOK")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A dotted path and its value, read as YAML; wins over -y. Repeatable."),
    ] = None,
    yaml_file: Annotated[Path | None, typer.Option("-y", "--yaml", metavar="FILE", help="A YAML file of parameters.")] = None,
) -> None:
    """Run a notebook through papermill, resumably: -p hyperparameters.denoising.guidance_scale 5."""
    from sdxl_lab import notebooks
    from sdxl_lab.experiment import execute
    from sdxl_lab.hyperparams import merge, replace
    from sdxl_lab.progress import following

    given = _pairs(parameter or [])
    path = notebooks.find(notebook)
    parameters = merge(notebooks.parameters_of(path), _yaml_parameters(yaml_file))
    for name, value in given:
        parameters = merge(parameters, replace({}, name, value))
    with following() as follow:
        resolved = execute(path, parameters, follow)
    print(f"{len(resolved.spec.edits)} pictures in {resolved.folder.path}")


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="A folder, pocket-scenes, or a Comet artifact workspace/name:version.", metavar="DATASET")],
) -> None:
    """Fetch a dataset, check all of it and list what it holds."""
    from sdxl_lab.experiment import fetch
    from sdxl_lab.show import print_dataset

    print_dataset(fetch(dataset))


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A run's folder, or a picture that sdxl_lab made.", metavar="RUN-or-PICTURE")],
    as_parameters: Annotated[bool, typer.Option("--as-parameters", help="Print the YAML that continues from it: sdxl-lab run ... -y FILE.")] = False,
) -> None:
    """Show what a run holds, or how a picture was made."""
    from sdxl_lab.show import parameters_of, print_path

    if as_parameters:
        import yaml

        print(yaml.safe_dump(parameters_of(path), sort_keys=False, allow_unicode=True, width=150), end="")
    else:
        print_path(path)


def _paired(arguments: Sequence[str]) -> list[str]:
    """Join the name and the value after each -p: typer has no repeatable option of two values."""
    rest, joined = iter(arguments), []
    for argument in rest:
        joined.append(argument)
        if argument in PARAMETER_FLAGS:
            name = next(rest, None)
            if name is None:
                break
            value = next(rest, None)
            joined.append(name if value is None else f"{name}={value}")
    return joined


def _pairs(parameters: Sequence[str]) -> list[tuple[str, Any]]:
    import yaml

    pairs = []
    for parameter in parameters:
        name, equals, text = parameter.partition("=")
        if not equals:
            raise typer.BadParameter(f"got {name!r} and no value; write -p NAME VALUE", param_hint="-p")
        try:
            pairs.append((name, yaml.safe_load(text)))
        except yaml.YAMLError as error:
            raise ParameterError(f"{name}: {text!r} cannot be read as YAML ({_one_line(error)}); quote it: -p {name} '\"...\"'") from error
    return pairs


def _yaml_parameters(path: Path | None) -> dict[str, Any]:
    import yaml

    if path is None:
        return {}
    try:
        parameters = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}; give a YAML file of parameters") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"{path} is not YAML ({_one_line(error)}); it holds lines such as\nhyperparameters:\n  denoising: {{guidance_scale: 5}}"
        ) from error
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise ParameterError(f"{path} holds a {type(parameters).__name__}; it must hold parameters by name, such as\ncheckpoint: pocket")
    return parameters


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
