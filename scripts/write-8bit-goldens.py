"""Writes test/goldens/adamw-8bit.json: steps of bitsandbytes' AdamW8bit on the CPU, and its tables.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    .preftune/peers/bin/python -m pip install --no-deps bitsandbytes==0.50.2
    .preftune/peers/bin/python scripts/write-8bit-goldens.py

One thing of bitsandbytes is replaced: its CPU kernel looks numbers up in 65536 steps of [-1, 1], so that of small ones the nearest
entry is missed; its own operator without a kernel, its kernels for GPUs and its paper take the nearest. Averages are stored here so.
"""

import base64
import json
import pathlib

import bitsandbytes
import bitsandbytes.backends.cpu.ops as cpu
import bitsandbytes.functional as functional
import torch

PINNED = {"torch": "2.13.0", "bitsandbytes": "0.50.2"}
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "adamw-8bit.json"
SHAPES = {"wide": (33, 131), "vector": (4100,), "small": (15, 17)}
STEPS = 6
SCALES = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001, 0.000001)
OPTIONS = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.1}


def nearest(values, code, absmax_out, out, blocksize):
    flat = torch.nn.functional.pad(values.reshape(-1), (0, -values.numel() % blocksize)).view(-1, blocksize)
    absmax = flat.abs().amax(1)
    scaled = flat * (1 / absmax.clamp(min=1e-38))[:, None]
    found = torch.bucketize(scaled, (code[:-1] + code[1:]) / 2).to(torch.uint8)
    out.copy_(found.view(-1)[: values.numel()].view(out.shape))
    absmax_out.copy_(absmax)


def pattern(n, seed):
    """Numbers of seven powers of ten, from arithmetic that JavaScript repeats exactly."""
    numbers = [((i * 7919 + seed * 104729) % 2003 - 1001) / 1001 * SCALES[(i + i // 256 + seed) % 7] for i in range(n)]
    return torch.tensor(numbers, dtype=torch.float64).float()


def encoded(tensor):
    return base64.b64encode(tensor.detach().contiguous().numpy().tobytes()).decode()


def steps():
    cpu._quant_blockwise_fp32_direct = nearest
    parameters = {}
    for k, (name, shape) in enumerate(SHAPES.items()):
        start = pattern(torch.Size(shape).numel(), k + 1) * 10
        parameters[name] = torch.nn.Parameter(start.view(shape))
    groups = [
        {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": OPTIONS["weightDecay"]},
        {"params": [p for p in parameters.values() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = bitsandbytes.optim.AdamW8bit(
        groups, lr=OPTIONS["lr"], betas=(OPTIONS["beta1"], OPTIONS["beta2"]), eps=OPTIONS["epsilon"]
    )
    after = []
    for step in range(STEPS):
        for k, p in enumerate(parameters.values()):
            p.grad = pattern(p.numel(), 10 * step + k + 4).view(p.shape)
        optimizer.step()
        if step in (0, STEPS - 1):
            states = {
                name: {key: encoded(optimizer.state[p][key]) for key in ("state1", "state2", "absmax1", "absmax2") if key in optimizer.state[p]}
                for name, p in parameters.items()
            }
            after.append({"step": step + 1, "parameters": {n: encoded(p) for n, p in parameters.items()}, "states": states})
    return after


def main():
    found = {"torch": torch.__version__.split("+")[0], "bitsandbytes": bitsandbytes.__version__}
    assert found == PINNED, f"expected {PINNED}, got {found}"
    OUT.write_text(json.dumps({
        "provenance": {"script": "scripts/write-8bit-goldens.py", "versions": found},
        "signed": functional.create_dynamic_map(signed=True).tolist(),
        "unsigned": functional.create_dynamic_map(signed=False).tolist(),
        "options": OPTIONS, "shapes": SHAPES, "after": steps(),
    }, separators=(",", ":")) + "\n")


main()
