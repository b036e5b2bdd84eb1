#!/usr/bin/env python3
"""One training step of GPT in PyTorch, the work of inputs/bench/gpt_tiny.json and gpt_small.json.

Flash attention, fused AdamW and a tied head; eager or torch.compile, on the host or with --device cuda.
Data parallel over gloo when torchrun starts several. Prints one JSON object with the times of all steps,
the time from the process's start to its first finished step, and the peak of resident memory.

    OMP_NUM_THREADS=2 $(perf/peers/install)/bin/python perf/peers/gpt.py small --dtype bf16 --compile
"""

import argparse
import contextlib
import json
import os
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {  # layers, width, heads, context, vocabulary, batch
    "tiny": (6, 384, 6, 256, 8192, 8),
    "small": (12, 768, 12, 512, 50304, 2),
    "124m": (12, 768, 12, 1024, 50304, 64),  # inputs/bench/gpt_124m.json
    "mini": (2, 64, 2, 32, 512, 2),  # for tests of these programs
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attention(self, x):
        batch, seq, width = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.projection(out.transpose(1, 2).reshape(batch, seq, width))

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, layers, width, heads, context, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions.weight
        logits = F.linear(self.norm(self.blocks(x)), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class MasterAdamW:
    """AdamW on fp32 masters of a bf16 model."""

    def __init__(self, parameters, **options):
        self.parameters = list(parameters)
        self.masters = [p.detach().float().requires_grad_() for p in self.parameters]
        for master in self.masters:
            master.grad = torch.zeros_like(master)
        self.optimizer = torch.optim.AdamW(self.masters, **options)

    def step(self):
        torch._foreach_copy_([m.grad for m in self.masters], [p.grad for p in self.parameters])
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.masters)

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None


def seconds_since_start():
    """Wall time since the operating system started this process."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        started = int(stat.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - started


def build(arguments, model):
    """The function of the model's loss, and the optimizer."""
    model = model.to(arguments.device)
    options = dict(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    if arguments.dtype == "bf16":
        model = model.bfloat16()
    make = MasterAdamW if arguments.dtype == "bf16" else torch.optim.AdamW
    optimizer = make(model.parameters(), **options)
    loss = model
    if torch.distributed.is_initialized():
        loss = nn.parallel.DistributedDataParallel(loss, gradient_as_bucket_view=True)
    if arguments.compile:
        loss = torch.compile(loss)
    if arguments.dtype == "autocast":
        plain = loss

        def loss(*batch):
            with torch.autocast(arguments.device, torch.bfloat16):
                return plain(*batch)
    return loss, optimizer


def arguments_of(sizes, text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("size", choices=sizes)
    parser.add_argument("--dtype", choices=("fp32", "bf16", "autocast"), default="fp32",
                        help="bf16: weights and gradients, with fp32 masters; autocast: PyTorch's own choice by operation")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


def measure(arguments, make_model, context, vocabulary, batch):
    """Trains and prints the figures; `batch` samples over all ranks."""
    on_gpu = arguments.device == "cuda"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(1234)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
    with torch.device(arguments.device) if on_gpu else contextlib.nullcontext():
        model = make_model()
    loss, optimizer = build(arguments, model)

    times = []
    first = None
    for _ in range(arguments.steps):
        data = torch.randint(vocabulary, (batch // ranks, context + 1), device=arguments.device)
        start = time.perf_counter()
        value = loss(data[:, :-1].contiguous(), data[:, 1:].contiguous())
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        first = first or seconds_since_start()
    if ranks > 1:
        torch.distributed.barrier()
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps({"version": torch.__version__, "steps": times, "first_step": first, "loss": value.item(),
                          "tokens": batch * context,
                          "peak_device": torch.cuda.max_memory_allocated() if on_gpu else 0,
                          "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
    if ranks > 1:
        torch.distributed.destroy_process_group()


def main():
    arguments = arguments_of(SIZES, __doc__)
    shape = SIZES[arguments.size]
    measure(arguments, lambda: Gpt(*shape[:5]), *shape[3:])


if __name__ == "__main__":
    main()
