/** A rank of a group, for tests: does what PLAN says and prints the result as a line of JSON. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { PreftuneError } from "../../src/base/errors.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { meet, openStore } from "../../src/distributed/meeting.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { type DType, itemSize, loadNccl, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";

/** What a rank does. */
export interface RankPlan {
  does:
    | "operations"
    | "bytes"
    | "steps"
    | "stall"
    | "wait"
    | "leave"
    | "leave open"
    | "fail"
    | "begin later"
    | "exit"
    | "only meet";
  /** Seconds without a sign of life, and until all have to be there. */
  limit?: number;
  start?: number;
}

const plan = JSON.parse(process.env["PLAN"] ?? "{}") as RankPlan;

function sleep(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * seconds);
}

/** Number `i` of rank `r`: small, exact in each type, different for neighbours. */
const number = (r: number, i: number) => (i % 13) + 10 * r;
const numbers = (r: number, count: number) => Array.from({ length: count }, (_, i) => number(r, i));

function checkOperations(group: RankGroup, dtype: DType, n: number): void {
  using _ = scope();
  const { rank, size } = group;
  const all = Array.from({ length: size }, (_, r) => r);
  const make = (values: number[]) => ops.to(tensor(values), dtype);
  const empty = (count: number) => ops.full([count], 77, { dtype });
  const read = (values: Tensor) => ops.to(values, "float32").toNumbers();
  const gathered = empty(n * size);
  const inPlace = make(all.flatMap((r) => (r === rank ? numbers(r, n) : Array<number>(n).fill(0))));
  // rank r gets n + r - 1 numbers of each, for n = 1 rank 0 nothing
  const counts = all.map((r) => Math.max(0, n + r - 1));
  const uneven = empty(size * (counts[rank] ?? 0));
  const even = empty(n * size);
  const sum = make(numbers(rank, n));
  const shared = make(numbers(rank, n));
  // all under way at once, and waited for from the last
  const pending = [
    group.allGather(gathered, make(numbers(rank, n)), "parts"),
    group.exchange(even, make(all.flatMap((r) => numbers(rank + r, n)))),
    group.exchange(uneven, make(all.flatMap((r) => numbers(rank + r, counts[r] ?? 0))), counts),
    group.allGather(inPlace, ops.narrow(inPlace, 0, rank * n, n)),
    group.allReduce(sum),
    group.broadcast(shared, size - 1),
  ];
  for (const one of pending.reverse()) one.wait();
  const what = `${dtype}, ${n} numbers`;
  const parts = all.flatMap((r) => numbers(r, n));
  assert.deepEqual(read(gathered), parts, `gathered, ${what}`);
  assert.deepEqual(read(inPlace), parts, `gathered in place, ${what}`);
  assert.deepEqual(
    read(even),
    all.flatMap((r) => numbers(rank + r, n)),
    `exchanged, ${what}`,
  );
  assert.deepEqual(
    read(uneven),
    all.flatMap((r) => numbers(rank + r, counts[rank] ?? 0)),
    `uneven, ${what}`,
  );
  const total = (i: number) => all.reduce((added, r) => added + number(r, i), 0);
  assert.deepEqual(
    read(sum),
    Array.from({ length: n }, (_, i) => total(i)),
    `added up, ${what}`,
  );
  assert.deepEqual(read(shared), numbers(size - 1, n), `given, ${what}`);
}

/** Parts of the group: the even ranks and the odd ones, as hosts have theirs, and all ranks the other way round. */
function checkParts(group: RankGroup): void {
  using _ = scope();
  const { rank, size } = group;
  const all = Array.from({ length: size }, (_, r) => r);
  const own = all.filter((r) => r % 2 === rank % 2);
  using part = group.split("parity", own);
  using reversed = group.split("reversed", all.toReversed());
  assert.deepEqual([part.rank, part.size, part.gather(rank)], [own.indexOf(rank), own.length, own]);
  assert.deepEqual(reversed.gather(rank), all.toReversed());
  const sum = ops.full([1], rank, { dtype: "float32" });
  part.allReduce(sum).wait();
  assert.deepEqual(sum.toNumbers(), [own.reduce((a, b) => a + b, 0)]);
}

/** What a rank may do wrong is refused before anything is sent. */
function checkRefusals(group: RankGroup): void {
  using _ = scope();
  const { size } = group;
  const zeros = (count: number, dtype: DType = "float32") => ops.zeros([count], { dtype });
  assert.throws(() => group.allGather(zeros(size + 1), zeros(1)), /expected \d times the 1 numbers/);
  assert.throws(() => group.allGather(zeros(size), zeros(1, "float64")), /tensors of one type/);
  assert.throws(() => group.exchange(zeros(size), zeros(size + 1)), /equally many numbers for each/);
  assert.throws(() => group.exchange(zeros(size), zeros(size), [size]), /a count for each/);
  if (!loadNccl()) assert.throws(() => group.joinGpus(), /part for it is missing.*"preftune doctor"/s);
  const values = zeros(1000);
  const pending = group.allReduce(values);
  assert.throws(() => ops.storageResize(values, 0), /which was not waited for/);
  pending.wait();
  ops.storageResize(values, 0);
}

function operations(group: RankGroup): unknown {
  const record = group.record();
  for (const dtype of ["uint8", "bfloat16", "float32", "float64", "int64"] as DType[])
    for (const n of [0, 1, 3]) checkOperations(group, dtype, n);
  // above the size from which parts are broadcast
  for (const dtype of ["bfloat16", "float32"] as DType[]) checkOperations(group, dtype, 100_003);
  checkParts(group);
  checkRefusals(group);
  group.barrier();
  const texts = group.gather({ rank: group.rank, of: "é".repeat(3000 * group.rank), value: Number.NaN });
  const facts = texts.map(({ of, ...rest }) => [of.length, rest.rank, String(rest.value)]);
  return { facts, record: record.map(({ operation, of, bytes }) => `${operation} ${of} ${bytes}`) };
}

/** Bytes that this host sends in each kind of collective, and those of the whole tensor. */
function bytes(group: RankGroup): unknown {
  using _ = scope();
  const { rank, size } = group;
  const whole = ops.zeros([size * 1_000_000], { dtype: "float32" });
  const part = ops.narrow(whole, 0, rank * 1_000_000, 1_000_000);
  const taken = ops.zeros([size * 1_000_000], { dtype: "float32" });
  const sent = () => {
    group.barrier();
    const line = readFileSync("/proc/net/dev", "utf8").split("eth0:")[1] ?? "";
    const [sentBytes = Number.NaN, packets = Number.NaN] = line.trim().split(/\s+/).slice(8).map(Number);
    // without the headers of Ethernet, IP and TCP: how many packets there are is the kernel's choice
    return sentBytes - 66 * packets;
  };
  const once = (act: () => void) => {
    const before = sent();
    act();
    return sent() - before;
  };
  // the least of some: TCP sends again what a busy machine acknowledges late
  const during = (act: () => void) => Math.min(...[1, 2, 3, 4, 5].map(() => once(act)));
  return {
    whole: whole.numel * itemSize(whole.dtype),
    allGather: during(() => group.allGather(whole, part).wait()),
    exchange: during(() => group.exchange(taken, whole).wait()),
    allReduce: during(() => group.allReduce(whole).wait()),
  };
}

/** Steps without end, until a rank is lost, with a line for each hundred; `act` is done in step 100. */
function steps(group: RankGroup, act: () => void = () => {}): never {
  for (let step = 0; ; step++) {
    using _ = scope();
    group.note(`step ${step}, forward`);
    group.allReduce(ops.ones([1000], { dtype: "float32" })).wait();
    if (step > 100 && step % 100 === 0) process.stdout.write(`step ${step}\n`);
    if (step === 100) {
      process.stdout.write("running\n");
      act();
    }
    sleep(0.01);
  }
}

const acts: Record<Exclude<RankPlan["does"], "only meet">, (group: RankGroup) => unknown> = {
  operations,
  bytes,
  steps,
  // rank 1 is busy for three times the limit while the others wait
  stall: (group) => {
    group.barrier();
    if (group.rank === 1) sleep(3 * (plan.limit ?? 0));
    return group.gather(group.rank);
  },
  // waits for what the others do not begin
  wait: (group) => {
    process.stdout.write("running\n");
    group.barrier();
    return "all came";
  },
  leave: (group) => {
    group.note("step 3, evaluating");
    return "left";
  },
  "leave open": (group) => {
    group.allReduce(ops.ones([1000], { dtype: "float32" }));
    throw new PreftuneError("a row is wrong");
  },
  fail: (group) => {
    group.fail(new PreftuneError("a row is wrong"));
    throw new PreftuneError("a row is wrong");
  },
  // once another is lost, begins what is refused as NCCL refuses it then
  "begin later": (group) => {
    using _ = scope();
    assert.throws(() => {
      for (;;) {
        group.check();
        sleep(0.01);
      }
    });
    const values = ops.zeros([group.size], { dtype: "float32" });
    return group.exchange(values, values, [1]);
  },
  exit: (group) => steps(group, () => process.exit(7)),
};

try {
  const launch = readLaunch();
  if (launch === null) throw new Error("expected the variables of a launcher");
  if (plan.does === "only meet") {
    const store = await openStore(launch, 60_000);
    await meet(store, launch, { self: "a test", timeout: 60_000, onComing: () => {}, signal: undefined });
    process.exit();
  }
  process.stdout.write("looks for the others\n");
  const limits = { rank_start_timeout: plan.start ?? 60, rank_timeout: plan.limit ?? 60 };
  using group = await RankGroup.join(launch, limits);
  process.stdout.write(`${JSON.stringify(acts[plan.does](group))}\n`);
} catch (error) {
  const { name, message } = error as Error;
  process.stdout.write(`${JSON.stringify({ name, message })}\n`);
  process.exitCode = error instanceof PreftuneError ? error.exitCode : 1;
}
