#!/usr/bin/env python3
"""Writes what PyTorch makes of the reference cases, in float64, one text file a case.

    build/validation/reference/dump_cases build/reference_cases
    python3 validation/reference/pytorch/make_goldens.py build/reference_cases validation/reference/pytorch [--all]

PyTorch: Debian's python3-torch (with libopenblas0). --all writes every element of logits and gradients, not a few.
Lines: loss X | gradient_norm X | logits I:X ... | gradient NAME NORM I:X ... | losses X ..., with I an element's
index in the whole logical tensor. The loss is the mean over counted tokens of the first step, logits are those of its
first micro-batch, gradients those of the mean, losses those of all training steps with AdamW and clipping.
"""

import json
import pathlib
import sys

import numpy
import torch

import transformer

HEADER = """\
# {name}: PyTorch {version}, float64; format and command: make_goldens.py
# Tolerance of the first step: 3 bound(f32) of validation/harness, relative to each tensor's norm: bound() is what two
# fp32 runs may differ by, and each stands further from float64, where exponentials are exact too. Of training losses:
# 1e-5, because Adam divides the rounding errors of small gradients by their own size.
"""


def read_case(folder, name):
    case = json.loads((folder / f"{name}.json").read_text())
    raw = torch.from_numpy(numpy.fromfile(folder / f"{name}.weights", dtype="<f4").astype(numpy.float64))
    weights, start = {}, 0
    for tensor in case["tensors"]:
        size = int(numpy.prod(tensor["shape"]))
        weights[tensor["name"]] = raw[start:start + size].reshape(tensor["shape"]).clone().requires_grad_()
        start += size
    assert start == len(raw), f"{name}.weights has {len(raw)} elements, expected {start}"
    return case, weights


def micro_batch(case, index):
    batch = case["batches"][index]
    seq = case["sequence"]
    tokens, targets = torch.tensor(batch["tokens"], dtype=torch.int64).view(2, -1, seq)
    starts = torch.tensor(batch["documents"] or [0] * tokens.numel(), dtype=torch.int64).view(-1, seq)
    return tokens, targets, starts


def step_loss(case, weights, step):
    count = case["micro_batches"]
    parts = [transformer.loss_sum(case["model"], weights, *micro_batch(case, step * count + i)) for i in range(count)]
    return sum(p[0] for p in parts) / sum(p[1] for p in parts)


def train(case, weights):
    """The mean losses of all steps, and gradients and their norm of the first."""
    options = case["optimizer"]
    matrices = [w for w in weights.values() if w.dim() > 1]
    vectors = [w for w in weights.values() if w.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": options["weight_decay"]}, {"params": vectors, "weight_decay": 0}],
        lr=options["lr"], betas=tuple(options["betas"]), eps=options["eps"])
    losses = []
    for step in range(case["steps"]):
        optimizer.zero_grad(set_to_none=True)
        loss = step_loss(case, weights, step)
        loss.backward()
        if step == 0:
            gradients = {name: w.grad.clone() for name, w in weights.items()}
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), options["clipping"])
        if step == 0:
            first_norm = norm.item()
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, first_norm


def entries(tensor, everything):
    flat = tensor.detach().flatten()
    last = len(flat) - 1
    chosen = range(len(flat)) if everything else sorted({0, last // 3, 2 * last // 3 + 1, last})
    return " ".join(f"{i}:{flat[i].item():.12g}" for i in chosen)


def golden(case, weights, everything):
    tokens, _, starts = micro_batch(case, 0)
    logits = transformer.logits(case["model"], weights, tokens, starts)
    losses, gradients, norm = train(case, weights)
    lines = [f"loss {losses[0]:.12g}", f"gradient_norm {norm:.12g}", f"logits {entries(logits, everything)}"]
    for name, gradient in gradients.items():
        lines.append(f"gradient {name} {gradient.norm().item():.12g} {entries(gradient, everything)}")
    lines.append("losses " + " ".join(f"{loss:.12g}" for loss in losses))
    return "\n".join(lines) + "\n"


def make(source, target, everything):
    torch.set_num_threads(1)
    names = sorted(path.stem for path in source.glob("*.json"))
    assert names, f"no cases in {source}"
    for name in names:
        case, weights = read_case(source, name)
        header = HEADER.format(name=name, version=torch.__version__)
        (target / f"{name}.txt").write_text(header + golden(case, weights, everything))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), "--all" in sys.argv[3:])
