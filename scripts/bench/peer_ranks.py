"""One rank of PyTorch's DDP or FSDP2 on the benchmark's rows: one JSON line with the fields of rank-record.ts.

usage: peer_ranks.py PLAN, a JSON object: modelDir, workload, pairs, microBatch, steps, threads, way (ddp, fsdp, fsdp-kept).
RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are in the environment; one process has none. A rank takes every WORLD_SIZE-th pair of a step, in
micro-batches whose gradients add up without being exchanged in between; the loss is SimPO's on padded rectangles, by transformers.
"""

import json
import os
import resource
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

BETA, GAMMA = 2.0, 1.0


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loopback_bytes():
    """Bytes received on the loopback interface so far."""
    for line in open("/proc/net/dev"):
        name, _, fields = line.partition(":")
        if name.strip() == "lo":
            return int(fields.split()[0])
    return 0


def parted(model, way, world):
    """The model as its ranks share it."""
    if world == 1:
        return model
    if way == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    mesh = init_device_mesh("cpu", (world,))
    frees = way == "fsdp"
    for block in model.model.layers:
        fully_shard(block, mesh=mesh, reshard_after_forward=frees)
    # a tied table is used first and last
    ends = [model.model.embed_tokens, model.lm_head, model.model.norm]
    fully_shard(ends, mesh=mesh, reshard_after_forward=False)
    fully_shard(model, mesh=mesh)
    return model


def synchronises(net, wanted):
    """Whether gradients are exchanged in the next backward pass."""
    if hasattr(net, "set_requires_gradient_sync"):
        net.set_requires_gradient_sync(wanted)
    elif hasattr(net, "require_backward_grad_sync"):
        net.require_backward_grad_sync = wanted


def loss_of(net, rows):
    """Sum of SimPO's losses of these pairs."""
    answers = [(row["prompt_ids"], row[key]) for key in ("chosen_ids", "rejected_ids") for row in rows]
    longest = max(len(prompt) + len(answer) for prompt, answer in answers)
    ids = torch.zeros(len(answers), longest, dtype=torch.long)
    attended, counted = torch.zeros_like(ids), torch.zeros_like(ids)
    for i, (prompt, answer) in enumerate(answers):
        end = len(prompt) + len(answer)
        ids[i, :end] = torch.tensor(prompt + answer)
        attended[i, :end] = 1
        counted[i, len(prompt) : end] = 1
    logits = net(input_ids=ids, attention_mask=attended, use_cache=False).logits[:, :-1]
    targets, mask = ids[:, 1:], counted[:, 1:]
    losses = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
    means = -(losses.view(len(answers), -1) * mask).sum(-1) / mask.sum(-1)
    chosen, rejected = means[: len(rows)], means[len(rows) :]
    return -F.logsigmoid(BETA * (chosen - rejected) - GAMMA).sum()


def main():
    plan = json.loads(sys.argv[1])
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(plan["threads"])
    torch.manual_seed(0)
    bare = peak_mb()
    if world > 1:
        dist.init_process_group("gloo")
    model = AutoModelForCausalLM.from_pretrained(
        plan["modelDir"], dtype=torch.float32, attn_implementation="sdpa"
    )
    model.train()
    net = parted(model, plan["way"], world)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5, fused=True, weight_decay=0.0)
    rows = [json.loads(line) for line in open(plan["workload"])]
    record = dict(rank=rank, losses=[], cpuSeconds=[], seconds=[], bytes=[], peakMb=0, bareMb=bare)
    for step in range(plan["steps"]):
        first = step * plan["pairs"]
        mine = [rows[i % len(rows)] for i in range(first, first + plan["pairs"])][rank::world]
        if world > 1:
            dist.barrier()
        bytes_before, cpu_before, began = loopback_bytes(), time.process_time(), time.perf_counter()
        total = 0.0
        size = plan["microBatch"]
        for start in range(0, len(mine), size):
            synchronises(net, start + size >= len(mine))
            loss = loss_of(net, mine[start : start + size]) / len(mine)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if world > 1:
            dist.barrier()
        record["losses"].append(total)
        record["cpuSeconds"].append(time.process_time() - cpu_before)
        record["seconds"].append(time.perf_counter() - began)
        record["bytes"].append(loopback_bytes() - bytes_before)
    record["peakMb"] = peak_mb()
    print(json.dumps(record), flush=True)
    if world > 1:
        dist.destroy_process_group()


main()
