"""The built-in checkpoint: its synthetic world, its datasets, its weights, and in `training` how they were made. No other room imports it."""

from sdxl_lab.process.quiet import quiet_libraries

quiet_libraries()  # here, since its commands import diffusers before they run
