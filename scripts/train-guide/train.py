"""
Trains the guide: a small model of the llama architecture, from the rows that prepare.ts wrote.

Reads sheet.json, tokens.bin and marks.bin of the folder it is given, and leaves weights.bin with
weights.json there: tensors by their GGUF names, float32, in that order. The same seed gives the
same weights on the same machine. Ended by SIGTERM it saves first; killed at any time, it goes on from
its last checkpoint.
It needs PyTorch 1.13 or newer and nothing else; it must never see a text.
"""
import argparse
import json
import math
import os
import signal
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 256, 4, 8, 4, 640
HEAD = WIDTH // HEADS
EPSILON, ROPE_BASE = 1e-5, 10000.0
BATCH_TOKENS = 4096
# Of the matrices inside the layers, and of all other weights.
PEAK_MUON, PEAK_ADAM = 0.02, 3e-3
WARM_UP, LAST_SHARE = 40, 0.02
# What the server does by default to tokens that it has just seen: the model must be sure in spite of it.
PENALTY, PENALTY_WINDOW = 1.1, 64
CHECKPOINT_SECONDS = 60


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * self.weight


def turned(x, cos, sin):
    """Rotary positions, in pairs of neighbours as llama has them."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        def linear(inputs, outputs):
            return nn.Linear(inputs, outputs, bias=False)
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q = linear(WIDTH, WIDTH)
        self.attn_k = linear(WIDTH, KV_HEADS * HEAD)
        self.attn_v = linear(WIDTH, KV_HEADS * HEAD)
        self.attn_output = linear(WIDTH, WIDTH)
        self.ffn_gate = linear(WIDTH, FEED_FORWARD)
        self.ffn_up = linear(WIDTH, FEED_FORWARD)
        self.ffn_down = linear(FEED_FORWARD, WIDTH)
        self.drop = nn.Dropout()

    def forward(self, x, cos, sin, mask):
        rows, length, _ = x.shape
        normed = self.attn_norm(x)
        q = turned(self.attn_q(normed).view(rows, length, HEADS, HEAD).transpose(1, 2), cos, sin)
        k = turned(self.attn_k(normed).view(rows, length, KV_HEADS, HEAD).transpose(1, 2), cos, sin)
        v = self.attn_v(normed).view(rows, length, KV_HEADS, HEAD).transpose(1, 2)
        k = k.repeat_interleave(HEADS // KV_HEADS, 1)
        v = v.repeat_interleave(HEADS // KV_HEADS, 1)
        scores = (q * HEAD**-0.5) @ k.transpose(-1, -2) + mask
        seen = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, WIDTH)
        x = x + self.drop(self.attn_output(seen))
        normed = self.ffn_norm(x)
        inner = F.silu(self.ffn_gate(normed)) * self.ffn_up(normed)
        return x + self.drop(self.ffn_down(inner))


class Guide(nn.Module):
    """Its output matrix is its embedding, so there is none of its own."""

    def __init__(self, vocabulary):
        super().__init__()
        self.token_embd = nn.Embedding(vocabulary, WIDTH)
        self.blk = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.output_norm = Norm()
        self.drop = nn.Dropout()
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                ends_branch = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.04 / (math.sqrt(2 * LAYERS) if ends_branch else 1))

    def forward(self, tokens, wanted):
        """Logits at the places of `tokens` that `wanted` marks."""
        length = tokens.shape[1]
        device = tokens.device
        rates = ROPE_BASE ** (-torch.arange(0, HEAD, 2, device=device).float() / HEAD)
        angles = torch.arange(length, device=device).float()[:, None] * rates
        cos, sin = angles.cos(), angles.sin()
        mask = torch.full((length, length), float("-inf"), device=device).triu(1)
        x = self.drop(self.token_embd(tokens))
        for layer in self.blk:
            x = layer(x, cos, sin, mask)
        return self.output_norm(x[wanted]) @ self.token_embd.weight.t()


def penalised(logits, tokens, wanted):
    """Logits after the repetition penalty, as a sampler applies it."""
    windows = F.pad(tokens, (PENALTY_WINDOW - 1, 0), value=-1).unfold(1, PENALTY_WINDOW, 1)[wanted]
    windows = torch.where(windows < 0, windows[:, -1:], windows)
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, windows, True)
    return torch.where(seen, torch.where(logits > 0, logits / PENALTY, logits * PENALTY), logits)


def courses_of(folder, sheet):
    """Of each course its batches in the order of the file: (tokens, marks), each (rows, length)."""
    with open(os.path.join(folder, "tokens.bin"), "rb") as file:
        tokens = torch.frombuffer(bytearray(file.read()), dtype=torch.int16).long()
    with open(os.path.join(folder, "marks.bin"), "rb") as file:
        marks = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).bool()
    courses, at = [], 0
    for course in sheet["courses"]:
        batches = []
        for part in course["parts"]:
            length, rows = part["length"], BATCH_TOKENS // part["length"]
            for _ in range(part["rows"] // rows):
                end = at + length * rows
                views = tokens[at:end].view(rows, length), marks[at:end].view(rows, length)
                batches.append(views)
                at = end
        courses.append(batches)
    return courses


def share_of_rate(step, steps):
    """Of a course's peak."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def orthogonal(matrix):
    """About the nearest matrix with all singular values near 1: five steps of Newton and Schulz."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.t()
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.t()


class Muon(torch.optim.Optimizer):
    """
    Momentum whose every direction counts alike; for the matrices inside the layers. The method and
    its constants are Keller Jordan's (https://kellerjordan.github.io/posts/muon/).
    """

    def __init__(self, weights, lr, momentum=0.95, decay=0.0):
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                scale = max(1, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(orthogonal(ahead), alpha=-group["lr"] * scale)


def save(path, content):
    torch.save(content, path + ".part")
    os.replace(path + ".part", path)


def write_weights(folder, model):
    shapes = []
    with open(os.path.join(folder, "weights.bin.part"), "wb") as file:
        for name, weight in model.state_dict().items():
            shapes.append({"name": name, "shape": list(weight.shape)})
            file.write(weight.detach().float().cpu().contiguous().numpy().tobytes())
    os.replace(file.name, os.path.join(folder, "weights.bin"))
    sizes = {
        "width": WIDTH, "layers": LAYERS, "heads": HEADS, "kvHeads": KV_HEADS,
        "feedForward": FEED_FORWARD, "epsilon": EPSILON, "ropeBase": ROPE_BASE,
    }
    with open(os.path.join(folder, "weights.json"), "w", encoding="utf8") as file:
        json.dump({"sizes": sizes, "tensors": shapes}, file)


def optimizers_of(model):
    """Each with its peak rate."""
    matrices = [weight for layer in model.blk for weight in layer.parameters() if weight.dim() == 2]
    others = [weight for weight in model.parameters() if all(weight is not one for one in matrices)]
    return [
        (Muon(matrices, lr=PEAK_MUON, decay=0.1), PEAK_MUON),
        (torch.optim.Adam(others, lr=PEAK_ADAM, betas=(0.9, 0.98)), PEAK_ADAM),
    ]


def train(folder, seed, most_steps, threads):
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with open(os.path.join(folder, "sheet.json"), encoding="utf8") as file:
        sheet = json.load(file)
    courses = courses_of(folder, sheet)
    model = Guide(sheet["vocabulary"]).to(device)
    checkpoint = os.path.join(folder, "checkpoint.pt")
    kept = torch.load(checkpoint, map_location=device) if os.path.exists(checkpoint) else None
    if kept:
        model.load_state_dict(kept["model"])
    print(f"{sum(w.numel() for w in model.parameters())} parameters, {min(sum(map(len, courses)), most_steps)} steps", flush=True)
    asked_to_end = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked_to_end.append(number))
    model.train()
    before = 0
    for number, (batches, course) in enumerate(zip(courses, sheet["courses"])):
        batches = batches[: max(0, most_steps - before)]
        first = kept["step"] - before if kept else 0
        if first < len(batches):
            if number > 0:
                torch.manual_seed(seed + number)
            learn(model, batches, (first, before), course, kept, checkpoint, asked_to_end)
            kept = None
        before += len(batches)
    write_weights(folder, model)
    if os.path.exists(checkpoint):
        os.remove(checkpoint)


def learn(model, batches, begin, course, kept, checkpoint, asked_to_end):
    """The batches of one course, from `begin` = (its first step to do, steps before it) on."""
    first, before = begin
    device = model.token_embd.weight.device
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = course["dropout"]
    optimizers = optimizers_of(model)
    if kept and first > 0:
        for (optimizer, _), state in zip(optimizers, kept["optimizers"]):
            optimizer.load_state_dict(state)
        torch.set_rng_state(kept["random"].cpu())
    started = saved = time.monotonic()
    for step in range(first, len(batches)):
        tokens, marks = (part.to(device) for part in batches[step])
        wanted = marks[:, 1:]
        inputs, targets = tokens[:, :-1], tokens[:, 1:][wanted]
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = course["rate"] * peak * share_of_rate(step, len(batches))
        logits = model(inputs, wanted)
        if step % 2 == 0:
            logits = penalised(logits, inputs, wanted)
        loss = F.cross_entropy(logits, targets)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        now, done = time.monotonic(), before + step + 1
        if done % 10 == 0:
            pace = (now - started) / (step + 1 - first)
            print(f"step {done}: loss {loss.item():.4f}, {pace:.2f} s a step", flush=True)
        if now - saved > CHECKPOINT_SECONDS or asked_to_end:
            saved = now
            states = [optimizer.state_dict() for optimizer, _ in optimizers]
            state = {"model": model.state_dict(), "optimizers": states}
            save(checkpoint, {**state, "random": torch.get_rng_state(), "step": done})
        if asked_to_end:
            print(f"stopped after step {done}", flush=True)
            sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the guide.")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1 << 30, help="at most so many")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    train(given.folder, given.seed, given.steps, given.threads)
