"""Writes test/goldens/entropy-bonus.json: GRPO's loss with a bonus for entropy, by plain PyTorch in float64.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    .preftune/peers/bin/python scripts/write-entropy-goldens.py

The batches are those of test/fixtures/online, the old log-probs those given there; whole rows of logits over the temperature, their
entropies by log_softmax, the gradient by autograd. loss = dapo's policy loss - entropy_coef * mean entropy of all completion tokens.
"""

import json
import pathlib

import torch
import transformers

PINNED = {"torch": "2.13.0", "transformers": "5.23.0"}
ROOT = pathlib.Path(__file__).resolve().parent.parent / "test"
OUT = ROOT / "goldens" / "entropy-bonus.json"
CASES = [{"entropy_coef": 0.05, "temperature": 1.0}, {"entropy_coef": -0.2, "temperature": 0.7}]
EPSILON = 0.2


def advantages_of(batch):
    rows = []
    for prompt in batch["prompts"]:
        rewards = torch.tensor(
            [sum(w * r for w, r in zip(batch["reward_weights"], c["rewards"])) for c in prompt["completions"]],
            dtype=torch.float64,
        )
        rows.append((rewards - rewards.mean()) / (rewards.std() + 1e-4))
    return torch.cat(rows)


def case_of(model, batch, entropy_coef, temperature):
    model.zero_grad()
    advantages = iter(advantages_of(batch))
    losses, entropies = [], []
    for prompt in batch["prompts"]:
        for completion in prompt["completions"]:
            ids = prompt["prompt_ids"] + completion["ids"]
            logits = model(torch.tensor([ids])).logits[0, len(prompt["prompt_ids"]) - 1 : -1] / temperature
            table = torch.log_softmax(logits, -1)
            logps = table.gather(1, torch.tensor(completion["ids"])[:, None])[:, 0]
            ratio = (logps - torch.tensor(completion["given_old_logps"], dtype=torch.float64)).exp()
            a = next(advantages)
            losses.append(-torch.minimum(ratio * a, ratio.clamp(1 - EPSILON, 1 + EPSILON) * a))
            entropies.append(-(table.exp() * table).sum(-1))
    policy, entropy = torch.cat(losses).mean(), torch.cat(entropies).mean()
    loss = policy - entropy_coef * entropy
    loss.backward()
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters()}
    whole = sum(n * n for n in norms.values()) ** 0.5
    given = {"entropy_coef": entropy_coef, "temperature": temperature}
    return {**given, "loss": loss.item(), "policy_loss": policy.item(), "entropy": entropy.item(), "grad_norm": whole, "parameters": norms}


def main():
    found = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    assert found == PINNED, f"expected {PINNED}, got {found}"
    families = {}
    for family in ("qwen3", "llama_tied"):
        batch = json.loads((ROOT / "fixtures" / "online" / family / "batch.json").read_text())
        model = transformers.AutoModelForCausalLM.from_pretrained(
            ROOT / "fixtures" / family / "model", dtype=torch.float64, attn_implementation="eager"
        )
        families[family] = [case_of(model, batch, **case) for case in CASES]
    header = {"script": "scripts/write-entropy-goldens.py", "versions": PINNED}
    OUT.write_text(json.dumps({**header, "families": families}, indent=1) + "\n")


main()
