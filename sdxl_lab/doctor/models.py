"""What pictures are computed with: the checkpoint's files, torch, the device, attention, diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from sdxl_lab.doctor.findings import Finding, attention, broken, ok, quoted
from sdxl_lab.doctor.machine import nvidia_driver
from sdxl_lab.errors import LabError
from sdxl_lab.wording import counted

REINSTALL = 'pip install --force-reinstall "torch>=2.6", the build for this machine as pytorch.org names it'


def files(checkpoint: str | None) -> Iterator[Finding]:
    """Whether the checkpoint's files are there and whole, without any of it in memory."""
    from sdxl_lab import families
    from sdxl_lab.checkpoints.descriptions import described
    from sdxl_lab.checkpoints.locating import license_of, locate
    from sdxl_lab.checkpoints.own_defaults import few_steps
    from sdxl_lab.families.pocket import POCKET

    assert checkpoint is not None
    try:
        source = locate(checkpoint)
        identity = source.identity
    except LabError as error:
        named = families.named(checkpoint)
        terms = f"license: {named[1].license}; " if named and isinstance(named[1], families.Published) and named[1].license else ""
        yield broken("checkpoint", f"{terms}{quoted(error, 500)}")  # which says what to do
        return
    what = {"PipelineFolder": "a folder in diffusers' layout", "SingleFile": "a single file", "Repository": "a repository of the hub"}
    about = described(source)
    refiner = "with a refiner" if source.refiner else "without a refiner"
    kind = f"{what[type(source.base).__name__]}, of the family {identity.family}, {refiner}{f'; {about}' if about else ''}"
    few = few_steps(identity)
    terms = "" if checkpoint in POCKET.names else f"; license: {license_of(identity) or 'not said here, see its source'}"
    yield ok("checkpoint", f"{kind}; its files are there; digest {identity.digest[:12]}{terms}{f'; {few}' if few else ''}")


def torch(_: str | None) -> Iterator[Finding]:
    """Whether torch can be imported, and how it computes on the CPU."""
    try:
        import sdxl_lab.checkpoints.loading  # noqa: F401 - imports torch, as everything does that makes pictures
        from sdxl_lab.checkpoints import accelerator
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        yield broken("torch", f"cannot be imported: {quoted(error)}", REINSTALL)
        return
    from sdxl_lab.records import machine

    versions, rightly = machine.versions(), accelerator.computes_rightly("cpu", "float32")
    line = f"{versions.get('torch', 'of an unknown version')}; on the CPU {counted(machine.threads() or 0, 'thread')}, {machine.instruction_set()}"
    yield ok("torch", line) if rightly else broken("torch", f"{line}; it computes wrongly", REINSTALL)


def device(_: str | None) -> Iterator[Finding]:
    """Where pictures are computed, in which dtype, and what of SDXL fits there."""
    from sdxl_lab.checkpoints import accelerator

    found, driver = accelerator.accelerator(), nvidia_driver()
    if found.device == "cpu":
        if driver is None:
            yield ok("device", "the CPU, in float32; no GPU was found. That does for pocket; a picture of SDXL takes many minutes")
            return
        said = f"; torch says: {' '.join(found.warned)}"[:300] if found.warned else ""
        fault = f"an NVIDIA driver ({driver or 'of an unknown version'}) is here, and torch, built for {found.build}, sees no GPU{said}"
        cure = (
            "a build of torch for CUDA, as pytorch.org names it" if found.build == "the CPU alone" else "a newer driver, or an older build of torch"
        )
        yield attention("device", fault, f"{cure}; in a container, let it see the GPU; unset CUDA_VISIBLE_DEVICES if it is set")
        return
    drivers = f", driver {driver}" if driver else ""
    capable = f", compute capability {found.capability}" if found.capability else ""
    line = f"{found.device}: {found.name}{capable}{drivers}, torch built for {found.build}; SDXL in {found.dtype}"
    try:
        rightly = accelerator.computes_rightly(found.device, found.dtype)
    except RuntimeError as error:
        yield broken("device", f"{line}; it does not compute: {quoted(error)}", "take a build of torch that knows this GPU, as pytorch.org names it")
        return
    yield ok("device", line) if rightly else broken("device", f"{line}; it computes wrongly", "update the driver, or take another build of torch")
    if found.total_bytes:
        offload = accelerator.offload_for_sdxl(found.free_bytes)
        fits = "SDXL with its refiner fits whole" if offload == "none" else f"SDXL with its refiner fits with compute.offload {offload}"
        line = f"{found.free_bytes / 1e9:.1f} of {found.total_bytes / 1e9:.1f} GB are free: at 1024x1024 {fits}"
        yield (
            ok("gpu memory", line)
            if offload == "none"
            else attention("gpu memory", line, "-p hyperparameters.compute.offload auto; sdxl-lab memory sdxl names what else makes it fit")
        )


def sdpa(_: str | None) -> Iterator[Finding]:
    """Which ways of computing attention torch has here."""
    from sdxl_lab.checkpoints import accelerator

    found = accelerator.accelerator()
    kernels = accelerator.attention_kernels(found.device, found.dtype)
    try:
        xformers = f"xformers {metadata.version('xformers')} is there, and not used"
    except metadata.PackageNotFoundError:
        xformers = "xformers is not there, and not needed"
    line = f"scaled_dot_product_attention on {found.device}, {found.dtype}: {', '.join(kernels) or 'no kernel works'}; {xformers}"
    if not kernels:
        yield broken("sdpa", line, REINSTALL)
    elif kernels == ["math"] and found.device == "cuda":
        yield attention("sdpa", line, "without the other kernels a GPU needs far more memory: take a build of torch that knows this GPU")
    else:
        yield ok("sdpa", line)


def diffusers(_: str | None) -> Iterator[Finding]:
    """Whether diffusers and transformers can be imported, and are those that the lab extends."""
    try:
        from sdxl_lab.generation import generate  # noqa: F401 - imports of both what pictures need
    except Exception as error:  # noqa: BLE001 - these libraries fail in many ways when others do not suit them
        advice = "pip install --upgrade sdxl-lab, so that pip chooses versions that suit it; torchvision, if it is there, must suit torch"
        yield broken("diffusers", f"cannot be imported, or is not the one that the lab knows: {quoted(error)}", advice)
        return
    yield ok("diffusers", f"{metadata.version('diffusers')} with transformers {metadata.version('transformers')}, imported")
