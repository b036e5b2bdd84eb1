"""The two sides: commands of our programs and of the peers, and how their figures are read."""

import json
import statistics

from contest import Contender, Unavailable

# glibc's malloc keeps big blocks, so that PyTorch does not fetch fresh pages in each step.
PEER_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "8589934592",
               "MALLOC_TOP_PAD_": "67108864"}
MPIRUN = ["mpirun", "--oversubscribe"]


def ranks_command(bench, ranks, threads):
    """What goes before a program for so many ranks with so many threads each: pinned where there are cores enough."""
    if ranks == 1:
        return []
    binding = "core" if threads == 1 and ranks <= bench.cores else "none"
    return [*MPIRUN, "--bind-to", binding, "-n", ranks]


def thread_environment(threads):
    return {"OMP_NUM_THREADS": str(threads), "OMP_PLACES": "cores", "OMP_PROC_BIND": "close" if threads > 1 else "false"}


def read_report(finished):
    report = json.loads((finished.folder / "run/report.json").read_text())
    steps = report["step_seconds"]
    with open(finished.folder / "run/log.jsonl") as log:
        steps_taken = [line["seconds"] for line in map(json.loads, log) if "lr" in line]
    state = sum(m["used"] or m["planned"] for m in report["memory"]
                if m["purpose"] in ("weights", "gradients", "masters", "moments") and m["tier"] != "nvme")
    return {
        "step": steps["median"],
        "later": sum(steps_taken[1:]),
        "peak_rss": max(report["peak_rss"]),
        "resident": max(report["resident_steady"]),
        "grown": sum(report["resident_steady"]) - sum(report["resident_base"]),
        "state": state,
        "arena": sum(a["in_memory"] for a in report["arena"]),
        "flops": report["model"]["flops_per_token"] * report["model"]["batch_tokens"],
        "bubble": report["bubble"]["predicted"],
    }


def pretrain(bench, name, deck, ranks=1, threads=None, steps=None, read=read_report, sets=(), options=(),
             run="{folder}/run"):
    """trireme-pretrain on a deck of inputs/bench with `sets` as overrides."""
    threads = threads or bench.threads
    sets = [*bench.deck_sets, *sets]
    command = [*ranks_command(bench, ranks, threads), bench.build / "apps/trireme-pretrain",
               f"inputs/bench/{deck}.json", "--run-dir", run, *options,
               *(word for pair in sets for word in ("--set", pair))]
    if steps:
        command += ["--set", f"run.max_steps={steps}"]
    return Contender(name, command, read, thread_environment(threads))


def peers_python(bench):
    if not bench.peers_python.exists():
        raise Unavailable("without the peers (perf/peers/install)")
    return bench.peers_python


def last_object(text):
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def read_peer(finished):
    made = last_object(finished.output)
    return {"step": statistics.median(made["steps"][1:]), "first": made["first_step"], "peak_rss": made["peak_rss"]}


def torch(bench, size, dtype="fp32", compiled=False, ranks=1, threads=None, steps=8, script="gpt.py", options=()):
    """A program of perf/peers that trains `size`, data parallel over gloo when there are ranks."""
    threads = threads or bench.threads
    python = peers_python(bench)
    start = [python] if ranks == 1 else [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks]
    command = [*start, f"perf/peers/{script}", "mini" if bench.tiny else size, "--dtype", dtype, "--steps", steps,
               *(["--compile"] if compiled else []), *options]
    name = f"PyTorch {'compiled' if compiled else 'eager'}{'' if dtype == 'fp32' else ', ' + dtype}"
    if script != "gpt.py":
        name = f"DeepSpeed {' '.join(str(o) for o in options)}"
    return Contender(name, command, read_peer, {**thread_environment(threads), **PEER_MEMORY})
