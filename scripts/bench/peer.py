"""One run of a TRL trainer on the benchmark's rows: one JSON line with the fields of run-record.ts.

usage: peer.py PLAN, a JSON object: modelDir, workload, mode, pairs, steps, threads, and objective dpo, dpo_pre or simpo.
The trainer is TRL's own; only the order of rows (as in the file) and the tokenizing (rows are ids already) are replaced.
"""

import json
import sys
import time

# first: it sets what the libraries below read
from trl_runs import common_arguments, common_parts, first_rows, peak_mb

import torch
import transformers
from datasets import Dataset
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from trl_ids import on_ids


def gemm_gflops():
    """GFLOP/s of torch's product of two 1536 x 1536 matrices, best of five."""
    a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)

    def once():
        start = time.perf_counter()
        a @ b
        return time.perf_counter() - start

    return 2 * 1536**3 / min(once() for _ in range(5)) / 1e9


def measured(trainer_class, record):
    """`trainer_class` on ids in file order, noting each step's loss before anything rounds it."""

    class Measured(on_ids(trainer_class)):
        def _get_train_sampler(self, *_args, **_kwargs):
            return SequentialSampler(self.train_dataset)

        def compute_loss(self, *args, **kwargs):
            result = super().compute_loss(*args, **kwargs)
            record["losses"].append(float(result[0] if isinstance(result, tuple) else result))
            return result

    Measured.__name__ = trainer_class.__name__
    return Measured


class StepClock(transformers.TrainerCallback):
    """Wall and CPU time of each optimiser step, forward to update."""

    def __init__(self, record):
        self.record = record

    def on_step_begin(self, *_args, **_kwargs):
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *_args, **_kwargs):
        self.record["seconds"].append(time.perf_counter() - self.began[0])
        self.record["cpuSeconds"].append(time.process_time() - self.began[1])


def make_trainer(plan, rows, record):
    common = common_arguments(plan) | dict(
        per_device_train_batch_size=plan["pairs"], remove_unused_columns=False
    )
    parts = common_parts(plan) | dict(callbacks=[StepClock(record)])
    if plan["objective"] == "simpo":
        config = CPOConfig(
            **common, loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0, max_length=2048
        )
        data = Dataset.from_list([row | dict(prompt="x", chosen="y", rejected="z") for row in rows])
        return measured(CPOTrainer, record)(args=config, train_dataset=data, **parts)
    config = DPOConfig(
        **common, beta=0.1, max_length=None, precompute_ref_log_probs=plan["objective"] == "dpo_pre"
    )
    return measured(DPOTrainer, record)(args=config, train_dataset=Dataset.from_list(rows), **parts)


def main(plan):
    torch.set_num_threads(plan["threads"])
    record = dict(losses=[], seconds=[], cpuSeconds=[], bareMb=peak_mb())
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    with open(plan["workload"], encoding="utf-8") as lines:
        rows = [{name: row[name] for name in names} for row in map(json.loads, lines)]
    make_trainer(plan, first_rows(rows, plan["pairs"] * plan["steps"]), record).train()
    peak = peak_mb()
    print(json.dumps(record | dict(peakMb=peak, gemmGflops=gemm_gflops())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
