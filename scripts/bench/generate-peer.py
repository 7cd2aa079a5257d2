"""transformers' greedy answers to the benchmark's prompts: one JSON line with the fields of generate-record.ts.

usage: generate-peer.py PLAN PROMPTS; PLAN is a JSON object (modelDir, batches, newTokens, threads), PROMPTS a file of JSON: a
list of prompts' token ids for each batch.
"""

import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")

import torch
import transformers


def answers(model, prompts, count):
    ids = torch.tensor(prompts)
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            min_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
            use_cache=True,
        )
    return out[:, ids.shape[1] :].tolist()


def main():
    plan = json.loads(sys.argv[1])
    with open(sys.argv[2]) as file:
        batches = json.load(file)
    torch.set_num_threads(plan["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(plan["modelDir"], dtype=torch.float32).eval()
    model.generation_config = transformers.GenerationConfig()
    runs = []
    for prompts in batches:
        answers(model, prompts, 3)
        began, cpu = time.perf_counter(), time.process_time()
        ids = answers(model, prompts, plan["newTokens"])
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        runs.append({"batch": len(prompts), "seconds": seconds, "cpu": cpu, "ids": ids})
    print(json.dumps({"runs": runs}))


main()
