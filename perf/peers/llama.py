#!/usr/bin/env python3
"""One training step of models with Qwen2.5's shapes in PyTorch, the work of inputs/bench/qwen2.5_*.json.

RMSNorm, rotary positions, grouped queries with biases, SwiGLU; else as gpt.py, whose options it has.

    python3 perf/peers/llama.py 1.5b --dtype bf16 --compile --device cuda
"""

import inspect

import torch
import torch.nn.functional as F
from torch import nn

import gpt

SIZES = {  # layers, width, heads, heads of keys, inner width, vocabulary, tied, batch
    "0.5b": (24, 896, 14, 2, 4864, 151936, True, 32),
    "1.5b": (28, 1536, 12, 2, 8960, 151936, True, 16),
    "3b": (36, 2048, 16, 2, 11008, 151936, True, 16),
    "7b": (28, 3584, 28, 4, 18944, 152064, False, 6),
    "14b": (48, 5120, 40, 8, 13824, 152064, False, 24),
    "mini": (2, 64, 4, 2, 96, 512, True, 2),  # for tests of these programs
}
CONTEXT = 1024
EPS = 1e-6
# PyTorch before 2.5 has no grouped queries of its own.
GROUPS = "enable_gqa" in (inspect.getdoc(F.scaled_dot_product_attention) or "")


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, self.weight.shape, self.weight, EPS)
        return self.weight * (x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + EPS)).to(x.dtype)


class Block(nn.Module):
    def __init__(self, width, heads, kv_heads, inner):
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, width // heads
        self.attention_norm, self.mlp_norm = RmsNorm(width), RmsNorm(width)
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head)
        self.projection = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def attention(self, x, cos, sin):
        batch, seq, width = x.shape
        heads = self.qkv(x).view(batch, seq, -1, self.head).transpose(1, 2)
        q, k, v = heads.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        if GROUPS:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.projection(out.transpose(1, 2).reshape(batch, seq, width))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def rotated(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Llama(nn.Module):
    def __init__(self, context, layers, width, heads, kv_heads, inner, vocabulary, tied):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads, kv_heads, inner) for _ in range(layers))
        self.norm = RmsNorm(width)
        head = width // heads
        angles = torch.outer(torch.arange(context).float(), 1e6 ** (-torch.arange(0, head, 2).float() / head))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        weight = self.tokens.weight if self.head is None else self.head.weight
        return F.cross_entropy(F.linear(self.norm(x), weight).flatten(0, 1), targets.flatten())


def main():
    arguments = gpt.arguments_of(SIZES, __doc__)
    *shape, batch = SIZES[arguments.size]
    context = 32 if arguments.size == "mini" else CONTEXT
    gpt.measure(arguments, lambda: Llama(context, *shape), context, shape[5], batch)


if __name__ == "__main__":
    main()
