"""Scores reward models that preftune wrote with transformers and PEFT, and writes some for it to load in turn.

Run by reward-exports.test.ts: reads a manifest (JSON on standard input), answers in JSON on standard output.
"""

import json
import sys
import warnings

import peft
import torch
import transformers
from transformers import AutoModelForSequenceClassification


def load(path, **more):
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **more
    )
    return model.eval(), info


def scores_of(model, texts):
    """All texts as one batch, padded on the right, as a data collator makes it."""
    pad = model.config.get_text_config().pad_token_id
    longest = max(map(len, texts))
    ids = torch.tensor([text + [pad] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits.float()[:, 0].tolist()


def gradients_of(model, texts, margin):
    """Norms of what is trained, by PEFT's names in files, for the first two texts as a pair."""
    model.zero_grad()
    with torch.enable_grad():
        chosen, rejected = (model(input_ids=torch.tensor([text])).logits[0, 0] for text in texts[:2])
        (-torch.nn.functional.logsigmoid(chosen - rejected - margin)).backward()
    return {
        name.replace(".default", "").replace(".modules_to_save", ""): float(parameter.grad.double().norm())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def check(case):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if case["adapter"] is None:
            model, info = load(case["model"])
        else:
            model, info = load(case["model"], num_labels=1)
            model.config.get_text_config().pad_token_id = case["pad"]
            model = peft.PeftModel.from_pretrained(model, case["adapter"], is_trainable=True).eval()
    return {
        "name": case["name"],
        "class": type(model).__name__,
        "problem_type": model.config.problem_type,
        "labels": model.config.num_labels,
        "scores": scores_of(model, case["texts"]),
        "gradients": {} if case["adapter"] is None else gradients_of(model, case["texts"], case["margin"]),
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "warnings": [str(w.message)[:300] for w in caught if "missing adapter keys" in str(w.message)],
    }


def write(case):
    """A reward model that transformers draws over a language model of preftune's, and a PEFT adapter on it."""
    torch.manual_seed(case["seed"])
    model, _ = load(case["model"], num_labels=1)
    model.config.get_text_config().pad_token_id = case["pad"]
    model.save_pretrained(case["savedModel"])
    plain = scores_of(model, case["texts"])
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **case["lora"])).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.save_pretrained(case["savedAdapter"])
    return {"name": case["name"], "plain": plain, "adapted": scores_of(adapted, case["texts"])}


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    manifest = json.load(sys.stdin)
    json.dump({"checked": [check(c) for c in manifest["check"]], "written": [write(c) for c in manifest["write"]]}, sys.stdout)


if __name__ == "__main__":
    main()
