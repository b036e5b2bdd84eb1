#!/usr/bin/env python3
"""Writes the golden trajectories beside this file by running DeepSpeed 0.19.8's own classes.

    python3 validation/reference/optim/make_goldens.py DEEPSPEED_SOURCE

DEEPSPEED_SOURCE is an unpacked source archive of DeepSpeed 0.19.8, for example

    pip download --no-deps --no-binary :all: deepspeed==0.19.8 && tar xzf deepspeed-0.19.8.tar.gz

Only deepspeed/runtime/lr_schedules.py and deepspeed/runtime/fp16/loss_scaler.py are executed, with
stand-ins for the modules they log through; PyTorch (Debian: python3-torch) gives the optimizers.
A line `step lr beta1 beta2` says what the optimizer holds when it makes update number `step`
(0-based) of a run without skipped steps: the scheduler is built before the first update and its
step() is called after each one, as DeepSpeed's engine does. Numbers are Python's repr of doubles.
"""

import importlib.util
import json
import logging
import math
import pathlib
import random
import sys
import types

import torch

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "0.19.8"


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    module.__path__ = []
    sys.modules[name] = module


def load(source, path, name):
    spec = importlib.util.spec_from_file_location(name, source / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def deepspeed_modules(source):
    if (source / "version.txt").read_text().strip() != VERSION:
        sys.exit(f"expected DeepSpeed {VERSION} in {source}")
    quiet = logging.getLogger("deepspeed")
    quiet.setLevel(logging.CRITICAL)
    stand_in("deepspeed")
    stand_in("deepspeed.utils", logger=quiet, log_dist=lambda *a, **k: None)
    stand_in("deepspeed.runtime")
    stand_in("deepspeed.runtime.config_utils", DeepSpeedConfigObject=object)
    stand_in("deepspeed.runtime.utils", has_inf_or_nan=None)
    stand_in("deepspeed.comm", get_rank=lambda: 0)
    sys.modules["deepspeed"].comm = sys.modules["deepspeed.comm"]
    return (load(source, "deepspeed/runtime/lr_schedules.py", "deepspeed.runtime.lr_schedules"),
            load(source, "deepspeed/runtime/fp16/loss_scaler.py", "deepspeed.runtime.loss_scaler"))


SCHEDULES = {
    "lr_range_test": [
        ("LRRangeTest", {"lr_range_test_min_lr": 1e-4, "lr_range_test_step_size": 7,
                         "lr_range_test_step_rate": 2.5}, "Adam", range(30)),
        ("LRRangeTest", {"lr_range_test_min_lr": 3e-4, "lr_range_test_step_size": 5,
                         "lr_range_test_step_rate": 0.3, "lr_range_test_staircase": True},
         "Adam", range(30)),
        ("LRRangeTest", {}, "Adam", [0, 1, 2, 100, 1999, 2000, 2001, 2002, 9000]),
    ],
    "one_cycle": [
        ("OneCycle", {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3, "cycle_first_step_size": 6},
         "Adam", range(20)),
        ("OneCycle", {"cycle_min_lr": 1e-4, "cycle_max_lr": 2e-3, "cycle_first_step_size": 7,
                      "cycle_second_step_size": 13, "decay_step_size": 3, "decay_lr_rate": 0.5,
                      "cycle_min_mom": 0.85, "cycle_max_mom": 0.95, "decay_mom_rate": 0.001},
         "Adam", range(40)),
        ("OneCycle", {"cycle_min_lr": 2e-4, "cycle_max_lr": 2e-3, "cycle_first_step_size": 12,
                      "cycle_second_step_size": 9, "cycle_first_stair_count": 4,
                      "cycle_second_stair_count": 3, "decay_step_size": 2,
                      "decay_lr_rate": 0.25, "cycle_momentum": False}, "Adam", range(34)),
        ("OneCycle", {"cycle_min_lr": 2e-4, "cycle_max_lr": 2e-3, "cycle_first_step_size": 10,
                      "cycle_first_stair_count": 3, "decay_step_size": 4,
                      "decay_mom_rate": 0.002}, "Adam", range(34)),
        ("OneCycle", {"cycle_min_lr": 1e-3, "cycle_max_lr": 1e-2, "cycle_first_step_size": 5,
                      "cycle_second_step_size": 0, "decay_step_size": 5, "decay_lr_rate": 1.0},
         "SGD", range(20)),
        ("OneCycle", {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3}, "Adam",
         [0, 1, 2, 500, 1999, 2000, 2001, 2002, 3000, 3999, 4000, 4001, 4002, 9000]),
    ],
    "warmup_lr": [
        ("WarmupLR", {"warmup_min_lr": 1e-5, "warmup_max_lr": 1e-3, "warmup_num_steps": 10},
         "Adam", range(16)),
        ("WarmupLR", {"warmup_num_steps": 9, "warmup_type": "linear"}, "Adam", range(16)),
        ("WarmupLR", {"warmup_num_steps": 1, "warmup_max_lr": 2e-3}, "Adam", range(6)),
        ("WarmupLR", {}, "Adam", [0, 1, 2, 3, 10, 100, 999, 1000, 1001, 1002, 5000]),
    ],
    "warmup_decay_lr": [
        ("WarmupDecayLR", {"total_num_steps": 24, "warmup_min_lr": 1e-5, "warmup_max_lr": 1e-3,
                           "warmup_num_steps": 8}, "Adam", range(30)),
        ("WarmupDecayLR", {"total_num_steps": 30, "warmup_max_lr": 6e-4, "warmup_num_steps": 5,
                           "warmup_type": "linear"}, "Adam", range(34)),
        ("WarmupDecayLR", {"total_num_steps": 4, "warmup_num_steps": 8,
                           "warmup_type": "linear"}, "Adam", range(12)),
        ("WarmupDecayLR", {"total_num_steps": 3000}, "Adam",
         [0, 1, 2, 3, 10, 999, 1000, 1001, 1002, 2000, 2999, 3000, 3001, 4000]),
    ],
    "warmup_cosine_lr": [
        ("WarmupCosineLR", {"total_num_steps": 24, "warmup_num_steps": 8}, "Adam", range(30)),
        ("WarmupCosineLR", {"total_num_steps": 30, "warmup_num_steps": 6, "cos_min_ratio": 0.1,
                            "warmup_min_ratio": 0.02, "warmup_type": "linear"},
         "Adam", range(36)),
        ("WarmupCosineLR", {"total_num_steps": 5, "warmup_num_steps": 8,
                            "warmup_type": "linear"}, "Adam", range(12)),
        ("WarmupCosineLR", {"total_num_steps": 3000}, "Adam",
         [0, 1, 2, 3, 10, 999, 1000, 1001, 1002, 2000, 2998, 2999, 3000, 3001, 4000]),
    ],
}
OPTIMIZER_LR = 0.003
BETAS = (0.9, 0.999)


def trajectory(schedules, kind, params, optimizer_name, steps):
    weight = [torch.nn.Parameter(torch.zeros(1))]
    if optimizer_name == "SGD":
        optimizer = torch.optim.SGD(weight, lr=OPTIMIZER_LR)
    else:
        optimizer = torch.optim.Adam(weight, lr=OPTIMIZER_LR, betas=BETAS)
    scheduler = getattr(schedules, kind)(optimizer, **params)
    group = optimizer.param_groups[0]
    wanted = set(steps)
    for step in range(max(wanted) + 1):
        if step in wanted:
            yield step, float(group["lr"]), *group.get("betas", (0.0, 0.0))
        scheduler.step()


def header(out):
    out.write(f"# DeepSpeed {VERSION}, torch {torch.__version__}: python3 "
              "validation/reference/optim/make_goldens.py DEEPSPEED_SOURCE\n")


def write_schedules(schedules):
    for name, cases in SCHEDULES.items():
        with open(HERE / f"{name}.txt", "w") as out:
            header(out)
            out.write(f"# optimizer lr {OPTIMIZER_LR}, betas {BETAS}; "
                      "lines: step lr beta1 beta2; tolerance 1e-12 relative (same formula in "
                      "doubles,\n# only the last bits of log and cos may differ)\n")
            for kind, params, optimizer, steps in cases:
                out.write("case " + json.dumps({"type": kind, "params": params,
                                                "optimizer": optimizer}) + "\n")
                for step, *values in trajectory(schedules, kind, params, optimizer, steps):
                    out.write(" ".join([str(step), *map(repr, values)]) + "\n")


def patterns():
    rng = random.Random(1234)
    yield "none", [0] * 24
    yield "all", [1] * 24
    yield "mixed", [0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    yield "rare", [int(rng.random() < 0.12) for _ in range(60)]
    yield "often", [int(rng.random() < 0.45) for _ in range(60)]


SCALERS = [
    dict(init_scale=2**8, scale_window=2, min_scale=1, delayed_shift=1,
         consecutive_hysteresis=False),
    dict(init_scale=2**16, scale_window=3, min_scale=1, delayed_shift=2,
         consecutive_hysteresis=False),
    dict(init_scale=2**10, scale_window=4, min_scale=64, delayed_shift=3,
         consecutive_hysteresis=True),
    dict(init_scale=2**4, scale_window=1, min_scale=3, delayed_shift=2,
         consecutive_hysteresis=False),
    dict(init_scale=2**2, scale_window=5, min_scale=8, delayed_shift=1,
         consecutive_hysteresis=True),
]


def write_scalers(loss_scaler):
    with open(HERE / "loss_scaler.txt", "w") as out:
        header(out)
        out.write("# DynamicLossScaler; lines: overflow, then scale, hysteresis and last overflow "
                  "after update_scale;\n# `abort` where it raises at the minimum scale. Exact.\n")
        for settings in SCALERS:
            for name, pattern in patterns():
                out.write("case " + json.dumps({**settings, "pattern": name}) + "\n")
                scaler = loss_scaler.DynamicLossScaler(**settings)
                for overflow in pattern:
                    try:
                        scaler.update_scale(bool(overflow))
                    except Exception:
                        out.write(f"{overflow} abort\n")
                        break
                    out.write(f"{overflow} {float(scaler.cur_scale)!r} {scaler.cur_hysteresis} "
                              f"{scaler.last_overflow_iter}\n")


UPDATES = [
    dict(optimizer="AdamW", params=dict(weight_decay=0.1, betas=(0.9, 0.95)), clipping=1.0,
         scheduler=("OneCycle", dict(cycle_min_lr=0.002, cycle_max_lr=0.02,
                                     cycle_first_step_size=5))),
    dict(optimizer="Adam", params=dict(weight_decay=0.1, eps=1e-6), clipping=0.0,
         scheduler=("WarmupCosineLR", dict(total_num_steps=12, warmup_num_steps=4))),
    dict(optimizer="SGD", params=dict(weight_decay=0.05), clipping=0.5,
         scheduler=("WarmupDecayLR", dict(total_num_steps=12, warmup_num_steps=3,
                                          warmup_max_lr=0.1))),
    dict(optimizer="SGD", params=dict(weight_decay=0.05, momentum=0.9, nesterov=True),
         clipping=0.5, scheduler=("WarmupLR", dict(warmup_num_steps=3, warmup_max_lr=0.05))),
    dict(optimizer="SGD", params=dict(momentum=0.8, dampening=0.3), clipping=0.0,
         scheduler=("LRRangeTest", dict(lr_range_test_min_lr=0.01, lr_range_test_step_size=4))),
]
UPDATE_STEPS = 12
MATRIX, BIAS = 5, 3  # elements; only the matrix decays


def wave(element, step):
    """Weights (step 0) and gradients (step 1, 2, ...): the test computes the same."""
    value = math.sin(0.7 * (element + 1) + 1.3 * step) * (1 + step % 3)
    return float(torch.tensor(value, dtype=torch.float32))


def waves(first, count, step):
    return torch.tensor([wave(first + i, step) for i in range(count)], dtype=torch.float64)


def write_updates(schedules):
    with open(HERE / "updates.txt", "w") as out:
        header(out)
        out.write("# torch's optimizers and clip_grad_norm_ in float64 under DeepSpeed's schedules,"
                  f" lr {OPTIMIZER_LR};\n# lines: step, gradient norm, then the {MATRIX} matrix "
                  f"and {BIAS} bias elements behind that step.\n# Tolerance 2e-6 absolute: weights "
                  f"near 1 kept in float32 over {UPDATE_STEPS} steps.\n")
        for case in UPDATES:
            matrix = torch.nn.Parameter(waves(0, MATRIX, 0))
            bias = torch.nn.Parameter(waves(MATRIX, BIAS, 0))
            groups = [dict(params=[matrix]), dict(params=[bias], weight_decay=0.0)]
            optimizer = getattr(torch.optim, case["optimizer"])(groups, lr=OPTIMIZER_LR,
                                                                **case["params"])
            kind, params = case["scheduler"]
            scheduler = getattr(schedules, kind)(optimizer, **params)
            head = {**case, "scheduler": {"type": kind, "params": params}}
            out.write("case " + json.dumps(head) + "\n")
            for step in range(1, UPDATE_STEPS + 1):
                matrix.grad = waves(0, MATRIX, step)
                bias.grad = waves(MATRIX, BIAS, step)
                limit = case["clipping"] or math.inf
                norm = float(torch.nn.utils.clip_grad_norm_([matrix, bias], limit))
                optimizer.step()
                scheduler.step()
                weights = [*matrix.tolist(), *bias.tolist()]
                out.write(" ".join([str(step), repr(norm), *(f"{w:.10g}" for w in weights)]) + "\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    schedules, loss_scaler = deepspeed_modules(pathlib.Path(sys.argv[1]))
    write_schedules(schedules)
    write_scalers(loss_scaler)
    write_updates(schedules)


if __name__ == "__main__":
    main()
