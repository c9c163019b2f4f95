"""How the previous generation of the pocket checkpoint is made and measured: a small Stable Diffusion 2."""
