"""Writes test/goldens/*.json: small numbers of PyTorch, transformers and PEFT that the tests compare with.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    python scripts/write-goldens.py

All inputs are random numbers with the seeds written here, or follow `pattern`, which test/support/patterned.ts repeats.
"""

import copy
import json
import math
import pathlib
import tempfile

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.gemma3.modeling_gemma3 import Gemma3MLP, Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm, LlamaRotaryEmbedding, apply_rotary_pos_emb

PINNED = {"torch": "2.13", "transformers": "5.23", "peft": "0.21"}
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens"


def numbers(tensor):
    """Flat list; float32 values in their shortest decimal form."""
    flat = tensor.detach().reshape(-1)
    if flat.dtype == torch.float64:
        return flat.tolist()
    return [float(str(np.float32(x))) for x in flat.float().tolist()]


def write(name, seed, content):
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    for module, pinned in PINNED.items():
        if not versions[module].startswith(pinned + "."):
            raise SystemExit(f"expected {module} {pinned}, got {versions[module]}: install it or change PINNED")
    provenance = {"script": "scripts/write-goldens.py", "seed": seed, "versions": versions}
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"provenance": provenance, **content}, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


# ---- pattern: the same numbers in Python and TypeScript ---------------------------------------------------------


def pattern(name, count, bound=1.0):
    """float32 numbers in [-bound, bound) that depend on name and place alone: FNV-1a, then murmur3's finaliser."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B1 + seed) & 0xFFFFFFFF
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return torch.from_numpy(((x / 2.0**32 * 2 - 1) * bound).astype(np.float32))


def pattern_weights(model, norm_base):
    for name, parameter in model.named_parameters():
        shape = parameter.shape
        if len(shape) == 1:
            centre = norm_base if "norm" in name else 0.0
            value = centre + pattern(name, parameter.numel(), 0.25)
        else:
            value = pattern(name, parameter.numel(), math.sqrt(3 / shape[-1]))
        parameter.data.copy_(value.reshape(shape))


# ---- optim ------------------------------------------------------------------------------------------------------


def adamw_case(seed, lr, betas, eps, decay):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"wide": (5, 7), "vector": (9,), "tall": (4, 3), "idle": (3, 2)}
    start = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    steps = 10
    grads = {n: [torch.randn(s, generator=generator) * 10 ** (k % 4 - 2) for k in range(steps)] for n, s in shapes.items()}
    parameters = {n: nn.Parameter(t.clone()) for n, t in start.items()}
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=lr, betas=betas, eps=eps, fused=True,
    )
    after = []
    for k in range(steps):
        for name, p in parameters.items():
            # "idle" never has a gradient, "tall" none at every third step
            p.grad = None if name == "idle" or (name == "tall" and k % 3 == 2) else grads[name][k].clone()
        for group in optimizer.param_groups:
            group["lr"] = lr * (k + 1) / steps
        optimizer.step()
        if k in (0, 4, 9):
            after.append({"step": k + 1, "parameters": {n: numbers(p) for n, p in parameters.items()}})
    state = {
        n: {key: numbers(value) for key, value in optimizer.state[p].items()}
        for n, p in parameters.items() if p in optimizer.state
    }
    return {
        "options": {"lr": lr, "beta1": betas[0], "beta2": betas[1], "epsilon": eps, "weightDecay": decay},
        "shapes": shapes,
        "start": {n: numbers(t) for n, t in start.items()},
        "grads": {n: [numbers(t) for t in ts] for n, ts in grads.items() if n != "idle"},
        "after": after,
        "state": state,
    }


def clip_case(seed, scale, max_norm):
    generator = torch.Generator().manual_seed(seed)
    grads = [torch.randn(s, generator=generator) * scale for s in ((4, 3), (7,), ())]
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in grads]
    for p, g in zip(parameters, grads):
        p.grad = g.clone()
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    return {
        "shapes": [list(g.shape) for g in grads],
        "grads": [numbers(g) for g in grads],
        "maxNorm": max_norm,
        "norm": float(norm),
        "clipped": [numbers(p.grad) for p in parameters],
    }


def schedule_case(kind, warmup, total):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = transformers.get_scheduler(kind, optimizer, warmup, total)
    factors = []
    for _ in range(total + 1):
        factors.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {"kind": kind, "warmupSteps": warmup, "totalSteps": total, "factors": factors}


def write_optim():
    write("optim", "5, 6 (adamw), 7-9 (clip)", {
        "adamw": [
            adamw_case(5, 1e-2, (0.9, 0.999), 1e-8, 0.1),
            adamw_case(6, 5e-2, (0.8, 0.95), 1e-4, 0.0),
        ],
        "clip": [clip_case(7, 3.0, 1.0), clip_case(8, 1e-3, 1.0), clip_case(9, 50.0, 0.3)],
        "schedules": [
            schedule_case(kind, warmup, total)
            for kind in ("linear", "cosine", "constant", "constant_with_warmup")
            for warmup, total in ((0, 7), (3, 20), (1, 1), (5, 5))
        ],
    })


# ---- nn ---------------------------------------------------------------------------------------------------------


def norm_case(cls, dtype, generator):
    x = (torch.randn(4, 12, generator=generator) * 3).to(dtype)
    module = cls(12, eps=1e-5)
    weight = torch.randn(12, generator=generator) * 0.5 + (1.0 if cls is LlamaRMSNorm else 0.0)
    module.weight.data = weight.to(dtype)
    return {
        "offset": 0 if cls is LlamaRMSNorm else 1,
        "dtype": str(dtype).removeprefix("torch."),
        "eps": 1e-5,
        "x": numbers(x),
        "weight": numbers(module.weight),
        "y": numbers(module(x)),
    }


def rope_case(head_dim, rope, positions, generator):
    config = LlamaConfig(
        hidden_size=2 * head_dim, num_attention_heads=2, num_key_value_heads=2, head_dim=head_dim,
        max_position_embeddings=131072, rope_parameters=rope,
    )
    embedding = LlamaRotaryEmbedding(config)
    q = torch.randn(1, 2, len(positions), head_dim, generator=generator)
    cos, sin = embedding(q, torch.tensor([positions]))
    turned, _ = apply_rotary_pos_emb(q, q, cos, sin)
    case = {"headDim": head_dim, "rope": rope, "inverse": numbers(embedding.inv_freq)}
    if head_dim <= 16:
        # (1, H, T, E) -> (T, H, E)
        case |= {"positions": positions, "q": numbers(q[0].transpose(0, 1)), "rotated": numbers(turned[0].transpose(0, 1))}
    return case


def mlp_case(activation, generator):
    sizes = {"hidden_size": 6, "intermediate_size": 7}
    if activation == "silu":
        module = LlamaMLP(LlamaConfig(**sizes, num_attention_heads=1, mlp_bias=True))
    else:
        module = Gemma3MLP(Gemma3TextConfig(**sizes, num_attention_heads=1, num_key_value_heads=1))
    for p in module.parameters():
        p.data = torch.randn(p.shape, generator=generator)
    x = torch.randn(3, 6, generator=generator)
    return {
        "activation": activation,
        "parameters": {n: numbers(p) for n, p in module.named_parameters()},
        "x": numbers(x),
        "y": numbers(module(x)),
    }


def write_nn():
    generator = torch.Generator().manual_seed(11)
    llama3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    small = {**llama3, "factor": 8.0, "original_max_position_embeddings": 64}
    positions = [0, 1, 2, 7, 63, 500, 8000]
    write("nn", 11, {
        "norms": [
            norm_case(cls, dtype, generator)
            for cls in (LlamaRMSNorm, Gemma3RMSNorm) for dtype in (torch.float32, torch.bfloat16)
        ],
        "rotary": [
            rope_case(8, {"rope_type": "default", "rope_theta": 10000.0}, positions, generator),
            rope_case(16, {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0}, positions, generator),
            rope_case(16, {**small, "rope_theta": 500000.0}, positions, generator),
            rope_case(128, {**llama3, "rope_theta": 500000.0}, positions, generator),
            rope_case(256, {"rope_type": "default", "rope_theta": 1000000.0}, positions, generator),
        ],
        "mlps": [mlp_case("silu", generator), mlp_case("gelu_tanh", generator)],
    })


# ---- LoRA -------------------------------------------------------------------------------------------------------


class Holder(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.proj = nn.Linear(8, 10, bias=bias)

    def forward(self, x):
        return self.proj(x)


def lora_case(seed, bias, use_rslora, use_dora):
    torch.manual_seed(seed)
    base = Holder(bias)
    before = {n: numbers(p) for n, p in base.proj.named_parameters()}
    config = peft.LoraConfig(r=3, lora_alpha=7, lora_dropout=0.25, target_modules=["proj"], use_rslora=use_rslora, use_dora=use_dora)
    model = peft.get_peft_model(copy.deepcopy(base), config).eval()
    layer = model.base_model.model.proj
    parts = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}
    if use_dora:
        parts["magnitude"] = layer.lora_magnitude_vector["default"].weight
    untouched = None if not use_dora else numbers(parts["magnitude"])
    parts["A"].data = torch.randn(3, 8)
    parts["B"].data = torch.randn(10, 3)
    if use_dora:
        parts["magnitude"].data *= 1 + 0.3 * torch.randn(10)
    x = torch.randn(6, 8, requires_grad=True)
    upstream = torch.randn(6, 10)
    y = model(x)
    y.backward(upstream)
    case = {
        "bias": bias, "useRslora": use_rslora, "useDora": use_dora, "rank": 3, "alpha": 7,
        "base": before,
        "initialMagnitude": untouched,
        "adapter": {n: numbers(p) for n, p in parts.items()},
        "x": numbers(x), "upstream": numbers(upstream), "y": numbers(y),
        "grads": {n: numbers(p.grad) for n, p in parts.items()} | {"x": numbers(x.grad)},
    }
    with torch.no_grad(), model.disable_adapter():
        case["off"] = numbers(model(x))
    layer.merge()
    case["merged"] = numbers(layer.base_layer.weight)
    return case


def write_lora():
    write("lora", "21-26", {
        "cases": [
            lora_case(21, False, False, False),
            lora_case(22, True, False, False),
            lora_case(23, False, True, False),
            lora_case(24, False, False, True),
            lora_case(25, True, False, True),
            lora_case(26, True, True, True),
        ],
    })


# ---- whole models -----------------------------------------------------------------------------------------------

SIZES = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
# As config.json of the hub has them; transformers takes the same keys.
CONFIGS = {
    "llama_tied": {**SIZES, "model_type": "llama", "tie_word_embeddings": True, "rope_theta": 500000.0, "rope_scaling": LLAMA3},
    "llama_untied": {**SIZES, "model_type": "llama", "tie_word_embeddings": False, "rope_theta": 10000.0, "attention_bias": True, "mlp_bias": True},
    "qwen3": {**SIZES, "model_type": "qwen3", "tie_word_embeddings": False, "rope_theta": 1000000.0},
    "gemma3": {
        **SIZES, "model_type": "gemma3_text", "tie_word_embeddings": True, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window": 5, "query_pre_attn_scalar": 12,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}
CLASSES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "gemma3_text": (Gemma3TextConfig, Gemma3ForCausalLM),
}


def patterned_model(config):
    config_class, model_class = CLASSES[config["model_type"]]
    options = {k: v for k, v in config.items() if k != "model_type"}
    model = model_class._from_config(config_class(**options), attn_implementation="eager", dtype=torch.float32).eval()
    pattern_weights(model, 0.0 if config["model_type"] == "gemma3_text" else 1.0)
    return model


def logits_case(config):
    model = patterned_model(config)
    ids = [int((x + 1) * 16) for x in pattern("ids", 19).tolist()]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return {"config": config, "ids": ids, "logits": numbers(logits)}


ROWS = [
    {"promptIds": [3, 7, 1, 9, 4], "answer": [12, 5, 30, 2]},
    {"promptIds": [8, 2], "answer": [21, 6, 6, 17, 11, 0, 2]},
]


def sft_steps(model, trained):
    """Three steps of SFT on the answers' tokens: one mean over all of them, clipped, AdamW with decay on what transformers' trainer decays."""
    decaying = set(transformers.Trainer.get_decay_parameter_names(None, model))
    decay = [p for n, p in model.named_parameters() if p.requires_grad and n in decaying]
    plain = [p for n, p in model.named_parameters() if p.requires_grad and n not in decaying]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=1e-2, fused=True)
    total = sum(len(r["answer"]) for r in ROWS)
    losses, norms = [], []
    for _ in range(3):
        loss = 0.0
        for row in ROWS:
            ids = torch.tensor(row["promptIds"] + row["answer"])
            logps = model(ids[None]).logits[0].log_softmax(-1)
            first = len(row["promptIds"])
            picked = logps[first - 1 : -1].gather(1, ids[first:, None])
            loss = loss - picked.sum() / total
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(list(trained.values()), 0.5)))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {"learningRate": 1e-2, "weightDecay": 0.1, "maxGradNorm": 0.5, "losses": losses, "gradNorms": norms}


def sft_lora_case(name, use_rslora, use_dora):
    targets = ["q_proj", "v_proj", "down_proj"]
    config = peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets, use_rslora=use_rslora, use_dora=use_dora, task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(patterned_model(CONFIGS[name]), config)
    own = lambda n: n.replace(".default", "").replace("vector.weight", "vector")
    trained = {own(n): p for n, p in model.named_parameters() if p.requires_grad}
    for path, p in trained.items():
        if "magnitude" in path:
            p.data *= 1 + pattern(path, p.numel(), 0.25)
        else:
            p.data = pattern(path, p.numel(), 0.25).reshape(p.shape)
    return {
        "model": name, "rank": 4, "alpha": 8, "targets": targets, "useRslora": use_rslora, "useDora": use_dora,
        **sft_steps(model, trained), "after": {n: numbers(p) for n, p in trained.items()},
    }


def padded_case(name, is_saved):
    """The same in full tuning, or with an embedding that is saved whole beside an adapter; pad_token_id is a token of the rows."""
    pad = 2
    model = patterned_model({**CONFIGS[name], "pad_token_id": pad})
    if is_saved:
        config = peft.LoraConfig(
            r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "v_proj", "down_proj"], modules_to_save=["embed_tokens"],
            task_type="CAUSAL_LM",
        )
        model = peft.get_peft_model(model, config)
    own = lambda n: n.replace(".default", "").replace(".modules_to_save", "")
    trained = {own(n): p for n, p in model.named_parameters() if p.requires_grad}
    if is_saved:
        for path, p in trained.items():
            values = pattern(path, p.numel(), 0.25).reshape(p.shape)
            p.data = values if "lora" in path else p.data + values
    steps = sft_steps(model, trained)
    [embedding] = [p for n, p in trained.items() if "embed_tokens" in n]
    return {"model": name, "isSaved": is_saved, "pad": pad, **steps, "rows": numbers(embedding[: pad + 2])}


def write_models():
    write("models", "none: test/support/patterned.ts", {
        "pattern": numbers(pattern("check", 8, 0.5)),
        "logits": {name: logits_case(config) for name, config in CONFIGS.items()},
        "rows": ROWS,
        "steps": [sft_lora_case("llama_tied", False, False), sft_lora_case("gemma3", True, True)],
    })


# ---- tied heads: what transformers makes of a head that is stored beside a config that ties it -----------------------


def stored_head_case(name, stored):
    """The model's files are written, the head added or put in the embedding's place, and the directory loaded again."""
    config = {**CONFIGS[name], "tie_word_embeddings": True}
    model = patterned_model(config)
    ids = [int((x + 1) * 16) for x in pattern("ids", 19).tolist()]
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory)
        path = pathlib.Path(directory) / "model.safetensors"
        tensors = load_file(path)
        embedding = tensors["model.embed_tokens.weight"]
        own = pattern("lm_head.weight", embedding.numel(), math.sqrt(3 / embedding.shape[1])).reshape(embedding.shape)
        tensors["lm_head.weight"] = {"own": own, "equal": embedding.clone(), "only": embedding}[stored]
        if stored == "only":
            del tensors["model.embed_tokens.weight"]
        save_file(tensors, path, metadata={"format": "pt"})
        loaded = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    tied = loaded.get_input_embeddings().weight is loaded.get_output_embeddings().weight
    with torch.no_grad():
        logits = loaded(torch.tensor([ids])).logits[0]
    # two of the rows are enough to tell the heads apart
    return {"name": name, "stored": stored, "ids": ids, "tied": tied, "logits": numbers(logits[[5, 18]])}


def write_tied_heads():
    cases = [stored_head_case(name, stored) for name in ("llama_tied", "qwen3", "gemma3") for stored in ("own", "equal", "only")]
    write("tied-heads", "none: test/support/patterned.ts", {"cases": cases})


# ---- the row of pad_token_id: nn.Embedding's padding_idx ---------------------------------------------------------


def write_padding():
    cases = [padded_case("llama_tied", False), padded_case("llama_untied", False), padded_case("llama_untied", True)]
    write("padding-row", "none: test/support/patterned.ts", {"cases": cases})


# ---- sampling: what transformers leaves of a distribution --------------------------------------------------------


def sampling_case(model, generator, seen, settings):
    """Probabilities after the processors that `generate` builds for these settings, in its order."""
    logits = (torch.randn(40, generator=generator) * 3).float()
    config = transformers.GenerationConfig(do_sample=True, **settings)
    processors = model._get_logits_processor(config, input_ids_seq_length=len(seen), device="cpu")
    scores = processors(torch.tensor([seen]), logits[None].clone())
    return {"logits": numbers(logits), "seen": seen, "settings": settings, "probabilities": numbers(scores.softmax(-1))}


SAMPLING = [
    ([1, 2], {"temperature": 1.0, "top_k": 0}),
    ([1, 2], {"temperature": 0.7, "top_k": 0}),
    ([1, 2], {"temperature": 1.3, "top_k": 7}),
    ([1, 2], {"temperature": 1.0, "top_k": 1}),
    ([1, 2], {"temperature": 1.0, "top_k": 0, "top_p": 0.8}),
    ([1, 2], {"temperature": 1.0, "top_k": 0, "top_p": 0.01}),
    ([1, 2], {"temperature": 1.5, "top_k": 12, "top_p": 0.7}),
    ([1, 2], {"temperature": 1.0, "top_k": 0, "min_p": 0.1}),
    ([1, 2], {"temperature": 2.0, "top_k": 20, "top_p": 0.9, "min_p": 0.2}),
    ([4, 4, 9, 30, 31, 7], {"temperature": 1.0, "top_k": 0, "repetition_penalty": 1.4}),
    (list(range(0, 40, 2)), {"temperature": 0.8, "top_k": 15, "top_p": 0.85, "min_p": 0.05, "repetition_penalty": 0.7}),
]


def write_sampling():
    model = patterned_model(CONFIGS["llama_tied"])
    generator = torch.Generator().manual_seed(11)
    write("sampling", 11, {"cases": [sampling_case(model, generator, seen, settings) for seen, settings in SAMPLING]})


if __name__ == "__main__":
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    write_optim()
    write_nn()
    write_lora()
    write_models()
    write_tied_heads()
    write_padding()
    write_sampling()
