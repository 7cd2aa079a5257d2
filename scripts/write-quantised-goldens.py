"""Writes test/goldens/quantised.json and the checkpoints of test/fixtures/bitsandbytes: weights as bitsandbytes holds them on the CPU.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    npm run bench:peers
    .preftune/peers/bin/python -m pip install --no-deps bitsandbytes==0.50.2
    .preftune/peers/bin/python scripts/write-quantised-goldens.py

Two things of bitsandbytes are replaced. Where the blocks' largest values are stored in 8 bits, its CPU kernel looks numbers up in 65536
steps of [-1, 1], so that of small ones the nearest entry is missed; its own operator without a kernel and its kernels for GPUs take the
nearest. And where rows are no multiple of a block, its CPU kernel for AVX-512 multiplies by another block's largest value (0.14 away from the
weight in a matrix of 64 by 160); its operator without a kernel does not, and is taken. Where rows are a multiple, both are compared.
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import bitsandbytes
import bitsandbytes.backends.default.ops as plain
import bitsandbytes.functional as functional
import peft
import torch
import transformers

PINNED = {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}
TESTS = pathlib.Path(__file__).resolve().parent.parent / "test"
FIXTURES = TESTS / "fixtures"
# more than 256 blocks; a last block of 10 numbers; one whose number is odd
SHAPES = [(160, 128), (31, 70), (7, 9)]
SLIME = dict(lambda_w=0.1, lambda_l=0.0005, delta=1.25, margin_hard=1.5, margin_soft=1.0, lambda_d=1.0)


def nearest(values, code=None, absmax=None, out=None, blocksize=4096, nested=False):
    """`functional.quantize_blockwise` by the rule of bitsandbytes' other devices."""
    code = functional.create_dynamic_map() if code is None else code
    flat = torch.nn.functional.pad(values.reshape(-1), (0, -values.numel() % blocksize)).view(-1, blocksize)
    most = flat.abs().amax(1)
    found = torch.bucketize(flat * (1 / most.clamp(min=1e-38))[:, None], (code[:-1] + code[1:]) / 2).to(torch.uint8)
    codes = found.view(-1)[: values.numel()].view(values.shape)
    return codes, functional.QuantState(absmax=most, code=code, blocksize=blocksize, dtype=values.dtype)


def pattern(shape, seed):
    """Numbers whose blocks of 64 differ in size, one of them zero, from arithmetic that JavaScript repeats exactly."""
    numbers = [
        0.0 if i // 64 == 3 else ((i * 7919 + seed * 104729) % 2003 - 1001) / 1001 * (1 + (i // 64 + seed) % 5) / 16
        for i in range(torch.Size(shape).numel())
    ]
    return torch.tensor(numbers, dtype=torch.float64).float().view(shape)


def encoded(tensor):
    return base64.b64encode(tensor.detach().contiguous().numpy().tobytes()).decode()


def digest(tensor):
    """Of the numbers, zeros without a sign: bitsandbytes' kernels for fp4 give the second zero one, or not."""
    tensor = tensor + 0.0
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def matrix(codes, state):
    """What the codes stand for, by bitsandbytes' operator without a kernel."""
    absmax = state.absmax
    if state.nested:
        absmax = functional.dequantize_blockwise(absmax, state.state2) + state.offset
    dense = plain._dequantize_4bit_compute(codes.reshape(-1), absmax, state.code, state.blocksize, state.shape, torch.float32)
    if state.shape[-1] % state.blocksize == 0:
        assert torch.equal(dense, functional.dequantize_4bit(codes, state)), "bitsandbytes' kernel and its operator differ"
    return dense


def four_bits(shape, seed, quant_type, nested, dtype):
    weight = pattern(shape, seed).to(dtype)
    codes, state = functional.quantize_4bit(weight, quant_type=quant_type, compress_statistics=nested)
    state.dtype = torch.float32
    stored = {"codes": encoded(codes), "absmax": encoded(state.absmax), "quant_map": encoded(state.code)}
    if nested:
        stored |= {"nested_absmax": encoded(state.state2.absmax), "nested_quant_map": encoded(state.state2.code)}
        stored |= {"nested_offset": state.offset.item()}
    what = {"shape": shape, "seed": seed, "source": str(dtype).removeprefix("torch."), "quantType": quant_type, "nested": nested}
    return what | {"stored": stored, "dense": digest(matrix(codes, state))}


def eight_bits(shape, seed):
    weight = pattern(shape, seed)
    rows, scale, _ = functional.int8_vectorwise_quant(weight.half())
    dense = functional.int8_vectorwise_dequant(rows, scale)
    return {"shape": shape, "seed": seed, "codes": encoded(rows), "SCB": encoded(scale), "dense": digest(dense)}


def token_logps(model, prompt, answer):
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(answer)[:, None])[:, 0]


def slime_loss(model, rows):
    """SLIME's objective (arXiv 2602.02383), as `write-fixtures.py` has it."""
    pairs = [[token_logps(model, r["prompt_ids"], r[side]) for side in ("chosen_ids", "rejected_ids")] for r in rows]
    rejected = torch.cat([pair[1] for pair in pairs])
    softplus = torch.nn.functional.softplus
    loss = SLIME["lambda_l"] * (softplus(-rejected - SLIME["delta"]) ** 2.5).mean()
    for chosen, worse in pairs:
        gap = chosen.mean() - worse.mean()
        margin = torch.relu(SLIME["margin_hard"] - gap) * torch.sigmoid(2.5 * (SLIME["margin_soft"] - gap))
        loss = loss + (SLIME["lambda_d"] * margin - SLIME["lambda_w"] * chosen.mean()) / len(pairs)
    return loss


def with_matrices(model):
    """
    The model with its linears in few bits replaced by matrices of the same numbers. On the CPU bitsandbytes rounds activations: to 8 bits
    beside 8-bit weights, and to bfloat16 beside 4-bit ones in evaluation, where the processor has it.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)):
            weight = module.weight
            if isinstance(module, bitsandbytes.nn.Linear4bit):
                dense = matrix(weight.data, weight.quant_state)
            else:
                dense = functional.int8_vectorwise_dequant(weight.data, weight.SCB)
            linear = torch.nn.Linear(module.in_features, module.out_features, bias=False)
            linear.weight.data = dense
            model.set_submodule(name, linear)
    return model


def training(folder, family):
    """One step of LoRA on the checkpoint in `folder`: the loss, and each gradient of the family's adapter."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model = with_matrices(model).eval()
    model = peft.PeftModel.from_pretrained(model, FIXTURES / family / "lora", is_trainable=True).eval()
    loss = slime_loss(model, json.loads((FIXTURES / family / "batch.json").read_text())["rows"])
    loss.backward()
    name = lambda given: given.replace(".default", "").replace(".modules_to_save", "")
    gradients = {
        name(key): {"norm": p.grad.double().norm().item(), "numbers": encoded(p.grad.view(-1)[::5])}
        for key, p in model.named_parameters()
        if p.grad is not None and "lora_" in key
    }
    return {"family": family, "loss": loss.item(), "gradients": gradients}


def checkpoint(family, folder, **keys):
    config = transformers.BitsAndBytesConfig(**keys)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        FIXTURES / family / "model", dtype=torch.float32, quantization_config=config
    )
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").unlink()
    return training(folder, family)


def main():
    modules = (torch, transformers, peft, bitsandbytes)
    found = {m.__name__: m.__version__.split("+")[0] for m in modules}
    assert found == PINNED, f"expected {PINNED}, got {found}"
    functional.quantize_blockwise = nearest
    kinds = [("nf4", False), ("nf4", True), ("fp4", False), ("fp4", True)]
    cases = [four_bits(shape, k + 1, *kind, torch.float32) for k, shape in enumerate(SHAPES) for kind in kinds]
    cases.append(four_bits(SHAPES[0], 9, "nf4", True, torch.bfloat16))
    folder = FIXTURES / "bitsandbytes"
    out = TESTS / "goldens" / "quantised.json"
    out.write_text(json.dumps({
        "provenance": {"script": "scripts/write-quantised-goldens.py", "versions": found},
        "fourBits": cases, "eightBits": [eight_bits(shape, k + 1) for k, shape in enumerate(SHAPES[:2])],
        "training": {
            "nf4": checkpoint("qwen3", folder / "nf4", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
            "int8": checkpoint("llama_tied", folder / "int8", load_in_8bit=True),
        },
    }, separators=(",", ":")) + "\n")
    print(out, out.stat().st_size)


main()
