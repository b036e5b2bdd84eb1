"""Rows of several ranks: data, tensor and pipeline parallel, ZeRO stages, and state on NVMe."""

import statistics

import sides
from contest import Unavailable, in_turns
from lines import Goal, Line

STEPS = 8
CYCLE = "train_micro_batch_size_per_gpu"


def grid(data=1, tensor=1, pipeline=1, micro=8):
    return [f"parallel.data={data}", f"parallel.tensor={tensor}", f"parallel.pipeline={pipeline}", f"{CYCLE}={micro}"]


def ours(bench, name, ranks, threads, sets):
    return sides.pretrain(bench, name, "gpt_tiny", ranks, threads, STEPS, sets=sets)


def optional(bench, make):
    try:
        return [make()]
    except Unavailable as reason:
        bench.remark(str(reason))
        return []


def data(bench):
    """Two ranks with a thread each: beside twice one thread, and beside DDP."""
    two = ours(bench, "ours", 2, 1, grid(data=2, micro=4))
    one = ours(bench, "one thread", 1, 1, grid())
    ddp = optional(bench, lambda: sides.torch(bench, "tiny", ranks=2, threads=1, steps=STEPS))
    figures = in_turns(bench, [two, one, *ddp])
    mine, alone = figures["ours"]["step"], figures["one thread"]["step"]
    theirs = figures.get(ddp[0].name, {}).get("step", []) if ddp else []
    return [
        Line("data 2, tiny", "s", mine, Goal(True, 0.97, 0.985, "of twice one thread"), judged=min(alone) / (2 * min(mine)),
             beside="1 rank, 1 thread", theirs=alone),
        Line("data 2, tiny, DDP", "s", mine, Goal(True, 1.10, 1.18), beside="PyTorch DDP, gloo", theirs=theirs),
    ]


def layouts(bench):
    """The same global batch on other grids, beside one rank with as many threads."""
    cores = bench.threads
    micro = 8
    contenders = [
        ours(bench, "1 rank", 1, cores, grid()),
        ours(bench, "tensor 2", 2, 1, grid(tensor=2)),
        ours(bench, "pipeline 2", 2, 1, grid(pipeline=2, micro=1)),
        ours(bench, "2 x 2 x 2", 8, 1, grid(2, 2, 2, micro=1)),
    ]
    figures = in_turns(bench, contenders)
    alone = figures["1 rank"]["step"]
    ideal = micro / (micro + 1)  # of 1F1B with 2 stages: one micro-batch's time is bubble
    goals = {"tensor 2": (Goal(True, 0.88, 0.93, "of 1 rank's speed"), 1),
             "pipeline 2": (Goal(True, 0.95, 0.97, "of the schedule's ideal"), ideal),
             "2 x 2 x 2": (Goal(True, 0.75, 0.85, "of 1 rank's speed"), 1)}
    lines = []
    for name, (goal, of) in goals.items():
        steps = figures.get(name, {}).get("step", [])
        judged = min(alone) / min(steps) / of if steps else None
        lines.append(Line(f"{name}, tiny", "s", steps, goal, judged=judged, beside=f"1 rank, {cores} threads", theirs=alone))
    return lines


def state_bytes(parameters, stage, ranks):
    """fp32 weights, gradients and two moments of a rank (Rajbhandari et al. 2020, figure 1, in fp32)."""
    weights, gradients, moments = 4, 4, 8
    return parameters * (weights / (ranks if stage > 2 else 1) + gradients / (ranks if stage > 1 else 1)
                         + moments / (ranks if stage > 0 else 1))


def zero(bench):
    """Time of stages 1 to 3 over stage 0, and the memory that they save."""
    stages = [0, 1, 2, 3]
    contenders = [ours(bench, f"stage {s}", 2, 1, [*grid(data=2, micro=4), f"zero_optimization.stage={s}"]) for s in stages]
    figures = in_turns(bench, contenders)
    theirs = deepspeed_steps(bench, [["--stage", str(s)] for s in stages])
    goals = {1: Goal(False, 1.02, 1.00), 2: Goal(False, 1.04, 1.02), 3: Goal(False, 1.08, 1.04)}
    base = figures["stage 0"]
    lines = []
    for stage, goal in goals.items():
        mine = figures.get(f"stage {stage}", {})
        steps = mine.get("step", [])
        peers = f"DeepSpeed {min(theirs[stage]) / min(theirs[0]):.2f}" if stage in theirs and 0 in theirs else "stage 0"
        lines.append(Line(f"ZeRO {stage} over stage 0", "s", steps, goal, beside=f"own stage 0; {peers}", theirs=base["step"],
                          judged=min(steps) / min(base["step"]) if steps else None))
        formula = state_bytes(1, stage, 2) / state_bytes(1, 0, 2)
        lines.append(Line(f"ZeRO {stage}, state", "MiB a rank", [v / 2**20 / 2 for v in mine.get("state", [])],
                          Goal(False, 1.15, 1.0, "x the formula"), beside="own stage 0",
                          judged=mine["state"][0] / base["state"][0] / formula if steps else None,
                          theirs=[v / 2**20 / 2 for v in base["state"]]))
    return lines


def deepspeed_steps(bench, variants):
    """Step times of DeepSpeed by position of the variant; empty where it is not installed."""
    if bench.skip_deepspeed:
        bench.remark("DeepSpeed was left out (--no-deepspeed)")
        return {}
    made = []
    for options in variants:
        made += optional(bench, lambda options=options: sides.torch(bench, "tiny", ranks=2, threads=1, steps=STEPS,
                                                                    script="zero.py", options=options))
    if not made:
        return {}
    try:
        figures = in_turns(bench, made)
    except Unavailable as reason:
        bench.remark(str(reason))
        return {}
    return {i: figures[c.name]["step"] for i, c in enumerate(made) if "step" in figures.get(c.name, {})}


def nvme(bench):
    """Stage 3 with its optimizer state, then also its parameters, on NVMe, over stage 3 in memory."""
    plain = [*grid(data=2, micro=4), "zero_optimization.stage=3"]
    path = bench.scratch / "nvme"
    path.mkdir(parents=True, exist_ok=True)
    place = f'"device": "nvme", "nvme_path": "{path}", "pipeline_read": true, "pipeline_write": true'
    optimizer = [*plain, f"zero_optimization.offload_optimizer={{{place}}}", "zero_optimization.sub_group_size=2000000"]
    both = [*optimizer, f'zero_optimization.offload_param={{"device": "nvme", "nvme_path": "{path}", "max_in_cpu": 0}}']
    behind = [*optimizer, "parallel.zero.update_per=unit"]
    contenders = [ours(bench, "in memory", 2, 1, plain), ours(bench, "optimizer", 2, 1, optimizer),
                  ours(bench, "optimizer, updated beside backward", 2, 1, behind), ours(bench, "parameters too", 2, 1, both)]
    figures = in_turns(bench, contenders)
    folder = str(path)
    theirs = deepspeed_steps(bench, [["--stage", "3"], ["--stage", "3", "--nvme", folder],
                                     ["--stage", "3", "--nvme", folder, "--parameters"]])
    base = figures["in memory"]
    lines = []
    goals = {"optimizer": (Goal(False, 1.15, 1.05), 1), "optimizer, updated beside backward": (Goal(False, 1.15, 1.05), 1),
             "parameters too": (Goal(False, 1.25, 1.10), 2)}  # and which of DeepSpeed's runs is the same
    for name, (goal, peer) in goals.items():
        mine = figures.get(name, {})
        steps = mine.get("step", [])
        peers = f"; DeepSpeed {min(theirs[peer]) / min(theirs[0]):.2f}" if peer in theirs and 0 in theirs else ""
        lines.append(Line(f"stage 3, NVMe: {name}", "s", steps, goal, beside=f"own stage 3{peers}", theirs=base["step"],
                          judged=min(steps) / min(base["step"]) if steps else None))
        grown = mine.get("grown", [])
        lines.append(Line(f"stage 3, NVMe: {name}, memory", "MiB, both ranks", [v / 2**20 for v in grown],
                          Goal(False, 1.0, 0.8, "x without"), beside="own stage 3", theirs=[v / 2**20 for v in base["grown"]],
                          judged=statistics.median(grown) / statistics.median(base["grown"]) if grown else None))
    return lines
