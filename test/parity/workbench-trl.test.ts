/** What the workbench exports is read by TRL: the same rows as here, and DPOTrainer and KTOTrainer take a step on them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { normaliseRow } from "../../src/data/rows.ts";
import { readRows } from "../../src/data/sources.ts";
import { prepareData, rowsOf } from "../../src/train/prepare-data.ts";
import type { Comparison } from "../../src/workbench/comparison.ts";
import { exportLabels } from "../../src/workbench/export-labels.ts";
import { saveVersion, versionPaths } from "../../src/workbench/versions.ts";
import { makeWorkbench } from "../../src/workbench/workbench-dir.ts";
import { fixturePath } from "../support/fixture-files.ts";
import { peersPython, skipWithoutTrl } from "../support/peers.ts";
import { scratch } from "../support/scratch.ts";

const dir = mkdtempSync(join(scratch(), "preftune-trl-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const say = (role: "user" | "assistant", content: string) => [{ role, content }];

/** Conversations, and one text among them; ties and other columns, whose types differ. */
const comparisons: Comparison[] = Array.from({ length: 8 }, (_, i) => ({
  prompt: i === 7 ? "Number 7?" : say("user", `Number ${i}?`),
  answers:
    i === 7 ? ["Yes, seven.", "No."] : [say("assistant", `Yes, ${i}.`), say("assistant", `No, not ${i}.`)],
  models: ["one", i % 2 === 0 ? null : "two"],
  votes: [{ person: i === 3 ? null : "ann", choice: i === 5 ? "tie" : "a" }],
  extra: i % 2 === 0 ? {} : { topic: i === 1 ? "a" : { deep: i } },
}));

/** A judged row as training here understands it: texts with their roles, and whether one answer is good. */
interface ReadRow {
  prompt: unknown;
  answers: readonly unknown[];
  label?: boolean;
}

/** The rows that the judgments above say, pairs and single answers, in any order. */
function judgedRows(): { pairs: ReadRow[]; kto: ReadRow[] } {
  const messages = (role: "user" | "assistant", part: Comparison["prompt"]) =>
    typeof part === "string" ? say(role, part) : part;
  const judged = comparisons.map(({ prompt, answers: [a, b], votes: [vote] }) => ({
    prompt: messages("user", prompt),
    answers: [messages("assistant", a), messages("assistant", b)],
    isTie: vote?.choice === "tie",
  }));
  return {
    pairs: judged.filter(({ isTie }) => !isTie).map(({ isTie: _, ...pair }) => pair),
    kto: judged.flatMap(({ prompt, answers, isTie }) =>
      answers.map((answer, i) => ({ prompt, answers: [answer], label: i === 0 || isTie })),
    ),
  };
}

/** The rows of a file as training here reads them for a task. */
async function readHere(path: string, task: "preference" | "labelled"): Promise<ReadRow[]> {
  const rows: ReadRow[] = [];
  for await (const row of readRows({ path })) {
    const { source, label } = normaliseRow(row, { task });
    assert.ok(source?.kind === "chat", JSON.stringify(source));
    rows.push({
      ...{ prompt: source.prompt, answers: source.completions },
      ...(label === undefined ? {} : { label }),
    });
  }
  return rows;
}

const sorted = (rows: readonly ReadRow[]): string[] => rows.map((row) => JSON.stringify(row)).sort();

test("training here reads back the rows that were judged: pairs, and single answers with their labels", async () => {
  const own = join(dir, "own");
  using store = makeWorkbench(own);
  store.add(comparisons);
  const judged = judgedRows();
  for (const [form, task, rules] of [
    ["pairs", "preference", { rows: "pairs" }],
    ["kto", "labelled", { rows: "kto", ties: "good" }],
  ] as const) {
    const { rows, counts } = exportLabels(store, rules);
    const { digest } = await saveVersion(own, rows, { by: "export", sources: {}, rules, counts });
    const read = await readHere(versionPaths(own, digest).rows, task);
    assert.deepEqual(sorted(read), sorted(judged[form]), form);
    assert.equal(read.length, form === "pairs" ? 7 : 16);
  }
});

interface Found {
  rows: Record<string, unknown>[];
  loss: number;
}

test("TRL reads the same rows and takes a step on pairs and on single answers; so does the check of training here", {
  skip: skipWithoutTrl(),
}, async () => {
  using store = makeWorkbench(dir);
  store.add(comparisons);
  const files: Record<string, { path: string; rows: Record<string, unknown>[] }> = {};
  for (const rules of [{ rows: "pairs" }, { rows: "kto", ties: "good" }] as const) {
    const { rows, counts } = exportLabels(store, rules);
    const { digest } = await saveVersion(dir, rows, { by: "export", sources: {}, rules, counts });
    files[rules.rows] = { path: versionPaths(dir, digest).rows, rows };
  }
  const model = fixturePath("llama_tied", "model");
  const { dataset } = await prepareData(
    rowsOf(files["pairs"]?.path ?? "", { model_name_or_path: model, task: "preference" }),
  );
  assert.equal(dataset.examples.length, 7);
  const script = join(import.meta.dirname, "check_workbench.py");
  const paths = [files["pairs"]?.path ?? "", files["kto"]?.path ?? ""];
  const said = execFileSync(peersPython() ?? "python3", [script, model, ...paths], {
    ...{ encoding: "utf8", timeout: 600_000, stdio: ["ignore", "pipe", "pipe"] },
    env: { ...process.env, HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "" },
  });
  const found = JSON.parse(said.trim().split("\n").at(-1) ?? "") as Record<string, Found>;
  for (const [name, { rows }] of Object.entries(files)) {
    assert.deepEqual(
      found[name]?.rows,
      rows.map(({ meta: _, ...row }) => row),
      name,
    );
    assert.ok(Number.isFinite(found[name]?.loss), `${name}: ${found[name]?.loss}`);
  }
});
