"""Writes test/fixtures/qwen2_tied/saved_bias: a PEFT adapter with `modules_to_save` that have a bias, and PEFT's numbers with it.

    PYTHON scripts/write-saved-bias.py

The Python is that of `npm run bench:peers`. Numbers are of the chosen answers of batch.json: log-probs of each token, with the adapter,
at half of it (start + (trained - start) / 2, alpha halved) and merged; gradients of their mean negative log-prob.
"""

import json
import pathlib

import peft
import torch
import transformers

FAMILY = pathlib.Path(__file__).parent.parent / "test/fixtures/qwen2_tied"
SAVED = ["q_proj", "up_proj"]


def load():
    return transformers.AutoModelForCausalLM.from_pretrained(
        FAMILY / "model", dtype=torch.float32, attn_implementation="eager"
    ).eval()


def logps(model, row):
    prompt, answer = row["prompt_ids"], row["chosen_ids"]
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(answer)[:, None])[:, 0]


def all_logps(model, rows):
    with torch.no_grad():
        return [[round(float(x), 6) for x in logps(model, row)] for row in rows]


def main():
    torch.manual_seed(7)
    rows = json.loads((FAMILY / "batch.json").read_text())["rows"]
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=SAVED, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(), config).eval()
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    model.save_pretrained(FAMILY / "saved_bias")
    (FAMILY / "saved_bias/README.md").unlink(missing_ok=True)
    whole = all_logps(model, rows)
    nll = -torch.cat([logps(model, row) for row in rows]).mean()
    nll.backward()
    gradients = {
        name.replace(".default", "").replace(".modules_to_save", ""): [float(p.grad.norm()), p.grad.reshape(-1)[:8].tolist()]
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    with torch.no_grad():
        trained = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        for name, p in model.named_parameters():
            if "modules_to_save" in name and p.requires_grad:
                p.copy_((start[name] + trained[name]) / 2)
            elif "lora_B" in name:
                p.mul_(0.5)
        half = all_logps(model, rows)
    merged = peft.PeftModel.from_pretrained(load(), FAMILY / "saved_bias").merge_and_unload()
    biases = {n: [round(float(x), 6) for x in p[:4]] for n, p in merged.named_parameters() if n.endswith("q_proj.bias")}
    content = {
        "provenance": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "nll": float(nll.detach()),
        "logps": {"whole": whole, "half": half, "merged": all_logps(merged, rows)},
        "gradients": gradients,
        "merged_biases": biases,
    }
    (FAMILY / "saved_bias/goldens.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
