"""Two tasks of lm-eval, one of log-likelihoods and one of texts, by its Hugging Face backend and by `preftune serve`.

    python lm_eval_tasks.py DIR [MODEL_DIR SERVER_URL KEY ADD_BOS ...]

DIR has the tasks (choice.yaml, text.yaml). A line of JSON for each model, the last of them the last: by backend and task the
responses, a list a row. Starting it takes longer than the tasks: it does them for all models.
"""

import json
import os
import sys

import lm_eval
from lm_eval.tasks import TaskManager


def responses(tasks: TaskManager, model: str, args: str, batch: int) -> dict:
    told = lm_eval.simple_evaluate(
        model=model,
        model_args=args,
        tasks=["choice", "text"],
        task_manager=tasks,
        batch_size=batch,
        bootstrap_iters=0,
        log_samples=True,
    )
    rows = {name: sorted(samples, key=lambda row: row["doc_id"]) for name, samples in told["samples"].items()}
    return {name: [[answer for (answer,) in row["resps"]] for row in samples] for name, samples in rows.items()}


def ask(tasks: TaskManager, model: str, url: str, add_bos: str) -> None:
    own = f"pretrained={model},device=cpu,dtype=float32"
    served = (
        f"model=tiny,base_url={url}/v1/completions,tokenizer={model},max_length=512,add_bos_token={add_bos}"
    )
    # 12 choices in a request: more than 8 prompts
    told = {
        "hf": responses(tasks, "hf", own, 1),
        "served": responses(tasks, "local-completions", served, 12),
    }
    print(json.dumps(told), flush=True)


def main() -> None:
    tasks = TaskManager(include_path=sys.argv[1], include_defaults=False)
    for at in range(2, len(sys.argv), 4):
        model, url, key, add_bos = sys.argv[at : at + 4]
        os.environ["OPENAI_API_KEY"] = key
        ask(tasks, model, url, add_bos)


main()
