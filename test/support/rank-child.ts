/** A rank of a group, for tests: does what PLAN says and prints the result as JSON. */
import { exitCodes, PreftuneError } from "../../src/base/errors.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { type DType, ops, scope, tensor } from "../../src/torch/index.ts";

const plan = JSON.parse(process.env["PLAN"] ?? "{}") as {
  does: "operations" | "steps";
  limit: number;
  start: number;
};
const launch = readLaunch();
if (launch === null) throw new Error("expected the variables of a launcher");

function operations(group: RankGroup): unknown {
  const { rank, size } = group;
  const texts = group.gather({ rank, of: "é".repeat(3000 * rank), value: Number.NaN });
  const facts = texts.map(({ of, ...rest }) => [of.length, rest.rank, String(rest.value)]);
  const tensors = (["float32", "float64", "bfloat16"] as DType[]).map((dtype) => {
    using _ = scope();
    const own = ops.to(tensor([rank, rank + 0.5, 7]), dtype);
    const all = ops.zeros([3 * size], { dtype });
    group.allGather(all, own).wait();
    const parts = Array.from({ length: 2 * size }, (_, i) => i + 10 * rank);
    const exchanged = ops.zeros([2 * size], { dtype });
    group.exchange(exchanged, ops.to(tensor(parts), dtype)).wait();
    const sum = ops.full([5], rank + 1, { dtype });
    group.allReduce(sum).wait();
    const shared = ops.full([2], rank, { dtype });
    group.broadcast(shared, size - 1).wait();
    // rank r gets r + 1 numbers of each
    const counts = Array.from({ length: size }, (_, r) => r + 1);
    const uneven = ops.zeros([size * (rank + 1)], { dtype });
    const given = counts.flatMap((count, to) => Array<number>(count).fill(10 * rank + to));
    group.exchange(uneven, ops.to(tensor(given), dtype), counts).wait();
    group.barrier();
    return [all, exchanged, sum, shared, uneven].map((t) => ops.to(t, "float32").toNumbers());
  });
  return { tensors, facts };
}

/** Steps without end, until a rank is lost. */
function steps(group: RankGroup): never {
  for (let step = 0; ; step++) {
    using _ = scope();
    group.note(`step ${step}, forward`);
    group.allReduce(ops.ones([1000], { dtype: "float32" })).wait();
    if (step === 100) process.stdout.write("running\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

try {
  const limits = { rank_start_timeout: plan.start, rank_timeout: plan.limit };
  using group = await RankGroup.join(launch, limits);
  process.stdout.write(`${JSON.stringify(plan.does === "operations" ? operations(group) : steps(group))}\n`);
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stdout.write(`${JSON.stringify({ name: error.name, message: error.message })}\n`);
  process.exitCode = error.exitCode;
  if (error.exitCode === exitCodes.LostRankError) setTimeout(() => process.exit(), 1000);
}
