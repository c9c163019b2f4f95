"""A site file for sweeps through Parsl, `sdxl-lab sweep FILE --parsl parsl_local.py`: two workers on this machine.

On a cluster, replace LocalProvider with SlurmProvider, PBSProProvider or KubernetesProvider, and say with `available_accelerators` how many
GPUs a node has: each worker then sees one of them.
"""

from parsl import Config, HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="local",
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=2,
            cores_per_worker=1,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
    ],
    run_dir="artifacts/parsl",
    usage_tracking=0,
)
