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
        " qmc is sys.modules['scipy.stats.qmc'], type(qmc.__loader__).__name__, type(qmc.__spec__.loader).__name__]"
    )
    asked, loader = f"{asked}\nimport scipy\nqmc = scipy.stats.qmc", "SourceFileLoader"
    expected = [True, "module", True, "scipy.stats", True, loader, loader]
    assert said_by(after, inside=asked, before="import scipy") == expected


def test_what_is_there_already_is_what_libraries_get():
    """
    A module that was imported before is neither hidden nor imported again.
    """
    assert said_by("scipy.stats is before", inside="import scipy.stats", before="import scipy.stats\nbefore = scipy.stats")


def test_another_thread_is_given_the_module_itself():
    """
    Only who imports large libraries gets a stand-in: a thread that imports a module of its own meanwhile gets that.
    """
    before = "from concurrent.futures import ThreadPoolExecutor"
    inside = "with ThreadPoolExecutor() as pool:\n    found = pool.submit(__import__, 'scipy.stats').result().stats"
    assert said_by("[type(found).__name__, found is sys.modules['scipy.stats']]", inside=inside, before=before) == ["module", True]


@pytest.mark.slow
def test_a_class_that_nothing_is_of_waits_too():
    """
    Where libraries import peft to ask whether a layer is one of its own, none is until somebody imports it; then they are, and all of it is there.
    """
    inside = (
        "from peft.helpers import disable_input_dtype_casting\nfrom peft.tuners.tuners_utils import BaseTunerLayer\n"
        "import importlib.util, torch\nis_there = importlib.util.find_spec('peft') is not None"
    )
    after = (
        "[is_there, [name for name in sys.modules if name.startswith('peft')], isinstance(torch.nn.Linear(1, 1), BaseTunerLayer),"
        " __import__('peft').tuners.tuners_utils.BaseTunerLayer is BaseTunerLayer,"
        " isinstance(__import__('peft').tuners.lora.Linear(torch.nn.Linear(1, 1), 'x', r=1, config=__import__('peft').LoraConfig()), BaseTunerLayer),"
        " issubclass(__import__('peft').tuners.lora.Linear, BaseTunerLayer), __import__('peft').helpers.__spec__.name,"
        " type(__import__('peft').helpers.__loader__).__name__]"
    )
    assert said_by(after, inside=inside) == [True, [], False, False, True, True, "peft.helpers", "SourceFileLoader"]


@pytest.mark.parametrize(
    "asked",
    [
        "from peft import LoraConfig",
        "import peft.helpers, peft; peft.LoraConfig",
        pytest.param("import peft.tuners.lora", marks=pytest.mark.slow),
        pytest.param("import peft; peft.LoraConfig", marks=pytest.mark.slow),
    ],
)
def test_a_package_that_is_used_while_libraries_are_imported_is_all_there(asked):
    """
    Whatever of it is asked for first, a package with stand-ins in it is imported whole, with none of them left.
    """
    after = (
        "[peft.tuners.lora.LoraConfig is peft.LoraConfig, type(peft).__name__, type(sys.modules['peft.helpers']).__name__,"
        " peft.tuners is sys.modules['peft.tuners']]"
    )
    assert said_by(after, inside=f"{asked}\nimport peft") == [True, "module", "module", True]


@pytest.mark.slow
def test_a_picture_without_a_lora_imports_no_peft():
    """
    A checkpoint is loaded and makes a picture without it, and a LoRA that is there is scaled as ever.
    """
    before = "import os, tempfile, warnings\nwarnings.simplefilter('ignore')\nos.chdir(tempfile.mkdtemp())"
    inside = "import importlib\nfrom sdxl_lab.runs.early import PRELOAD\n[importlib.import_module(name.partition(':')[0]) for name in PRELOAD]"
    made = "__import__('sdxl_lab').text_to_image('a star', num_inference_steps=2, high_noise_frac=0.5).image.size"
    scaled = (
        "(lambda peft, torch, utils: (lambda layer: [utils.scale_lora_layers(layer, 0.5), layer.scaling['x'], utils.unscale_lora_layers(layer, 0.5),"
        " layer.scaling['x']])(peft.tuners.lora.Linear(torch.nn.Linear(2, 2), 'x', r=2, lora_alpha=2, config=peft.LoraConfig())))"
        "(__import__('peft'), __import__('torch'), __import__('diffusers.utils.peft_utils', fromlist=['x']))"
    )
    after = f"[{made}, [name for name in sys.modules if name.startswith('peft')], {scaled}]"
    assert said_by(after, inside=inside, before=before) == [[128, 128], [], [None, 0.5, None, 1.0]]


@pytest.mark.slow
def test_libraries_are_what_they_are_without_it():
    """
    What brings which package for diffusers, where transformers has each class, and where torch's operators were registered: as in a process without.
    """
    names = "import diffusers.utils.import_utils as of_diffusers, transformers.models\nfrom torch._library.simple_registry import singleton"
    operators = "sorted((name, entry.fake_impl.kernel.source) for name, entry in singleton._data.items() if entry.fake_impl.kernel)"
    table = "sorted(transformers.models._class_to_module.items()), sorted(transformers._class_to_module.items())"
    packages = "sorted(of_diffusers._package_map.items()), of_diffusers._is_distribution_installed('cv2')"
    after = f"[{operators}, {table}, {packages}, type(of_diffusers._package_map).__name__]"
    *lazily, kind = said_by(after, inside=names)
    *at_once, plain = said_by(after, inside="pass", before=names)
    assert lazily == at_once
    assert all(map(len, lazily))
    assert (kind, plain) == ("_Distributions", "dict")


@pytest.mark.slow
def test_kernels_import_no_statistics():
    """
    Neither before the first notebook nor with a checkpoint; and a scheduler that needs them has them, and makes the steps that it makes by itself.
    """
    steps = "diffusers.EulerDiscreteScheduler(use_beta_sigmas=True)"
    made = "[scheduler.set_timesteps(7), scheduler.sigmas.tolist()]"
    preload = "import importlib\nfrom sdxl_lab.runs.early import PRELOAD\n[importlib.import_module(name.partition(':')[0]) for name in PRELOAD]"
    plain = said_by(made, inside="pass", before=f"import diffusers\nscheduler = {steps}")
    after = f"[[name for name in CALLED if load('pocket') and name in sys.modules], {made}, 'scipy.stats' in sys.modules]"
    inside = f"{preload}\nimport diffusers\nfrom sdxl_lab.checkpoints.loading import load\nscheduler = {steps}"
    assert said_by(after, inside=inside) == [[], plain, True]
