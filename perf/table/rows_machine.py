"""Rows that need no training: products, collectives, tokenizer, checkpoints, the program checker."""

import json
import os
import re
import shutil
import statistics
import sys

import sides
from contest import Contender, Unavailable, in_turns, run_once
from lines import Goal, Line

SHARE = Goal(True, 0.85, 0.92, "of the loop")
LOWEST = Goal(True, 0.78, 0.92, "of the loop")
OF_FP32 = Goal(True, 0.75, 0.9, "of own fp32")


def whole_process(finished):
    return {"seconds": finished.seconds}


def objects(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def gemm(bench):
    """Dense products over the shapes of a GPT's layers; the program takes turns with the loop itself."""
    def read(finished):
        shapes = objects(finished.output)
        figures = {}
        for dtype in ("f32", "bf16"):
            mine = [s for s in shapes if s["dtype"] == dtype]
            shares = [s["rate"] / s["loop"] for s in mine if s["loop"] > 0]
            figures[f"{dtype} rate"] = statistics.median(s["rate"] for s in mine) / 1e9
            figures[f"{dtype} loop"] = statistics.median(s["loop"] for s in mine) / 1e9
            figures[f"{dtype} share"] = statistics.median(shares) if shares else 0
            figures[f"{dtype} lowest"] = min(shares) if shares else 0
        return figures
    program = [bench.build / "perf/kernels/perf_gemm", *(["--tiny"] if bench.tiny else [])]
    mine = in_turns(bench, [Contender("ours", program, read, sides.thread_environment(bench.threads))])["ours"]
    lines = [
        Line("GEMM fp32, median shape", "GF/s", mine["f32 rate"], SHARE, judged=max(mine["f32 share"]), larger_is_better=True,
             beside="FMA loop", theirs=mine["f32 loop"], share=max(mine["f32 share"]), limit="the loop"),
        Line("GEMM fp32, lowest shape", "of the loop", mine["f32 lowest"], LOWEST, judged=max(mine["f32 lowest"]),
             larger_is_better=True),
    ]
    if max(mine["bf16 loop"]) > 0:
        lines.append(Line("GEMM bf16, median shape", "GF/s", mine["bf16 rate"], SHARE, judged=max(mine["bf16 share"]),
                          larger_is_better=True, beside="bf16 dot loop", theirs=mine["bf16 loop"],
                          share=max(mine["bf16 share"]), limit="the loop"))
    else:
        lines.append(Line("GEMM bf16, median shape", "GF/s", mine["bf16 rate"], OF_FP32, larger_is_better=True,
                          beside="own fp32", theirs=mine["f32 rate"]))
    return lines


OPERATION = re.compile(r"^(all_reduce|reduce_scatter|all_gather) +(\d+) +(ours|MPI|bound) +([\d.]+)", re.M)


def collectives(bench):
    """Inside a node, beside Open MPI and the same movement of data without any protocol."""
    def read(finished):
        return {(operation, int(size), way): float(best)
                for operation, size, way, best in OPERATION.findall(finished.output)}
    made = []
    for ranks in (2, 4):
        program = [*sides.ranks_command(bench, ranks, 1), bench.build / "perf/comm/perf_collectives",
                   *(["--tiny"] if bench.tiny else [])]
        name = f"{ranks} ranks"
        mine = in_turns(bench, [Contender(name, program, read, sides.thread_environment(1))])[name]
        for operation, size in sorted({key[:2] for key in mine}):
            times = {way: mine[operation, size, way] for way in ("ours", "MPI", "bound")}
            mpi, bound = (min(times[way]) / min(times["ours"]) for way in ("MPI", "bound"))
            if operation != "all_reduce":  # the goal speaks of Open MPI's all-reduce only
                goal, judged = None, None
            else:
                goal, judged = all_reduce_goal(size, ranks, mpi, min(times["ours"]))
            made.append(Line(f"{operation}, {ranks} ranks, {size_text(size)}", "us", times["ours"], goal, judged=judged,
                             beside="Open MPI", theirs=times["MPI"], share=bound, limit="the bound"))
    return made


def all_reduce_goal(size, ranks, over_mpi, microseconds):
    """The goal for an all-reduce and what it judges; the aim is 0.8 of the bound, which the table shows beside it."""
    if size <= 4096 and ranks == 4:
        return Goal(False, 30, 10, "us"), microseconds
    if size >= 16 << 20:
        return Goal(True, 5, 5, "x Open MPI"), over_mpi
    return (Goal(True, 1, 1, "x Open MPI"), over_mpi) if size >= 64 << 10 else (None, None)


def size_text(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def tokenizer(bench):
    """Training a byte-level BPE and encoding with it, as whole processes, beside the Python package tokenizers."""
    text, vocabulary = bench.text, 512 if bench.tiny else 8192
    data = bench.build / "apps/trireme-data"
    threads = {"RAYON_NUM_THREADS": str(bench.threads)}
    made = bench.tokenizer
    works = {
        "train": ([data, "tokenizer", text, "--vocab", vocabulary, "--threads", bench.threads, "--out", "{folder}/t.json"],
                  ["train", text, "--vocab", vocabulary, "--out", "{folder}/t.json"], Goal(True, 1.0, 1.5)),
        "encode": ([data, "tokenize", text, "--tokenizer", made, "--threads", bench.threads, "--out", "{folder}/t.h5"],
                   ["encode", text, "--tokenizer", made, "--out", "{folder}/t.bin"], Goal(True, 1.0, 2.0)),
    }
    lines = []
    for work, (command, peer, goal) in works.items():
        contenders = [Contender("ours", command, whole_process)]
        try:
            script = [sides.peers_python(bench), "perf/peers/tokenizer.py"]
            # Without Python's start and the reading of the file, which are no work of the package's.
            contenders.append(Contender("tokenizers", [*script, *peer],
                                        lambda finished: {"seconds": sides.last_object(finished.output)["work"]}, threads))
        except Unavailable as reason:
            bench.remark(str(reason))
        figures = in_turns(bench, contenders)
        lines.append(Line(f"tokenizer, {work}", "s", figures["ours"]["seconds"], goal, beside="Python tokenizers, work alone",
                          theirs=figures.get("tokenizers", {}).get("seconds", []),
                          why="ours is the whole process, reading and writing included"))
    return lines


def drop_from_cache(folder):
    """The pages of all files below `folder` leave the page cache, so that reading them is cold here (a host may cache)."""
    for base, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(base, name), os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def checkpoint(bench):
    """Saving and loading the small model's state beside a plain write and read of as many bytes, all to and from disk."""
    deck = "gpt_tiny" if bench.tiny else "gpt_small"

    def read(finished):
        report = json.loads((finished.folder / "run/report.json").read_text())
        saved = report["checkpoints"][-1]
        kept = bench.scratch / "saved"  # a process's folder is gone when the next one starts
        shutil.rmtree(kept, ignore_errors=True)
        (finished.folder / "run").rename(kept)
        plain = Contender("plain file", [sys.executable, "perf/table/plain_file.py", bench.scratch / "plain", saved["bytes"]],
                          lambda finished: json.loads(finished.output))
        return {"write": saved["bytes"] / saved["seconds"] / 1e9, **run_once(bench, plain),
                "read": load_rate(bench, deck, kept, saved)}
    ours = sides.pretrain(bench, "ours", deck, steps=1, sets=["checkpoint.at_end=true", "report.timeline=false"], read=read)
    mine = in_turns(bench, [ours])["ours"]
    goal = Goal(True, 0.9, 0.95, "x plain")
    return [Line(f"checkpoint, {way}", "GB/s", mine[way], goal, larger_is_better=True, beside=f"plain {way}",
                 theirs=mine[f"plain {way}"],
                 judged=statistics.median(a / b for a, b in zip(mine[way], mine[f"plain {way}"])),
                 why="judged is the median of the turns' ratios: the disk changes by the minute") for way in ("write", "read")]


def load_rate(bench, deck, run, saved):
    """GB/s of a resume of `run` whose checkpoint is not in the page cache."""
    drop_from_cache(run)

    def read(finished):
        seconds = float(re.search(r"loaded in ([\d.]+) s", finished.output).group(1))
        return {"read": saved["bytes"] / seconds / 1e9}
    resumed = sides.pretrain(bench, "ours, resumed", deck, steps=2, read=read, run=run, options=["--resume"],
                             sets=["report.timeline=false"])
    return run_once(bench, resumed)["read"]


def checker(bench):
    """--check of a model of 175 B parameters: the whole command, from start to end."""
    program = [bench.build / "apps/trireme-pretrain", "inputs/bench/gpt_175b.json", "--check"]
    cases = {"10,240 ranks": (["--ranks", "10240"], Goal(False, 10, 3, "s")),
             "1,536 ranks": (["--ranks", "1536", "--set", "parallel.data=12", "--set", "train_batch_size=768"],
                             Goal(False, 2, 1, "s"))}
    contenders = [Contender(name, [*program, *options], whole_process) for name, (options, _) in cases.items()]
    figures = in_turns(bench, contenders)
    return [Line(f"checker, 175 B, {name}", "s", figures[name]["seconds"], goal, judged=min(figures[name]["seconds"]))
            for name, (_, goal) in cases.items() if name in figures]
