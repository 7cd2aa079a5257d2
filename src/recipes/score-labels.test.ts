/** Models that score the pairs of a workbench: their margins are those of `preftune score`, whichever answer is "a". */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { preftune } from "../../test/support/command.ts";
import { runFixture, runTraining } from "../../test/support/runs.ts";
import type { PairRow } from "../../test/support/tiny-model.ts";
import { type Comparison, inOrder, itemIdOf } from "../workbench/comparison.ts";
import { importFiles } from "../workbench/import-comparisons.ts";
import type { LabelStore } from "../workbench/label-store.ts";
import { makeWorkbench, openWorkbench } from "../workbench/workbench-dir.ts";
import { score } from "./score.ts";
import { scoreLabels } from "./score-labels.ts";
import { scoreRewards } from "./score-rewards.ts";

const fixture = runFixture({ rows: 4, held: 6 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const data = fixture.path("held.jsonl");
const rows = readFileSync(data, "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as PairRow);
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;

function comparisonOf({ prompt, chosen, rejected }: PairRow): Comparison {
  return { prompt, answers: [chosen, rejected], models: [null, null], votes: [], extra: {} };
}

/** Of each scored row, the chosen answer's mean log-prob less the rejected one's. */
function meanMargins(scored: Awaited<ReturnType<typeof score>>["rows"]): number[] {
  return scored.map(
    (row) =>
      row["logps/chosen"] / row["num_tokens/chosen"] -
      Number(row["logps/rejected"]) / Number(row["num_tokens/rejected"]),
  );
}

/** Margins kept of a model, of the chosen answers over the rejected ones, in the order of `rows`. */
function marginsOf(store: LabelStore, name: string): number[] {
  const margins = store.state().margins.get(`${name} (model)`);
  return rows.map((row) => {
    const comparison = comparisonOf(row);
    const isA = inOrder(comparison).answers[0] === row.chosen;
    return (isA ? 1 : -1) * (margins?.get(itemIdOf(comparison)) ?? Number.NaN);
  });
}

test("a language model's margins are differences of mean log-probs; pairs too long or without an answer are left out", async () => {
  const dir = fixture.path("bench");
  using store = makeWorkbench(dir);
  const [first] = rows as [PairRow];
  const long = { ...first, prompt: "on and on ".repeat(60) };
  store.add([...rows, { ...first, rejected: " " }, long].map(comparisonOf));
  const options = { ...machine, dir, model, selection: { max_length: 128, overflow: "drop" as const } };
  assert.deepEqual(await scoreLabels(store, options), { scored: 6, leftOut: 2, unit: "nats per token" });
  const { rows: want } = await score({ ...machine, model, data });
  assertClose(marginsOf(store, model), meanMargins(want), { atol: 1e-6 });
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.includes("scoring")),
    [],
  );
});

test("a reward model's margins are differences of rewards; the command says what it did", async () => {
  const output = fixture.path("reward");
  await runTraining({ ...fixture.values, objective: "reward", max_steps: 1, output_dir: output });
  const trained = join(output, "model");
  const dir = fixture.path("rewarded");
  makeWorkbench(dir)[Symbol.dispose]();
  const none = await preftune("labels", "score", dir, "--model", trained);
  assert.equal(none.status, 4, none.stderr);
  assert.match(none.stderr, /no pairs/);
  {
    using store = openWorkbench(dir);
    store.add(rows.map(comparisonOf));
  }
  const { status, stdout, stderr } = await preftune(
    ...[
      "labels",
      "score",
      dir,
      "--model",
      trained,
      "--device",
      "cpu",
      "--dtype",
      "float32",
      "--threads",
      "1",
    ],
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^6 pairs scored, margins in reward: /m);
  using store = openWorkbench(dir);
  const { rows: want } = await scoreRewards({ ...machine, model: trained, data });
  const got = marginsOf(store, trained);
  assertClose(
    got,
    want.map((row) => row["reward/chosen"] - row["reward/rejected"]),
    { atol: 1e-6 },
  );
});

test("an adapter is part of who scores; what a killed scoring left is removed, a running one's stays", async () => {
  const output = fixture.path("adapter-run");
  await runTraining({
    ...fixture.values,
    use_peft: true,
    learning_rate: 0.05,
    max_steps: 2,
    output_dir: output,
  });
  const adapter = join(output, "adapter");
  const dir = fixture.path("adapted");
  using store = makeWorkbench(dir);
  store.add(rows.map(comparisonOf));
  // no process has the first number, the second is this one
  for (const tag of ["99999999-0123abcd", `${process.pid}-0123abcd`])
    mkdirSync(join(dir, `.scoring.tmp-${tag}`));
  await scoreLabels(store, { ...machine, dir, model });
  await scoreLabels(store, { ...machine, dir, model, adapter });
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.includes("scoring")),
    [`.scoring.tmp-${process.pid}-0123abcd`],
  );
  const { rows: want } = await score({ ...machine, model, adapter, data });
  assertClose(marginsOf(store, `${model} + ${adapter}`), meanMargins(want), { atol: 1e-6 });
  assert.notDeepEqual(marginsOf(store, model), marginsOf(store, `${model} + ${adapter}`));
});

test("--plain-strings chat scores plain text in the model's chat template", async () => {
  const dir = fixture.path("templated");
  using store = makeWorkbench(dir);
  store.add(rows.map(comparisonOf));
  const selection = { plain_strings: "chat" } as const;
  await scoreLabels(store, { ...machine, dir, model, selection });
  const { rows: want } = await score({ ...machine, model, data, selection });
  const { rows: bare } = await score({ ...machine, model, data });
  assert.notDeepEqual(
    want.map((row) => row["logps/chosen"]),
    bare.map((row) => row["logps/chosen"]),
  );
  assertClose(marginsOf(store, model), meanMargins(want), { atol: 1e-6 });
});

test("pairs are scored with their tools and variables of the template, as they are trained on; calls alone are an answer", async () => {
  const dir = fixture.path("tools");
  const template = fixture.path("tools.jinja");
  writeFileSync(
    template,
    "{% if tools %}{{ tools | tojson }}{{ city }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n" +
      "{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|im_end|>\n{% endfor %}" +
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
  );
  const tools = [{ type: "function", function: { name: "map", parameters: { type: "object" } } }];
  const call = [{ type: "function", function: { name: "map", arguments: { of: "Big" } } }];
  const given = {
    prompt: [{ role: "user", content: "Where is Big?" }],
    chosen: [{ role: "assistant", content: "", tool_calls: call }],
    rejected: [{ role: "assistant", content: "Nowhere." }],
    ...{ tools, chat_template_kwargs: { city: "Tiny" } },
  };
  const path = fixture.path("tools.jsonl");
  writeFileSync(path, `${JSON.stringify(given)}\n`);
  using store = makeWorkbench(dir);
  store.add((await importFiles(path)).comparisons);
  const options = { ...machine, model, selection: { chat_template: template } };
  assert.equal((await scoreLabels(store, { ...options, dir })).scored, 1);
  const { rows: want } = await score({ ...options, data: path });
  const [id = ""] = store.order;
  const isA = JSON.stringify(store.item(id).comparison.answers[0]).includes("map");
  const margin = store.state().margins.get(`${model} (model)`)?.get(id) ?? Number.NaN;
  assertClose([isA ? margin : -margin], meanMargins(want), { atol: 1e-6 });
});
