"""One run of a TRL trainer on the benchmark's rows: one JSON line with the fields of run-record.ts.

usage: peer.py PLAN, a JSON object: modelDir, workload, mode, pairs, steps, threads, and objective dpo, dpo_pre or simpo.
The trainer is TRL's own; only the order of rows (as in the file) and the tokenizing (rows are ids already) are replaced.
"""

import json
import os
import resource
import sys
import tempfile
import time

os.environ.update(
    HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES=""
)

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from trl_ids import on_ids


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    common = dict(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=plan["pairs"],
        max_steps=plan["steps"],
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        weight_decay=0.0,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        seed=0,
        save_strategy="no",
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=64, lora_alpha=128, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=linears)
    parts = dict(
        model=transformers.AutoModelForCausalLM.from_pretrained(
            plan["modelDir"], dtype=torch.float32, attn_implementation="sdpa"
        ),
        processing_class=transformers.AutoTokenizer.from_pretrained(plan["modelDir"]),
        peft_config=lora if plan["mode"] == "lora" else None,
        callbacks=[StepClock(record)],
    )
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
    wanted = plan["pairs"] * plan["steps"]
    rows = (rows * (wanted // len(rows) + 1))[:wanted]
    make_trainer(plan, rows, record).train()
    peak = peak_mb()
    print(json.dumps(record | dict(peakMb=peak, gemmGflops=gemm_gflops())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
