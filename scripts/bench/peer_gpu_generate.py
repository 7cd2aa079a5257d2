"""transformers' greedy answers on a GPU, random weights in bfloat16: one JSON line with the fields of GpuGenerationRecord.

usage: peer_gpu_generate.py PLAN, the JSON object GpuGenerationPlan of gpu-record.ts.
"""

import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
import transformers


def main(plan):
    config = transformers.AutoConfig.from_pretrained(plan["modelDir"])
    torch.manual_seed(0)
    with torch.device(plan["device"]):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()
    model.generation_config = transformers.GenerationConfig()

    def answer(batch, count):
        ids = torch.randint(3, plan["vocabulary"], (batch, plan["promptTokens"]), device=plan["device"])
        with torch.inference_mode():
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=count,
                min_new_tokens=count,
                eos_token_id=None,
                pad_token_id=0,
                use_cache=True,
            )
        torch.cuda.synchronize()

    runs = []
    for batch in plan["batches"]:
        answer(batch, 4)
        began = time.perf_counter()
        answer(batch, plan["newTokens"])
        runs.append({"batch": batch, "tokensPerSecond": batch * plan["newTokens"] / (time.perf_counter() - began)})
    print(json.dumps({"runs": runs, "peakMb": torch.cuda.max_memory_allocated() / 2**20}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
