"""Rows of one training step on one rank: speed beside PyTorch, memory, and the way to the first step."""

import dataclasses
import statistics

import sides
from contest import Unavailable, fastest, in_turns
from lines import Goal, Line
from machine import limits

STEPS = {"tiny": 10, "small": 4}
SPEED = {"fp32": Goal(True, 1.10, 1.18), "bf16": Goal(True, 1.10, 1.20)}
OWN_FP32 = Goal(False, 1.15, 1.05, "x own fp32")
MEMORY = {"tiny": Goal(False, 0.9, 0.7, "GiB"), "small": Goal(False, 3.0, 2.5, "GiB")}
BF16 = "bf16.enabled=true"
GIB = 2**30


def peer(bench, size, dtype):
    """PyTorch at its best: bf16 weights or autocast, then eager or compiled. None where it is not installed."""
    def variants(kinds, compiled):
        return [sides.torch(bench, size, kind, compiled, steps=STEPS[size]) for kind in kinds]
    try:
        kinds = {v.name: (v, kind) for kind in (["fp32"] if dtype == "fp32" else ["bf16", "autocast"])
                 for v in variants([kind], False)}
    except Unavailable as reason:
        bench.remark(str(reason))
        return None
    eager = fastest(bench, [variant for variant, _ in kinds.values()])
    if eager is None or bench.eager:
        return eager
    return fastest(bench, [eager, *variants([kinds[eager.name][1]], True)])


def has_bf16_products(bench):
    return "avx512_bf16" in bench.machine["flags"]


def step(bench, size, dtype):
    """The step itself beside PyTorch's, and its peak of resident memory."""
    sets = [BF16] if dtype == "bf16" else []
    ours = sides.pretrain(bench, "ours", f"gpt_{size}", steps=STEPS[size], sets=sets)
    if dtype == "bf16" and not has_bf16_products(bench):
        return own_fp32(bench, size)
    other = peer(bench, size, dtype)
    figures = in_turns(bench, [ours, limits(bench), *([other] if other else [])])
    mine, limit = figures["ours"], figures["limits"]
    theirs = figures.get(other.name, {}) if other else {}
    name = other.name if other else "PyTorch"
    rate = mine["flops"][0] / min(mine["step"])
    line = Line(f"step, {size}, {dtype}", "s", mine["step"], SPEED[dtype], beside=name, theirs=theirs.get("step", []),
                share=rate / max(limit[f"fma_{dtype}"]), limit="the loop")
    memory = Line(f"peak memory, {size}, {dtype}", "GiB", [v / GIB for v in mine["peak_rss"]], MEMORY[size],
                  judged=max(mine["peak_rss"]) / GIB, beside=name, theirs=[v / GIB for v in theirs.get("peak_rss", [])])
    return [line, memory]


def own_fp32(bench, size):
    """bf16 on a CPU without bf16 products is compared with our own fp32; one that has them is told not to use them."""
    why, environment = "this CPU has no bf16 products", {}
    if has_bf16_products(bench):
        why = "both sides under ONEDNN_MAX_CPU_ISA=AVX2, which our own loops follow too"
        environment = {"ONEDNN_MAX_CPU_ISA": "AVX2"}

    def side(name, sets):
        made = sides.pretrain(bench, name, f"gpt_{size}", steps=STEPS[size], sets=sets)
        return dataclasses.replace(made, environment={**made.environment, **environment})
    figures = in_turns(bench, [side("ours", [BF16]), side("own fp32", [])])
    mine, theirs = figures["ours"]["step"], figures["own fp32"]["step"]
    return [Line(f"step, {size}, bf16 without its products", "s", mine, OWN_FP32, judged=min(mine) / min(theirs),
                 beside="own fp32", theirs=theirs, why=why)]


def read_start(finished):
    """Seconds from the start of the process to the end of its first step, the process's own end included."""
    figures = sides.read_report(finished)
    return {"first step done": finished.seconds - figures["later"], **figures}


def start(bench):
    """The program's start to its first finished step, beside PyTorch's, and beside what cannot be avoided."""
    ours = sides.pretrain(bench, "ours", "gpt_tiny", steps=3, read=read_start)
    contenders = [ours, limits(bench)]
    try:
        contenders.append(sides.torch(bench, "tiny", steps=2))
    except Unavailable as reason:
        bench.remark(str(reason))
    figures = in_turns(bench, contenders)
    mine, limit = figures["ours"], figures["limits"]
    touch = statistics.median(mine["arena"]) / statistics.median(limit["first_touch"])
    rest = [t - touch - step for t, step in zip(mine["first step done"], mine["step"])]
    theirs = figures.get(contenders[-1].name, {}).get("first", []) if len(contenders) > 2 else []
    return [Line("start to first step, tiny", "s", mine["first step done"], Goal(False, 0.5, 0.3, "s more than touch + step"),
                 judged=min(rest), beside="PyTorch eager", theirs=theirs,
                 why=f"first touch of the arena takes {touch:.2f} s at this minute's rate, one step {min(mine['step']):.2f} s")]
