"""What light commands ask of a checkpoint is answered without torch."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from sdxl_lab.checkpoints.locating import identify
identity = identify(sys.argv[1])
heavy = {"torch", "diffusers", "transformers"} & set(sys.modules)
assert not heavy, heavy
print(identity.digest)
"""


def test_a_checkpoint_is_identified_without_torch(random_pair):
    """
    Finding, checking and hashing a checkpoint imports no library of models, and gives the digest that loading it requires.
    """
    from sdxl_lab.checkpoints.locating import identify

    done = subprocess.run([sys.executable, "-c", PROGRAM, str(random_pair)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == identify(str(random_pair)).digest
