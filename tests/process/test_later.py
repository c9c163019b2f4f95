"""What is imported later is the module itself by the time that anybody can see it, and a picture's schedulers are as diffusers has them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

LOADED = """
import json, sys
{before}
from sdxl_lab.process.imports import importing
from sdxl_lab.process.later import CALLED
with importing:
{inside}
print(json.dumps({after}))
"""


def said_by(after: str, *, inside: str, before: str = "") -> Any:
    """
    What a new process says after it has imported something.
    """
    code = LOADED.format(before=before, inside="\n".join(f"    {line}" for line in inside.splitlines()), after=after)
    done = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_module_that_only_others_need_is_not_imported():
    """
    A library that imports it has it when it asks, whoever imports it afterwards has it at once, and finder, package and table are as they were.
    """
    before = "import importlib.metadata, scipy\nfinders, find = list(sys.meta_path), importlib.metadata.packages_distributions"
    inside = (
        "import scipy.stats, scipy.optimize\nfrom scipy.optimize import linear_sum_assignment as solve\n"
        "assert not any(name.startswith('scipy.stats._') for name in sys.modules)\nkept = scipy.stats"
    )
    after = (
        "['scipy.stats' in sys.modules, 'scipy.optimize' in sys.modules, 'stats' in vars(scipy),"
        " [int(index) for index in solve([[2, 1], [1, 3]])[0]], scipy.optimize.linear_sum_assignment.__module__.split('.')[0],"
        " scipy.stats is sys.modules['scipy.stats'], kept.norm is scipy.stats.norm, kept is scipy.stats,"
        " sys.meta_path == finders, importlib.metadata.packages_distributions is find]"
    )
    assert said_by(after, inside=inside, before=before) == [False, False, False, [0, 1], "scipy", True, True, False, True, True]


@pytest.mark.parametrize(
    "asked",
    [
        "from scipy.stats import norm",
        "from scipy.stats import *",
        "import scipy.stats; norm = scipy.stats.norm",
        "import scipy.stats.qmc; from scipy.stats import norm",
        "import scipy.stats\nfrom scipy.stats._multivariate import multivariate_normal\nfrom scipy.stats import norm",
        "from scipy.stats.distributions import norm",
    ],
)
def test_a_module_that_is_used_while_libraries_are_imported_is_imported_then(asked):
    """
    By whatever words it is asked for, there is one of it, under its name and in its package, and so of what is in it.
    """
    after = (
        "[sys.modules['scipy.stats'] is scipy.stats, type(scipy.stats).__name__, norm is scipy.stats.norm, scipy.stats.__spec__.name,"
        " scipy.stats.qmc is sys.modules['scipy.stats.qmc'], type(scipy.stats.qmc.__loader__).__name__, type(scipy.stats.qmc.__spec__.loader).__name__]"
    )
    loader = "SourceFileLoader"
    expected = [True, "module", True, "scipy.stats", True, loader, loader]
    assert said_by(after, inside=f"{asked}\nimport scipy", before="import scipy") == expected


def test_what_is_there_already_is_what_libraries_get():
    """
    A module that was imported before is neither hidden nor imported again.
    """
    assert said_by("scipy.stats is before", inside="import scipy.stats", before="import scipy.stats\nbefore = scipy.stats")


def test_another_thread_is_given_the_module_itself():
    """
    Only who imports large libraries gets a stand-in: a thread that imports a module of its own meanwhile gets that.
    """
    inside = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    found = pool.submit(__import__, 'scipy.stats').result().stats"
    assert said_by("[type(found).__name__, found is sys.modules['scipy.stats']]", inside=inside) == ["module", True]


@pytest.mark.slow
def test_libraries_are_what_they_are_without_it():
    """
    Diffusers knows which packages bring what, and transformers where each of its classes is, as in a process that imports them itself.
    """
    names = "import diffusers.utils.import_utils as of_diffusers, transformers.models"
    after = (
        "[sorted(of_diffusers._package_map.items()), of_diffusers._package_map.get('no_such_package'), of_diffusers._is_distribution_installed('cv2'),"
        " sorted(transformers.models._class_to_module.items()), sorted(dir(transformers)), type(of_diffusers._package_map).__name__]"
    )
    *lazily, kind = said_by(after, inside=names)
    *at_once, plain = said_by(after, inside="pass", before=names)
    assert lazily == at_once
    assert (kind, plain) == ("_Distributions", "dict")


@pytest.mark.slow
def test_kernels_import_no_statistics():
    """
    All that a kernel imports before its first notebook, and a scheduler whose steps need them has them: the very steps that diffusers makes.
    """
    steps = "diffusers.EulerDiscreteScheduler(use_beta_sigmas=True)"
    after = "[scheduler.set_timesteps(7), scheduler.sigmas.tolist(), 'scipy.stats' in sys.modules, had]"
    preload = "import importlib\nfrom sdxl_lab.runs.early import PRELOAD\n[importlib.import_module(name.partition(':')[0]) for name in PRELOAD]"
    inside = f"{preload}\nimport diffusers\nscheduler = {steps}"
    made = said_by(after.replace("had", "False"), inside=inside)
    plain = said_by(after.replace("had", "False"), inside="pass", before=f"import diffusers\nscheduler = {steps}")
    assert made == plain
    assert said_by("[name for name in CALLED if name in sys.modules]", inside=preload) == []
