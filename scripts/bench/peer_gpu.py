"""One run of a TRL trainer on a GPU: one JSON line with the fields of gpu-record.ts.

usage: peer_gpu.py PLAN, the JSON object of gpu-record.ts. Weights are random and made on the GPU; bfloat16, as `bf16=True` has it:
masters in float32 in full tuning, the base in bfloat16 under an adapter.
"""

import json
import os
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1")

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from trl_ids import on_ids

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def product_tflops(device):
    a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16, device=device) for _ in range(2))

    def times(count):
        for _ in range(count):
            a @ b
        torch.cuda.synchronize()

    times(3)
    began = time.perf_counter()
    times(10)
    return 10 * 2 * 8192**3 / (time.perf_counter() - began) / 1e12


def measured(trainer_class, record):
    class Measured(on_ids(trainer_class)):
        def _get_train_sampler(self, *_args, **_kwargs):
            return SequentialSampler(self.train_dataset)

        def compute_loss(self, *args, **kwargs):
            result = super().compute_loss(*args, **kwargs)
            record["losses"].append((result[0] if isinstance(result, tuple) else result).detach())
            return result

    Measured.__name__ = trainer_class.__name__
    return Measured


class StepClock(transformers.TrainerCallback):
    """Wall time of each optimiser step, forward to update; the device is waited for at both ends."""

    def __init__(self, record):
        self.record = record

    def on_step_begin(self, *_args, **_kwargs):
        torch.cuda.synchronize()
        self.began = time.perf_counter()

    def on_step_end(self, *_args, **_kwargs):
        torch.cuda.synchronize()
        self.record["seconds"].append(time.perf_counter() - self.began)


def model_of(plan):
    config = transformers.AutoConfig.from_pretrained(plan["modelDir"])
    held = torch.float32 if plan["mode"] == "full" else torch.bfloat16
    torch.manual_seed(0)
    with torch.device(plan["device"]):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=held, attn_implementation="sdpa")


def trainer_of(plan, rows, record):
    common = dict(
        output_dir=tempfile.mkdtemp(),
        max_steps=plan["steps"],
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        weight_decay=0.0,
        gradient_checkpointing=plan["recompute"],
        bf16=True,
        seed=0,
        save_strategy="no",
        report_to=[],
        logging_steps=1000,
        disable_tqdm=True,
        per_device_train_batch_size=plan["micro"],
        gradient_accumulation_steps=plan["pairs"] // plan["micro"],
        remove_unused_columns=False,
    )
    lora = LoraConfig(r=64, lora_alpha=128, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=LINEARS)
    parts = dict(
        model=model_of(plan),
        processing_class=transformers.AutoTokenizer.from_pretrained(plan["modelDir"]),
        peft_config=lora if plan["mode"] == "lora" else None,
        callbacks=[StepClock(record)],
    )
    if plan["objective"] == "simpo":
        config = CPOConfig(
            **common, loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0, max_length=8192
        )
        data = Dataset.from_list([row | dict(prompt="x", chosen="y", rejected="z") for row in rows])
        return measured(CPOTrainer, record)(args=config, train_dataset=data, **parts)
    config = DPOConfig(**common, beta=0.1, max_length=None)
    return measured(DPOTrainer, record)(args=config, train_dataset=Dataset.from_list(rows), **parts)


def main(plan):
    record = dict(losses=[], seconds=[], tflops=product_tflops(plan["device"]))
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    with open(plan["workload"], encoding="utf-8") as lines:
        rows = [{name: row[name] for name in names} for row in map(json.loads, lines)]
    count = plan["pairs"] * plan["steps"]
    rows = (rows * (count // len(rows) + 1))[:count]
    trainer_of(plan, rows, record).train()
    record["losses"] = [float(loss) for loss in record["losses"]]
    print(json.dumps(record | dict(peakMb=torch.cuda.max_memory_allocated() / 2**20)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
