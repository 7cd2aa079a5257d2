"""Writes test/goldens/reward-models.json: scores, losses and gradients of TRL's RewardTrainer on the models of test/fixtures.

For developers only; no test runs it. With the Python of `npm run bench:peers`, from the repository root:

    .preftune/peers/bin/python scripts/write-reward-goldens.py

The base is each family's `model/` as a sequence classifier with one label and the `score` written down here; the rows are
those of its `batch.json`. The padding token is one that no row has, so that transformers finds every last token.
"""

import json
import os
import pathlib
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import numpy as np
import torch
import transformers
import trl
from datasets import Dataset
from trl import RewardConfig, RewardTrainer

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "test" / "fixtures"
FAMILIES = ["llama_tied", "llama_untied", "qwen3", "gemma3_text"]
MARGINS = [0.5, 0.0, -1.25, 2.0]
CASES = {
    "plain": dict(margins=False, center=None),
    "margin": dict(margins=True, center=None),
    "centred": dict(margins=False, center=0.01),
    "margin and centred": dict(margins=True, center=0.25),
}
SHOWN = 4


def numbers(values):
    """Nested lists of float32 values in their shortest decimal form."""
    if isinstance(values, torch.Tensor):
        values = values.detach().tolist()
    if isinstance(values, list):
        return [numbers(value) for value in values]
    return float(str(np.float32(values)))


def load(folder, score, pad):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model.config.get_text_config().pad_token_id = pad
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor([score]))
    return model


def gradients(model):
    params, square = {}, 0.0
    for name, parameter in model.named_parameters():
        flat = parameter.grad.reshape(-1)
        norm = float(flat.double().norm())
        square += norm**2
        params[name] = [numbers(norm), numbers(flat[:SHOWN]), numbers(flat[-SHOWN:])]
    return {"global_norm": numbers(square**0.5), "params": params}


class OnIds(RewardTrainer):
    """Without its tokenizing."""

    def _prepare_dataset(self, dataset, *_args, **_kwargs):
        return dataset


def case_of(folder, score, pad, rows, margins, center):
    model = load(folder, score, pad)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    data = [
        dict(
            chosen_ids=row["prompt_ids"] + row["chosen_ids"],
            rejected_ids=row["prompt_ids"] + row["rejected_ids"],
            **(dict(margin=margin) if margins else {}),
        )
        for row, margin in zip(rows, MARGINS)
    ]
    config = RewardConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        per_device_train_batch_size=len(rows),
        disable_tqdm=True,
        center_rewards_coefficient=center,
    )
    trainer = OnIds(model=model, args=config, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
    assert model.config.get_text_config().pad_token_id == pad
    batch = trainer.data_collator(data)
    model.zero_grad()
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    logged = {name: numbers(values[0]) for name, values in trainer._metrics["eval"].items() if name != "num_tokens"}
    return {"margins": margins, "center": center, "loss": numbers(loss), "metrics": logged, "grads": gradients(model)}


def write_family(family):
    folder = FIXTURES / family / "model"
    rows = json.loads((FIXTURES / family / "batch.json").read_text())["rows"]
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    score = numbers(0.3 * torch.randn(width, generator=torch.Generator().manual_seed(14)))
    used = {id for row in rows for key in ("prompt_ids", "chosen_ids", "rejected_ids") for id in row[key]}
    pad = next(id for id in range(512) if id not in used)
    model = load(folder, score, pad)
    with torch.no_grad():
        scores = [
            [numbers(model(torch.tensor([row["prompt_ids"] + row[side]])).logits[0, 0]) for side in ("chosen_ids", "rejected_ids")]
            for row in rows
        ]
    cases = {name: case_of(folder, score, pad, rows, **how) for name, how in CASES.items()}
    return {"score": score, "scores": scores, "cases": cases}


def main():
    versions = {m.__name__: m.__version__ for m in (torch, transformers, trl)}
    content = {
        "provenance": {"script": "scripts/write-reward-goldens.py", "versions": versions},
        "margins": MARGINS,
        "families": {family: write_family(family) for family in FAMILIES},
    }
    path = ROOT / "test" / "goldens" / "reward-models.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
