#!/usr/bin/env python3
"""The step of gpt.py under DeepSpeed: ZeRO stages on CPU ranks over gloo, state in memory or on NVMe.

    OMP_NUM_THREADS=1 DS_ACCELERATOR=cpu PYTHON -m torch.distributed.run --standalone --nproc-per-node 2 \\
        perf/peers/zero.py tiny --stage 2

Its first run compiles DeepSpeed's operations, some minutes each. Prints what gpt.py prints.
"""

import argparse
import json
import os
import resource
import time

import deepspeed
import torch

from gpt import SIZES, Gpt, seconds_since_start


def configuration(arguments, micro):
    zero = {"stage": arguments.stage}
    if arguments.nvme:
        place = {"device": "nvme", "nvme_path": arguments.nvme}
        zero["offload_optimizer"] = {**place, "pipeline_read": True, "pipeline_write": True}
        if arguments.parameters:
            zero["offload_param"] = {**place, "max_in_cpu": 0}
    return {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_clipping": 0,
        "zero_optimization": zero,
        "bf16": {"enabled": arguments.dtype == "bf16"},
        "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}},
        "steps_per_print": 1 << 30,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--stage", type=int, default=0)
    parser.add_argument("--nvme", help="folder for the optimizer's state")
    parser.add_argument("--parameters", action="store_true", help="parameters on NVMe too")
    arguments = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(1234)
    deepspeed.init_distributed("gloo")
    shape = SIZES[arguments.size]
    context, vocabulary, batch = shape[3], shape[4], shape[5] // int(os.environ["WORLD_SIZE"])
    engine, *_ = deepspeed.initialize(model=Gpt(*shape[:5]), config=configuration(arguments, batch))

    times = []
    first = None
    for _ in range(arguments.steps):
        data = torch.randint(vocabulary, (batch, context + 1))
        start = time.perf_counter()
        loss = engine(data[:, :-1].contiguous(), data[:, 1:].contiguous())
        engine.backward(loss)
        engine.step()
        times.append(time.perf_counter() - start)
        first = first or seconds_since_start()
    if engine.global_rank == 0:
        print(json.dumps({"version": deepspeed.__version__, "steps": times, "first_step": first, "loss": loss.item(),
                          "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


if __name__ == "__main__":
    main()
