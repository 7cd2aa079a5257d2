"""What peer.py and peer-online.py share: the environment, what every trainer of TRL is given, the peak of memory.

Imported before torch and transformers, which read the environment as they are imported.
"""

import os
import resource
import tempfile

os.environ.update(
    HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1", CUDA_VISIBLE_DEVICES=""
)

import torch
import transformers
from peft import LoraConfig

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def common_arguments(plan):
    """The settings of every run."""
    return dict(
        output_dir=tempfile.mkdtemp(),
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
        dataloader_pin_memory=False,
    )


def common_parts(plan):
    """Model, tokenizer and, in mode lora, the adapter."""
    lora = LoraConfig(r=64, lora_alpha=128, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=LINEARS)
    return dict(
        model=transformers.AutoModelForCausalLM.from_pretrained(
            plan["modelDir"], dtype=torch.float32, attn_implementation="sdpa"
        ),
        processing_class=transformers.AutoTokenizer.from_pretrained(plan["modelDir"]),
        peft_config=lora if plan["mode"] == "lora" else None,
    )


def first_rows(rows, count):
    """`count` rows in file order, from the first again after the last."""
    return (rows * (count // len(rows) + 1))[:count]
