"""One on-policy run of a TRL trainer on the benchmark's prompts: one JSON line with the fields of online-record.ts.

usage: peer-online.py PLAN, a JSON object: `OnlinePlan` of online-record.ts.
A step is from the end of the one before to its own end, as TRL samples between two steps.
"""

import json
import sys
import time

# first: it sets what the libraries below read
from trl_runs import common_arguments, common_parts, first_rows, peak_mb

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer


class Spent:
    """Wall time in calls since it was last taken, and what they counted."""

    def __init__(self):
        self.seconds, self.count = 0.0, 0

    def timed(self, call, count):
        def run(*args, **kwargs):
            began = time.perf_counter()
            result = call(*args, **kwargs)
            self.seconds += time.perf_counter() - began
            self.count += count(result)
            return result

        return run

    def take(self):
        taken = self.seconds, self.count
        self.seconds, self.count = 0.0, 0
        return taken


def even_share(end):
    """The fraction of even token ids, up to the end token."""

    def reward(completion_ids, **_columns):
        lists = [list(map(int, ids)) for ids in completion_ids]
        # OnlineDPOTrainer passes the padding too
        kept = [ids[: ids.index(end) + 1] if end in ids else ids for ids in lists]
        return [sum(id % 2 == 0 for id in ids) / max(1, len(ids)) for ids in kept]

    return reward


def exact(completions, chosen, **_columns):
    """1 for the text of the row's chosen answer, else 0."""
    texts = [[messages[0]["content"].strip() for messages in side] for side in (completions, chosen)]
    return [float(own == right) for own, right in zip(*texts)]


class Scoring(Spent):
    """A reward that notes its time and the mean of each call."""

    def __init__(self, reward):
        super().__init__()
        self.reward, self.mean = reward, float("nan")

    def __call__(self, **given):
        began = time.perf_counter()
        rewards = self.reward(**given)
        self.mean = sum(rewards) / len(rewards)
        self.seconds += time.perf_counter() - began
        return rewards


class Steps(transformers.TrainerCallback):
    """Notes each step in the record."""

    def __init__(self, record, sampling, scoring):
        self.record, self.sampling, self.scoring = record, sampling, scoring

    def on_train_begin(self, *_args, **_kwargs):
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *_args, **_kwargs):
        now = time.perf_counter(), time.process_time()
        seconds, tokens = self.sampling.take()
        noted = dict(
            seconds=now[0] - self.began[0],
            cpuSeconds=now[1] - self.began[1],
            samplingSeconds=seconds,
            scoringSeconds=self.scoring.take()[0],
            tokens=tokens,
            rewards=self.scoring.mean,
        )
        for name, value in noted.items():
            self.record[name].append(value)
        self.began = now


def make_trainer(plan, rows, record):
    common = common_arguments(plan) | dict(
        temperature=1.0,
        learning_rate=plan["learningRate"],
        adam_beta2=plan["adamBeta2"],
        seed=plan["seed"],
    )
    parts = common_parts(plan)
    reward = exact if plan["reward"] == "exact" else even_share(parts["processing_class"].eos_token_id)
    sampling, scoring = Spent(), Scoring(reward)
    scoring.__name__ = plan["reward"]
    parts |= dict(
        reward_funcs=scoring,
        train_dataset=Dataset.from_list(rows),
        callbacks=[Steps(record, sampling, scoring)],
    )
    if plan["method"] == "online_dpo":
        config = OnlineDPOConfig(
            **common,
            per_device_train_batch_size=plan["promptsAStep"],
            max_new_tokens=plan["newTokens"],
            max_length=4096,
            beta=[0.1],
        )
        trainer = OnlineDPOTrainer(args=config, **parts)
        trainer._generate = sampling.timed(trainer._generate, lambda result: int(result[3].sum()))
        return trainer
    config_class, trainer_class = (
        (GRPOConfig, GRPOTrainer) if plan["method"] == "grpo" else (RLOOConfig, RLOOTrainer)
    )
    config = config_class(
        **common,
        per_device_train_batch_size=plan["promptsAStep"] * plan["group"],
        num_generations=plan["group"],
        max_completion_length=plan["newTokens"],
        beta=0.0,
        shuffle_dataset=False,
    )
    trainer = trainer_class(args=config, **parts)
    ids_of = (lambda result: result[0]) if plan["method"] == "grpo" else (lambda result: result)
    trainer._generate_single_turn = sampling.timed(
        trainer._generate_single_turn, lambda result: sum(map(len, ids_of(result)))
    )
    return trainer


def main(plan):
    torch.set_num_threads(plan["threads"])
    names = ("seconds", "cpuSeconds", "samplingSeconds", "scoringSeconds", "tokens", "rewards")
    record = {name: [] for name in names} | dict(heldOut=None, bareMb=peak_mb())
    with open(plan["rows"], encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines]
    rows = [{name: row[name] for name in ("prompt", "chosen") if name in row} for row in read]
    make_trainer(plan, first_rows(rows, plan["promptsAStep"] * plan["steps"]), record).train()
    print(json.dumps(record | dict(peakMb=peak_mb())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
