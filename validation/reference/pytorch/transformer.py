"""GPT and LLaMA in PyTorch, written from the papers, as functions of the tensors by Trireme's names."""

import torch
import torch.nn.functional as F


def norm(kind, x, w, name, eps):
    if kind == "layer":
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w[name + ".weight"]


def linear(x, w, name):
    return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))


def rotate(x, theta):
    """x [batch, heads, seq, dim]; element i turns with element i + dim/2."""
    half = x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * frequency
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def attention(model, x, w, name, starts):
    batch, seq, _ = x.shape
    dim = model["head_dim"]

    def heads(which):
        y = linear(x, w, f"{name}.{which}_proj").view(batch, seq, -1, dim).transpose(1, 2)
        if which != "v" and f"{name}.{which}_norm.weight" in w:
            y = norm("rms", y, w, f"{name}.{which}_norm", model["eps"])
        if which != "v" and model["rotary_theta"]:
            y = rotate(y, model["rotary_theta"])
        return y

    q, k, v = heads("q"), heads("k"), heads("v")
    group = model["heads"] // model["kv_heads"]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2) / dim**0.5
    i, j = torch.arange(seq)[:, None], torch.arange(seq)[None, :]
    seen = (j <= i)[None] & (j[None] >= starts[:, :, None])
    scores = scores.masked_fill(~seen[:, None], float("-inf"))
    out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, seq, -1)
    return linear(out, w, f"{name}.o_proj")


def mlp(model, x, w, name):
    up = linear(x, w, f"{name}.up_proj")
    kind = model["activation"]
    if kind == "swiglu":
        inner = F.silu(linear(x, w, f"{name}.gate_proj")) * up
    elif kind == "silu":
        inner = F.silu(up)
    else:
        inner = F.gelu(up, approximate="tanh" if kind == "gelu_tanh" else "none")
    return linear(inner, w, f"{name}.down_proj")


def logits(model, w, tokens, starts):
    """tokens, starts [batch, seq]: ids, and the first position each token attends to."""
    x = w["embedding.tokens.weight"][tokens]
    if "embedding.positions.weight" in w:
        x = x + w["embedding.positions.weight"][: tokens.shape[1]]
    for i in range(model["layers"]):
        layer = f"layers.{i}"
        for part, function in (("attention", attention), ("mlp", mlp)):
            normed = norm(model["norm"], x, w, f"{layer}.{part}_norm", model["eps"])
            more = (starts,) if part == "attention" else ()
            x = x + function(model, normed, w, f"{layer}.{part}", *more)
    x = norm(model["norm"], x, w, "head.norm", model["eps"])
    return F.linear(x, w.get("head.output.weight", w["embedding.tokens.weight"]))


def loss_sum(model, w, tokens, targets, starts):
    """Sum over counted targets (not -1), and how many they are."""
    y = logits(model, w, tokens, starts)
    total = F.cross_entropy(y.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")
    return total, int((targets >= 0).sum())
