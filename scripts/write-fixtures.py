"""Writes test/fixtures/*/goldens.json: numbers of transformers, PEFT, TRL and SLIME's authors for the fixture models.

For developers only; no test runs it. With the Python of `npm run bench:peers`, from the repository root:

    .preftune/peers/bin/python scripts/write-fixtures.py [--authors DIR]

Inputs, which are in the repository: each family's `model/` (random weights, norms too), `lora/` (a PEFT adapter whose B
and lm_head are not zero) and `batch.json` (four pairs and the reference's sums). Everything else follows from them:
token log-probs and greedy answers of transformers, losses and gradients of TRL's trainers, logits of PEFT's adapter.

The numbers of SLIME's authors (their fork of TRL at commit 042c0972, `SlimeTrainer`) are not made here, since that fork
is no package: they are kept in `slime_authors` as they were written down. This script computes SLIME's loss and gradients
anew from the formula and stops when they differ. `--authors DIR` takes them from the `slime.json` files of another folder.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRL_EXPERIMENTAL_SILENCE="1")

import numpy as np
import peft
import torch
import transformers
import trl
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "bench"))

from trl_ids import on_ids

PINNED = {"torch": "2.13", "transformers": "5.23", "peft": "0.21", "trl": "1.16"}
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures"
FAMILIES = ["llama_tied", "llama_untied", "qwen3", "gemma3_text"]
SCRIPT_PRESET = dict(lambda_w=0.1, lambda_l=0.0005, delta=1.25, margin_hard=1.5, margin_soft=1.0, lambda_d=1.0)
CONFIG_PRESET = SCRIPT_PRESET | dict(lambda_w=0.8, delta=0.5)
KAPPA = POWER = 2.5
SHOWN = 4  # of each gradient's first and last numbers
COLUMNS = 16  # every so many columns of the adapter's logits


def numbers(values):
    """Nested lists of float32 values in their shortest decimal form."""
    if isinstance(values, torch.Tensor):
        values = values.detach().tolist()
    if isinstance(values, list):
        return [numbers(value) for value in values]
    return float(str(np.float32(values)))


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def token_logps(model, prompt, answer):
    """Log-prob of each token of `answer`, [len(answer)], the sequence unpadded and alone."""
    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(answer)[:, None])[:, 0]


def gradients(named):
    """Norms and some numbers of every parameter's gradient: name -> [norm, first numbers, last numbers]."""
    params, square = {}, 0.0
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        flat = parameter.grad.reshape(-1)
        norm = float(flat.double().norm())
        square += norm**2
        params[name] = [numbers(norm), numbers(flat[:SHOWN]), numbers(flat[-SHOWN:])]
    return {"global_norm": numbers(square**0.5), "params": params}


def slime_loss(model, rows, hyper):
    """SLIME's objective (arXiv 2602.02383) over all pairs of `rows`."""
    pairs = [[token_logps(model, r["prompt_ids"], r[side]) for side in ("chosen_ids", "rejected_ids")] for r in rows]
    rejected = torch.cat([pair[1] for pair in pairs])
    softplus = torch.nn.functional.softplus
    loss = hyper["lambda_l"] * (softplus(-rejected - hyper["delta"]) ** POWER).mean()
    for chosen, worse in pairs:
        gap = chosen.mean() - worse.mean()
        gate = torch.sigmoid(KAPPA * (hyper["margin_soft"] - gap))
        margin = torch.relu(hyper["margin_hard"] - gap) * gate
        loss = loss + (hyper["lambda_d"] * margin - hyper["lambda_w"] * chosen.mean()) / len(pairs)
    return loss


def completion_nll(model, rows):
    logps = torch.cat([token_logps(model, r["prompt_ids"], r["chosen_ids"]) for r in rows])
    return -logps.mean()


def sequence_nll(model, rows):
    logps = [token_logps(model, r["prompt_ids"][:1], r["prompt_ids"][1:] + r["chosen_ids"]) for r in rows]
    return -torch.cat(logps).mean()


# ---- TRL's trainers ---------------------------------------------------------------------------------------------


def with_given_reference(trainer_class):
    """`trainer_class` on ids and on the reference's sums that the rows bring."""

    class WithGivenReference(on_ids(trainer_class)):
        def _precompute_ref_logps(self, dataset, *_args, **_kwargs):
            return dataset

    WithGivenReference.__name__ = trainer_class.__name__
    return WithGivenReference


def trl_loss(folder, rows, method, hyper):
    """Loss and gradients of a TRL trainer on all rows as one padded batch."""
    common = dict(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        remove_unused_columns=False,
        per_device_train_batch_size=len(rows),
        disable_tqdm=True,
    )
    model = load(folder)
    parts = dict(model=model, processing_class=transformers.AutoTokenizer.from_pretrained(folder))
    if method == "sft":
        data = [
            dict(
                input_ids=r["prompt_ids"] + r["chosen_ids"],
                labels=[-100] * len(r["prompt_ids"]) + r["chosen_ids"],
            )
            for r in rows
        ]
        config = SFTConfig(**common, **hyper, max_length=None)
        trainer = on_ids(SFTTrainer)(args=config, train_dataset=Dataset.from_list(data), **parts)
    elif method == "dpo":
        names = dict(ref_chosen_logp="ref_chosen_logps", ref_rejected_logp="ref_rejected_logps")
        data = [{names.get(key, key): value for key, value in r.items() if key != "id"} for r in rows]
        config = DPOConfig(**common, **hyper, max_length=None, precompute_ref_log_probs=True)
        trainer = with_given_reference(DPOTrainer)(args=config, train_dataset=Dataset.from_list(data), **parts)
    else:
        data = [r | dict(prompt="x", chosen="y", rejected="z") for r in rows]
        config = CPOConfig(**common, **hyper, max_length=2048)
        trainer = on_ids(CPOTrainer)(args=config, train_dataset=Dataset.from_list(data), **parts)
    batch = next(iter(trainer.get_train_dataloader()))
    model.eval()  # nothing here has dropout
    model.zero_grad()
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    return {"source": f"TRL {type(trainer).__name__}.compute_loss", "hyper": hyper, "loss": numbers(loss)} | {
        "grads": gradients(model.named_parameters())
    }


def formula_loss(model, source, hyper, compute):
    model.zero_grad()
    loss = compute(model)
    loss.backward()
    return {
        "source": source,
        "hyper": hyper,
        "loss": numbers(loss),
        "grads": gradients(model.named_parameters()),
    }


def all_losses(folder, rows):
    simpo = dict(loss_type="simpo", label_smoothing=0.0)
    cpo = {
        "simpo": simpo | dict(beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0),
        "cpo_simpo_alpha1": simpo | dict(beta=2.0, simpo_gamma=1.0, cpo_alpha=1.0),
        "cpo_simpo_train_script": simpo | dict(beta=0.1, simpo_gamma=2.0, cpo_alpha=1.0),
    }
    dpo = dict(beta=0.1, loss_type="sigmoid")
    model = load(folder)
    return {
        "sft_completion_nll": trl_loss(folder, rows, "sft", dict(completion_only_loss=True)),
        "sft_full_sequence_nll": formula_loss(
            model, "transformers, cross entropy", {}, lambda m: sequence_nll(m, rows)
        ),
        "dpo_sigmoid": trl_loss(folder, rows, "dpo", dpo),
        **{name: trl_loss(folder, rows, "cpo", hyper) for name, hyper in cpo.items()},
        **{
            f"slime_{name}": formula_loss(
                model, "the formula, equal to the authors' trainer", hyper, lambda m, h=hyper: slime_loss(m, rows, h)
            )
            for name, hyper in (("config", CONFIG_PRESET), ("script", SCRIPT_PRESET))
        },
    }


# ---- SLIME's authors --------------------------------------------------------------------------------------------


def read_authors(folder):
    """What their trainer gave for one family, by preset of theirs, in this file's form."""
    found = json.loads((folder / "slime.json").read_text())
    return {
        ours: {
            "source": found[theirs]["source"],
            "loss": numbers(found[theirs]["loss"]),
            "compute_loss": numbers(found[theirs]["compute_loss_as_trainer"]),
            "grads": {
                "global_norm": numbers(found[theirs]["grads"]["global_norm"]),
                "params": {
                    name: [numbers(g["norm"]), numbers(g["first"][:SHOWN]), numbers(g["last"][-SHOWN:])]
                    for name, g in found[theirs]["grads"]["params"].items()
                },
            },
        }
        for ours, theirs in (("config", "default"), ("script", "train_script"))
    }


def check_authors(family, authors, losses):
    for preset, theirs in authors.items():
        ours = losses[f"slime_{preset}"]
        pairs = [("loss", theirs["loss"], ours["loss"])]
        pairs.append(("global_norm", theirs["grads"]["global_norm"], ours["grads"]["global_norm"]))
        pairs += [(name, g[0], ours["grads"]["params"][name][0]) for name, g in theirs["grads"]["params"].items()]
        for name, a, b in pairs:
            if abs(a - b) > 1e-4 * max(abs(a), 1e-6):
                raise SystemExit(f"{family}, {preset}, {name}: the authors' trainer gave {a}, the formula {b}")


# ---- one family -------------------------------------------------------------------------------------------------


def greedy(model, prompt, count=20):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def adapter_numbers(folder, rows):
    """Logits with the adapter on and off, for one sequence, and SLIME's gradients of what the adapter trains."""
    model = peft.PeftModel.from_pretrained(load(folder / "model"), folder / "lora", is_trainable=True).eval()
    ids = rows[1]["prompt_ids"] + rows[1]["chosen_ids"]

    def sample():
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        return {"logsumexp": numbers(torch.logsumexp(logits, -1)), "logits": numbers(logits[:, ::COLUMNS])}

    on = sample()
    with model.disable_adapter():
        off = sample()
    slime = formula_loss(
        model, "PEFT, the formula of SLIME", SCRIPT_PRESET, lambda m: slime_loss(m, rows, SCRIPT_PRESET)
    )
    names = {name: name.replace(".default", "").replace(".modules_to_save", "") for name in slime["grads"]["params"]}
    slime["grads"]["params"] = {names[name]: g for name, g in slime["grads"]["params"].items()}
    return {"input_ids": ids, "columns": COLUMNS, "on": on, "off": off, "slime": slime}


def write_family(family, authors_folder):
    folder = FIXTURES / family
    path = folder / "goldens.json"
    rows = json.loads((folder / "batch.json").read_text())["rows"]
    authors = (
        json.loads(path.read_text())["slime_authors"]
        if authors_folder is None
        else read_authors(authors_folder / family)
    )
    model = load(folder / "model")
    with torch.no_grad():
        logps = {
            side: [numbers(token_logps(model, r["prompt_ids"], r[f"{side}_ids"])) for r in rows]
            for side in ("chosen", "rejected")
        }
        answers = [greedy(model, r["prompt_ids"]) for r in rows]
    losses = all_losses(folder / "model", rows)
    check_authors(family, authors, losses)
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft, trl)}
    content = {
        "provenance": {"script": "scripts/write-fixtures.py", "versions": versions},
        "logps": logps,
        "greedy": answers,
        "losses": losses,
        "slime_authors": authors,
        "adapter": adapter_numbers(folder, rows),
    }
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--authors", type=pathlib.Path, help="folder with FAMILY/slime.json of the authors' trainer")
    arguments = parser.parse_args()
    for module in (torch, transformers, peft, trl):
        pinned = PINNED[module.__name__]
        if not module.__version__.startswith(pinned + "."):
            raise SystemExit(f"expected {module.__name__} {pinned}, got {module.__version__}: run npm run bench:peers")
    for family in FAMILIES:
        write_family(family, arguments.authors)


if __name__ == "__main__":
    main()
