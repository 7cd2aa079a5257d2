"""Loads what preftune wrote in transformers and PEFT, and writes adapters and models for it to load in turn.

Run by python-export.test.ts: reads a manifest (JSON on standard input), answers in JSON on standard output.
"""

import json
import sys
import warnings

import peft
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText


def load(path):
    whole = hasattr(AutoConfig.from_pretrained(path), "vision_config")
    auto = AutoModelForImageTextToText if whole else AutoModelForCausalLM
    model, info = auto.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    return model.eval(), info


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().reshape(-1)


def mix(model, trained, scale):
    """Takes a part of the way from each weight to that of the tuned model."""
    with torch.no_grad():
        for (name, weight), (other, goal) in zip(model.named_parameters(), trained.named_parameters(), strict=True):
            assert name == other
            weight.lerp_(goal, scale)


def check(case):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, info = load(case["model"])
        tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        if "trained" in case:
            mix(model, load(case["trained"])[0], case["scale"])
        if case["adapter"] is not None:
            model = peft.PeftModel.from_pretrained(model, case["adapter"]).eval()
            for module in model.modules():
                if isinstance(module, peft.tuners.lora.LoraLayer):
                    module.scaling = {name: value * case.get("scale", 1) for name, value in module.scaling.items()}
    got = logits_of(model, case["ids"])
    expected = torch.tensor(case["logits"])
    return {
        "name": case["name"],
        "difference": float((got - expected).abs().max()),
        "spread": float(expected.std()),
        "tied": tied,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        # PEFT says so, and goes on, when tensors of an adapter file find no place
        "warnings": [str(w.message)[:300] for w in caught if "missing adapter keys" in str(w.message)],
    }


def write_adapter(case):
    """A PEFT adapter with random tensors over a model of preftune's, both saved by their own libraries."""
    torch.manual_seed(case["seed"])
    base, _ = load(case["model"])
    base.save_pretrained(case["savedModel"])
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **case["lora"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter) * 0.1
                parameter.copy_(parameter * (1 + noise) if "magnitude" in name else parameter + noise)
    model.save_pretrained(case["savedAdapter"])
    return {"name": case["name"], "logits": logits_of(model.eval(), case["ids"]).tolist()}


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    manifest = json.load(sys.stdin)
    answer = {
        "checked": [check(case) for case in manifest["check"]],
        "written": [write_adapter(case) for case in manifest["write"]],
        "targeted": sorted(peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
