"""The package as people install it: a wheel, in an environment of its own, used in a folder far from the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdxl_lab.kernels import notebooks
from tests.support.pages import RUN, Block, Reader, blocks

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("clone", "installing", "browser", "comet")
"""Needs of blocks that are not for a wheel, or not without an account."""

QUICK = """
name: quick
parameters: {samples: [red-circle], tasks: [inpaint], hyperparameters.denoising.num_inference_steps: 3}
grid: {hyperparameters.seed: [1, 2]}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built by pip as for an index."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel, which takes what the package depends on from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel], check=True)
    places = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # Packages that are installed as links to a folder, as this one is there, are not found by way of another environment.
    Path(places["purelib"], "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


@dataclass(kw_only=True)
class User(Reader):
    """
    Somebody who has installed the wheel, and no clone.
    """

    installed: Path

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment = {"PATH": os.pathsep.join([str(self.installed / "bin"), os.environ["PATH"]]), "PYTHONPATH": ""}

    def command(self, line: str, code: int = 0, block: Block | None = None) -> str:
        """
        Run one command in a shell.
        """
        ended = subprocess.run(["bash", "-c", line], env=os.environ | self.environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert ended.returncode == code, f"{block or ''} {line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def python(self, text: str, block: Block) -> None:
        """
        Run code in a process of its own.
        """
        (self.folder / "code.py").write_text(text)
        self.command("python code.py", 0, block)


@pytest.fixture
def user(environment, tmp_path) -> User:
    """Somebody in a folder of their own."""
    return User(folder=tmp_path, installed=environment)


@pytest.mark.slow
def test_the_wheel_holds_all_of_the_package_and_what_people_start_from(wheel):
    """
    Every file of the package that git knows is in the wheel, and each notebook, sweep file and site file; nothing else is.
    """
    known = subprocess.run(["git", "ls-files", "sdxl_lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    examples = [f"sdxl_lab/notebooks/{path.name}" for kind in ("*.ipynb", "*.yaml", "parsl_*.py") for path in (ROOT / "notebooks").glob(kind)]
    held = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted([*known, *examples])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readme_can_be_followed_with_the_wheel(user):
    """
    What README has people type after the installation does what it says, in a folder far from the repository.
    """
    assert str(user.installed) in user.command("python -c 'import sdxl_lab; print(sdxl_lab.__file__)'")
    followed = [block for block in blocks("README.md") if block.language in RUN and block.needs not in ELSEWHERE]
    for block in followed:
        user.follow(block)
    assert len(followed) > 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_notebooks_sweeps_and_reports_need_no_clone(user):
    """
    A notebook is copied out and run by papermill in a warm kernel; a sweep is planned, run by two workers, compared, reported, and made again.
    """
    (user.folder / "quick.yaml").write_text(QUICK)
    assert all(name in user.command("sdxl-lab notebook") for name in notebooks.built_in())
    user.command("sdxl-lab notebook inpaint_outpaint && sdxl-lab notebook compare && sdxl-lab notebook fractions")
    quick = "{samples: [red-circle], tasks: [inpaint], hyperparameters: {denoising: {num_inference_steps: 3}}}"
    logged = user.command(f"python -m papermill inpaint_outpaint.ipynb out.ipynb --engine warm --no-progress-bar -y '{quick}' 2>&1")
    assert "new kernel" not in logged  # what the notebook leaves is told from what the environment brings, wherever that lies
    assert notebooks.is_whole(user.folder / "out.ipynb")
    assert "12 points, 0 done, 12 to run" in user.command("sdxl-lab plan fractions.yaml")
    assert "time still needed: about" in user.command("sdxl-lab plan quick.yaml")
    assert user.command("sdxl-lab sweep quick.yaml --workers 2").startswith("2 of 2 runs are done: ")
    user.command("sdxl-lab compare quick.yaml --notebook compared.ipynb --csv numbers.csv")
    assert notebooks.is_whole(user.folder / "compared.ipynb")
    user.command("sdxl-lab report artifacts/runs -o page.html")
    assert "red-circle" in (user.folder / "page.html").read_text()
    [picture] = (user.folder / "artifacts" / "runs" / "quick").glob("seed_1-*/images/red-circle/inpaint.png")
    assert "identical" in user.command(f"sdxl-lab reproduce {picture}")
    assert re.search(r"quick/seed_2-\w+ +1 of 1 +yes", user.command("sdxl-lab status"))
