"""Runs TRL's GRPOTrainer, RLOOTrainer and OnlineDPOTrainer on the batch of test/fixtures/online: loss and gradient norm of each case.

Run by online-trl.test.ts: check_online.py FIXTURES FAMILY, answers in JSON on standard output. The trainers are TRL's own; prompts,
completions, rewards and, for cases with `old: given`, old and reference log-probs are the file's.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(
    HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES=""
)

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

torch.set_num_threads(1)
folder, family = Path(sys.argv[1]), sys.argv[2]
batch, losses = (json.loads((folder / "online" / family / f"{name}.json").read_text()) for name in ("batch", "losses"))
completions = [one for prompt in batch["prompts"] for one in prompt["completions"]]
prompts = [prompt["prompt_ids"] for prompt in batch["prompts"] for _ in prompt["completions"]]
size = batch["num_generations"]
PAD = batch["pad_id"]


def load():
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder / family / "model", dtype=torch.float32, attn_implementation="eager"
    )


def padded(rows, value=0.0, left=False):
    longest = max(map(len, rows))
    filled = [[value] * (longest - len(row)) + row if left else row + [value] * (longest - len(row)) for row in rows]
    return torch.tensor(filled)


def rewards_of(case):
    rows = [one["rewards"] for one in completions]
    if "rewards" in case:
        rows = [reward for group in case["rewards"] for reward in group]
    return torch.tensor([[float("nan") if value is None else value for value in row] for row in rows])


def make(config_class, trainer_class, **values):
    config = config_class(
        output_dir=tempfile.mkdtemp(),
        bf16=False,
        use_cpu=True,
        report_to=[],
        gradient_checkpointing=False,
        **values,
    )

    def reward(completions, **_columns):
        return [0.0] * len(completions)

    functions = [reward, lambda completions, **_columns: reward(completions)]
    functions[1].__name__ = "other"
    data = Dataset.from_list([{"prompt": "t5"}] * len(prompts))
    given = functions if "reward_weights" in values else reward
    return trainer_class(
        model=load(), args=config, reward_funcs=given, train_dataset=data, processing_class=transformers.AutoTokenizer.from_pretrained(folder / family / "model")
    )


def norm(model):
    return torch.sqrt(sum((p.grad.double() ** 2).sum() for p in model.parameters() if p.grad is not None)).item()


def of_group(trainer, case, single):
    """A case of GRPO or RLOO."""
    given = case["old"] == "given"
    old, ref = (padded([one[name] for one in completions]) for name in ("given_old_logps", "given_ref_logps"))
    trainer._tokenize_prompts = lambda _prompts: (prompts, None, {})
    trainer._generate_single_turn = lambda *_args, **_kwargs: single([one["ids"] for one in completions])
    trainer._calculate_rewards = lambda *_args, **_kwargs: rewards_of(case)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    if given and single is ids_alone:
        passes, own = [old, ref], trainer._get_per_token_logps_and_entropies
        trainer._get_per_token_logps_and_entropies = lambda *_args, **_kwargs: (passes.pop(0), None, None)
    inputs = trainer._generate_and_score_completions([{"prompt": "t5"}] * len(prompts))
    if given and single is ids_alone:
        trainer._get_per_token_logps_and_entropies = own
    elif given:
        inputs["old_per_token_logps"] = old
        if case["beta"] > 0:
            inputs["ref_per_token_logps"] = ref
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.item(), norm(trainer.model)


def ids_alone(ids):
    return ids


def ids_and_logps(ids):
    return ids, None


def group_case(kind, case):
    values = dict(
        per_device_train_batch_size=len(prompts),
        num_generations=size,
        max_completion_length=batch["max_completion_length"],
        reward_weights=batch["reward_weights"],
        beta=case["beta"],
        temperature=1.0,
    )
    if kind == "grpo":
        more = dict(case["config"])
        if case.get("use_bias_correction_kl") is not None:
            more["use_bias_correction_kl"] = case["use_bias_correction_kl"]
        return of_group(make(GRPOConfig, GRPOTrainer, **(values | more)), case, ids_and_logps)
    more = dict(normalize_advantages=case["normalize_advantages"], epsilon=case["epsilon"])
    return of_group(make(RLOOConfig, RLOOTrainer, **(values | more)), case, ids_alone)


def dpo_case(case):
    trainer = make(
        OnlineDPOConfig,
        OnlineDPOTrainer,
        per_device_train_batch_size=len(batch["prompts"]),
        max_new_tokens=batch["max_completion_length"],
        beta=[case["beta"]],
        loss_type=case["case"].removeprefix("online_dpo_"),
    )
    first = [group * size + place for place in (0, 1) for group in range(len(batch["prompts"]))]
    left = [prompts[i] for i in first]
    right = [completions[i]["ids"] for i in first]
    trainer._generate = lambda *_args: (
        padded(left, PAD, left=True),
        padded([[1] * len(ids) for ids in left], 0, left=True),
        padded(right, PAD),
        padded([[1] * len(ids) for ids in right], 0),
        None,
    )
    weights = torch.tensor(batch["reward_weights"])
    totals = (rewards_of({}).nan_to_num() * weights).sum(1)
    trainer._calculate_rewards_from_functions = lambda **_kwargs: totals[first]
    # the reference of the fixture is made of numbers
    ref = padded([completions[i]["given_ref_logps"] for i in first])
    own = trainer._forward
    trainer._forward = lambda model, *rest: own(model, *rest) if model is not trainer.ref_model else ref
    loss = trainer.training_step(trainer.model, {"prompt": ["t5"] * len(batch["prompts"])})
    return loss.item(), norm(trainer.model)


asked = [("grpo", case) for case in losses["grpo"]] + [("rloo", case) for case in losses["rloo"]]
results = []
for kind, case in asked + [("online_dpo", case) for case in losses["online_dpo"]]:
    loss, grad_norm = dpo_case(case) if kind == "online_dpo" else group_case(kind, case)
    results.append(dict(name=case["case"], loss=loss, grad_norm=grad_norm))
print(json.dumps(results))
