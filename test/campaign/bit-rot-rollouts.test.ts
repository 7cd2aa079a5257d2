/**
 * Bit rot in what an on-policy run has besides (row 8): rollouts, a judge's replies, TensorBoard's files. A flipped bit is noticed, or
 * changes nothing that the run uses; a resumed run goes on over what is damaged, or is refused with what to do.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { FileError } from "../../src/base/errors.ts";
import { Random } from "../../src/base/random.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { JudgmentStore } from "../../src/evaluate/judge/judgment-store.ts";
import { type Checkpoint, latestCheckpoint } from "../../src/runs/checkpoints.ts";
import { RolloutsFile } from "../../src/runs/rollouts.ts";
import { runPaths } from "../../src/runs/run-directory.ts";
import { TensorboardWriter } from "../../src/runs/tensorboard.ts";
import { type Damage, damages, flipBit } from "../support/bit-rot.ts";
import { amount, campaignSeed, figure, holds, progress } from "../support/campaign.ts";
import { startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, cutBack, notesOf, runTraining, type Values } from "../support/runs.ts";

const lastStep = 4;
const cutAt = 2;
const rollouts = "rollouts.jsonl.gz";
const judgments = "judgments.sqlite";

const fixture = onlineFixture({ rows: 2, config: { num_hidden_layers: 1 } });
const server = await startJudge(({ text }) => `Rating: [[${1 + (text.length % 10)}]]`);
after(async () => {
  await server[Symbol.asyncDispose]();
  fixture[Symbol.dispose]();
});
const { reward_workers: _, ...online } = fixture.online;
const recipe: Values = {
  ...online,
  ...{ use_peft: true, lora_r: 2, gradient_accumulation_steps: 1, report_to: ["tensorboard"] },
  ...{ reward_funcs: null, judge: `${server.baseUrl}#rule` },
};

const whole = fixture.path("whole");
const cut = fixture.path("cut");
let checkpoint: Checkpoint;
before(async () => {
  await runTraining({ ...recipe, output_dir: whole });
  cutBack(whole, cut, cutAt);
  const newest = latestCheckpoint(join(cut, "checkpoints")).checkpoint;
  assert.ok(newest !== null);
  checkpoint = newest;
});

/** What is there of the rollouts until the checkpoint. */
function rolloutsUntilCut(): Buffer {
  const { bytes } = JSON.parse(readFileSync(join(checkpoint.path, "rollouts-length.json"), "utf8"));
  return readFileSync(join(cut, rollouts)).subarray(0, bytes);
}

const each = amount(6, 1000);

/** `bytes` with a bit flipped, each time another, in a directory that is empty but for them and `others`; tells what `seen` counts. */
function flipped<T extends string>(
  path: string,
  bytes: Buffer,
  seen: () => T,
  others: Readonly<Record<string, Buffer>> = {},
): Record<T, number> {
  const random = new Random(campaignSeed);
  const counts = {} as Record<T, number>;
  const tell = progress();
  for (let flips = 0; flips < each; flips++) {
    mkdirSync(dirname(path));
    writeFileSync(path, flipBit(bytes, random));
    for (const [name, content] of Object.entries(others)) writeFileSync(join(dirname(path), name), content);
    const result = seen();
    counts[result] = (counts[result] ?? 0) + 1;
    rmSync(dirname(path), { recursive: true });
    tell(() => `${flips} flips in ${path}`);
  }
  return counts;
}

test("flipped bits in rollouts: each is noticed", () => {
  const path = fixture.path("flipped-rollouts", rollouts);
  const counts = flipped(path, rolloutsUntilCut(), () =>
    / has changed since it was written: .*Training is not affected/.test(
      new RolloutsFile(path).cutTo(checkpoint).join(""),
    )
      ? "noticed"
      : "unseen",
  );
  const reached = `${each} flips, ${counts.noticed ?? 0} noticed`;
  figure(
    8,
    "bits flipped at random in the rollouts of an on-policy run",
    reached,
    "all",
    counts.noticed === each,
  );
});

/** What a run uses of a file of judgments: every reply by its key, and what judge_budget counts. */
interface Judged {
  replies: Map<string, string>;
  cost: string;
}

const costIn = (store: JudgmentStore): string =>
  JSON.stringify(store.costBefore(2 ** 40, { modulo: 2 ** 20, below: 0, others: 0 }));

function judgedIn(path: string): Judged {
  using database = new DatabaseSync(path, { readOnly: true });
  const keys = database.prepare("SELECT key FROM judgments").all();
  using store = new JudgmentStore(path);
  const replies = new Map(keys.map(({ key }) => [String(key), JSON.stringify(store.get(String(key)))]));
  return { replies, cost: costIn(store) };
}

/**
 * What becomes of replies whose file has a flipped bit: all there as they were, with the same cost or another, some asked for again,
 * a refusal, or something else.
 */
type Fate = "same" | "cost" | "again" | "refused" | "wrong";

function fateOf(path: string, { replies, cost }: Judged): Fate {
  try {
    using store = new JudgmentStore(path);
    const found = Array.from(replies, ([key, reply]) => [JSON.stringify(store.get(key)), reply]);
    if (found.every(([got, reply]) => got === reply)) return costIn(store) === cost ? "same" : "cost";
    return found.every(([got, reply]) => got === reply || got === "null") ? "again" : "wrong";
  } catch (error) {
    const isTold = error instanceof FileError && /damaged: move it away/.test(error.message);
    if (!isTold) console.error(error);
    return isTold ? "refused" : "wrong";
  }
}

/** Gives the figure of flips in a file of judgments, beside which `others` are as they were. */
function figureOfFates(what: string, fates: Partial<Record<Fate, number>>): void {
  const { same = 0, cost = 0, again = 0, refused = 0, wrong = 0 } = fates;
  figure(
    8,
    `bits flipped at random in ${what}`,
    `${each} flips: ${again} with replies asked for again, ${refused} refused as damaged, ${same} in what no run uses, ${cost} in what judge_budget counts, ${wrong} with another reply or not told as damage`,
    "0 with another reply",
    wrong === 0 && (again > 0 || each < 100),
  );
}

test("flipped bits in a judge's replies: none is taken for another", () => {
  const file = join(whole, judgments);
  const judged = judgedIn(file);
  assert.ok(judged.replies.size >= 8, `${judged.replies.size} replies`);
  const path = fixture.path("flipped-judgments", judgments);
  const fates = flipped(path, readFileSync(file), () => fateOf(path, judged));
  figureOfFates(`a judge's replies, ${judgments}`, fates);
});

test("flipped bits in a judge's replies as a kill leaves them", () => {
  const { replies } = judgedIn(join(whole, judgments));
  const path = fixture.path("killed", judgments);
  using store = new JudgmentStore(path);
  for (const [key, reply] of replies) store.put(key, { model: "rule", messages: "[]" }, JSON.parse(reply));
  store.noteUses(replies.keys(), 1);
  const judged = { replies, cost: costIn(store) };
  const wal = `${judgments}-wal`;
  const dir = fixture.path("flipped-log");
  const fates = flipped(
    join(dir, wal),
    readFileSync(`${path}-wal`),
    () => fateOf(join(dir, judgments), judged),
    {
      [judgments]: readFileSync(path),
    },
  );
  figureOfFates(`the log of a judge's replies that a kill leaves, ${wal}`, fates);
});

test("flipped bits in TensorBoard's files: a resumed run writes them anew", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1e12 });
  const config = loadConfig({ values: { ...recipe, output_dir: cut } }).config;
  const contentOf = (dir: string): string[] =>
    readdirSync(dir).map((name) => `${name} ${readFileSync(join(dir, name), "base64")}`);
  const [name = ""] = readdirSync(join(whole, "tensorboard"));
  const bytes = readFileSync(join(whole, "tensorboard", name));
  const dir = fixture.path("tensorboard");
  const paths = { ...runPaths(cut), tensorboard: dir };
  TensorboardWriter.ofRun(paths, config).close();
  const wanted = contentOf(dir);
  rmSync(dir, { recursive: true });
  const counts = flipped(join(dir, name), bytes, () => {
    TensorboardWriter.ofRun(paths, config).close();
    return JSON.stringify(contentOf(dir)) === JSON.stringify(wanted) ? "anew" : "left";
  });
  const reached = `${each} flips, ${counts.anew ?? 0} gone when the run is resumed`;
  figure(8, "bits flipped at random in TensorBoard's files", reached, "all", counts.anew === each);
});

/** Resumes a cut run over a damaged file, `times` with each damage, and gives how many held. */
async function resumed(
  what: string,
  times: number,
  { name, bytes }: { name: string; bytes: Buffer },
  check: (dir: string, kind: Damage["kind"], content: Buffer | null) => Promise<void>,
): Promise<{ runs: number; held: number }> {
  const random = new Random(campaignSeed);
  const all = Array.from({ length: times }, () => damages).flat();
  let held = 0;
  for (const { kind, damage } of all) {
    const dir = fixture.path("damaged");
    cpSync(cut, dir, { recursive: true });
    const content = damage(bytes, random);
    if (content === null) rmSync(join(dir, name));
    else writeFileSync(join(dir, name), content);
    if (await holds(`${what} ${kind}`, () => check(dir, kind, content))) held += 1;
    rmSync(dir, { recursive: true });
  }
  return { runs: all.length, held };
}

const resume = (dir: string) => runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });

test("an on-policy run resumed over damaged rollouts says so, and nothing else of it is another", async () => {
  const file = { name: rollouts, bytes: rolloutsUntilCut() };
  const { runs, held } = await resumed(rollouts, amount(1, 10), file, async (dir) => {
    const record = await resume(dir);
    assert.match(
      notesOf(record).join("\n"),
      /^rollouts\.jsonl\.gz (is missing|has ).*Training is not affected/m,
    );
    assertSameRun(dir, whole, lastStep, false);
  });
  figure(
    8,
    "on-policy runs resumed over rollouts that are missing, cut, empty or have a flipped bit",
    `${runs} runs, ${held} say so and have the bytes of the undamaged run in all else`,
    "all",
    held === runs,
  );
});

test("a judged run resumed over damaged judgments ends as it should, or is refused until they are moved away", async () => {
  const file = { name: judgments, bytes: readFileSync(join(whole, judgments)) };
  let refused = 0;
  const { runs, held } = await resumed(judgments, amount(1, 10), file, async (dir) => {
    const outcome = await resume(dir).catch((error: unknown) => error);
    if (outcome instanceof Error) {
      assert.ok(outcome instanceof FileError, String(outcome.stack));
      assert.match(outcome.message, /judgments\.sqlite: .*It is damaged: move it away/);
      refused += 1;
      for (const name of readdirSync(dir).filter((each) => each.startsWith(judgments)))
        rmSync(join(dir, name));
      await resume(dir);
    }
    assertSameRun(dir, whole, lastStep);
  });
  figure(
    8,
    "judged runs resumed over judgments that are missing, cut, empty or have a flipped bit",
    `${runs} runs, ${held} with the bytes of the undamaged run, ${refused} of them once the file that they name as damaged was moved away`,
    "all",
    held === runs,
  );
});
