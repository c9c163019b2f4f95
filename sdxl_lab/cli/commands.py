"""All commands of `sdxl-lab`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from sdxl_lab.cli import asking, distancing, looking, making, measuring, painting, usage

app = typer.Typer(
    cls=usage.Commands,
    help="A lab bench for Stable Diffusion XL: pictures from words, pictures and masks, and every picture kept.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=usage.version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Options of no command."""


# In the order in which the help lists them.
app.command()(making.demo)
app.command(cls=usage.Paints)(painting.paint)
app.command(cls=usage.Pairs)(making.run)
app.command()(making.notebook)
app.command()(making.plan)
app.command()(making.sweep)
app.command(cls=usage.with_help(dataset=usage.datasets))(making.fetch)
app.command()(making.publish)
app.command()(looking.show)
app.command()(looking.push)
app.command()(looking.archive)
app.command()(looking.status)
app.command()(looking.report)
app.command(cls=usage.with_help(task=usage.tasks))(looking.compare)
app.command(cls=usage.with_help(metric=measuring.metrics, **{name: partial(measuring.network, name) for name in measuring.NETWORKS}))(
    measuring.measure
)
app.command(cls=usage.with_help(metric=distancing.metrics, extractor=distancing.extractors))(distancing.distance)
app.add_typer(asking.app, name="study")
app.command()(making.reproduce)
app.command(cls=usage.Pairs)(looking.memory)
app.command()(looking.doctor)
