"""Loads exports of the workbench with datasets and lets TRL's trainers take a step on each.

usage: check_workbench.py MODEL PAIRS KTO
Prints JSON: the rows as datasets reads them, and each trainer's loss.
"""

import json
import sys
import tempfile

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

try:
    from trl import KTOConfig, KTOTrainer
except ImportError:
    from trl.experimental.kto import KTOConfig, KTOTrainer

model, pairs, kto = sys.argv[1:]


def step(config_class, trainer_class, rows):
    with tempfile.TemporaryDirectory() as out:
        config = config_class(
            output_dir=out,
            max_steps=1,
            per_device_train_batch_size=4,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
        )
        trainer = trainer_class(
            model=AutoModelForCausalLM.from_pretrained(model),
            args=config,
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(model),
        )
        return trainer.train().training_loss


found = {}
for name, path, classes in (
    ("pairs", pairs, (DPOConfig, DPOTrainer)),
    ("kto", kto, (KTOConfig, KTOTrainer)),
):
    rows = load_dataset("json", data_files=path, split="train")
    columns = [column for column in rows.column_names if column != "meta"]
    kept = [{column: row[column] for column in columns} for row in rows]
    found[name] = {"rows": kept, "loss": step(*classes, rows)}
print(json.dumps(found))
