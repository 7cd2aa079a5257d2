/**
 * Child program, `memory-rank-child.ts BASE TO`: writes a checkpoint and an export of the model in BASE as one rank of several, and
 * prints as JSON how much more memory torch, and the process, had meanwhile than before, in bytes, and what the largest unit has in
 * float32.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { io } from "../../src/base/file-io.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { hostBytes } from "../../src/torch/index.ts";
import { exportModel } from "../../src/train/export.ts";
import { prepareSharded } from "../../src/train/prepare-sharded.ts";
import { ownSliceFile, writeOwnSlices } from "../../src/train/trained-slices.ts";
import { fullTuning } from "./export-cases.ts";
import { memory, resetPeak } from "./memory.ts";

const [base = "", to = ""] = process.argv.slice(2);
const launch = readLaunch();
if (launch === null) throw new Error("expected the variables of a launcher");
using group = await RankGroup.join(launch, { rank_start_timeout: 60, rank_timeout: 60 });
const environment = { device: "cpu", dtype: "bfloat16", threads: 1, matmul: "torch" } as const;
const trained = prepareSharded(fullTuning(base), environment, { group, keep_gathered: false });
const { sharded } = trained;
const optimizer = new AdamW(trained.parameters, {
  ...{ adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0 },
});
const ranks = { group, sharded, sharers: Array.from({ length: group.size }, (_, rank) => rank) };

/** What work takes besides, in bytes: of torch at each write and each collective of this rank, and of the process at its highest. */
interface More {
  ofTorch: number;
  resident: number;
}

async function more(work: () => void | Promise<void>): Promise<More> {
  const resident = resetPeak();
  const before = hostBytes();
  let most = 0;
  const look = (): void => {
    most = Math.max(most, hostBytes() - before);
  };
  const { writeSync } = io;
  const gather = group.gather.bind(group);
  const broadcast = group.broadcast.bind(group);
  io.writeSync = (...args) => {
    look();
    return writeSync(...args);
  };
  group.gather = (value) => {
    look();
    return gather(value);
  };
  group.broadcast = (...args) => {
    look();
    return broadcast(...args);
  };
  await work();
  Object.assign(io, { writeSync });
  Object.assign(group, { gather, broadcast });
  return { ofTorch: most, resident: memory("VmHWM") - resident };
}

mkdirSync(join(to, String(group.rank)), { recursive: true });
const checkpoint = await more(() => {
  writeOwnSlices(
    join(to, String(group.rank)),
    ownSliceFile({ ranks }) ?? "",
    { ...trained, optimizer, ranks },
    1,
  );
});
const merged = { model: trained.model, tokenizer: loadTokenizer(base), chatTemplate: null, baseDir: base };
const exported = await more(() => exportModel(join(to, "model"), { ...merged, dtype: "bfloat16", ranks }));
const unit = Math.max(...sharded.units.map(({ layout }) => 4 * layout.trainedNumel));
const model = 4 * trained.parameters.numel;
process.stdout.write(`${JSON.stringify({ checkpoint, exported, unit, model })}\n`);
