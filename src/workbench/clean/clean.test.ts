/** Cleaning by a recipe: planted defects, options, what is refused, and the way back. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fixturePath } from "../../../test/support/fixture-files.ts";
import {
  plantedEach,
  plantedKinds,
  plantedRecipe,
  writePlantedRows,
} from "../../../test/support/planted-rows.ts";
import { listenToWarnings } from "../../../test/support/warnings.ts";
import { sha256File } from "../../base/files.ts";
import { readJsonLines } from "../../runs/json-lines.ts";
import { listVersions, removedRows } from "../versions.ts";
import { clean } from "./clean.ts";
import { parseCleanRecipe } from "./clean-recipe.ts";
import { NearTexts, WordRuns } from "./words.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-clean-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const cleaned = (text: string, model: string | null = null) =>
  clean(parseCleanRecipe(text, "clean.yaml"), model);

test("40 planted defects of eight kinds in 200 rows: all found, none invented, the rows taken out readable", async () => {
  const { rows, defects } = writePlantedRows(dir);
  const source = sha256File(join(dir, "rows.jsonl"));
  const result = await cleaned(`${plantedRecipe(dir)}workbench: ${join(dir, "bench")}\n`);
  assert.deepEqual(
    result.filters,
    plantedKinds.map((code) => ({ code, taken: plantedEach })),
  );
  assert.deepEqual([result.read, result.kept], [200, 160]);
  const removed = readJsonLines(join(dir, "clean-removed.jsonl")).map(
    ({ value }) => value as { filter: string; origin: string; row: unknown },
  );
  for (const { filter, origin, row } of removed) {
    const line = Number(origin.split(":").at(-1));
    assert.deepEqual([defects[line - 1], rows[line - 1]], [filter, row]);
  }
  // a version that keeps what it was made of; the source is as it was
  const [version] = listVersions(join(dir, "bench"));
  assert.deepEqual(version?.sources, { [join(dir, "rows.jsonl")]: source });
  assert.equal(version?.digest, sha256File(join(dir, "clean.jsonl")));
  assert.equal(removedRows(join(dir, "bench"), result.digest).length, 40);
  assert.equal(sha256File(join(dir, "rows.jsonl")), source);
  // without a filter its rows are back
  const without = await cleaned(plantedRecipe(dir).replace("  - cut_off\n", ""));
  assert.equal(without.kept, 165);
});

test("answers that differ in their tool calls or their thinking alone are no duplicates", async () => {
  const data = join(dir, "calls.jsonl");
  const prompt = [{ role: "user", content: "What is the weather like where I live?" }];
  const answer = (more: object) => [{ role: "assistant", content: "", ...more }];
  const call = (name: string, given: object) =>
    answer({ tool_calls: [{ type: "function", function: { name, arguments: given } }] });
  const thinking = (text: string) => answer({ content: "It is warm.", reasoning_content: text });
  const rows = [
    { prompt, chosen: call("weather", { city: "Rome" }), rejected: call("clock", { zone: "Asia/Tokyo" }) },
    { prompt, chosen: call("map", { of: "Norway" }), rejected: call("search", { words: "warm places" }) },
    { prompt, chosen: thinking("They said Rome before."), rejected: thinking("I had better guess it.") },
    { prompt, chosen: thinking("The south, in July."), rejected: thinking("No idea at all, none.") },
  ];
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const { filters } = await cleaned(
    `data: ${data}\noutput: ${join(dir, "calls-out.jsonl")}\nfilters: [identical_pair, duplicate_row, near_duplicate]\n`,
  );
  assert.deepEqual(
    filters.map(({ taken }) => taken),
    [0, 0, 0],
  );
});

test("options: scores of a model, similarity, ratio; a row without a score is refused", async () => {
  const data = join(dir, "three.jsonl");
  const row = (i: number) => ({ prompt: `Question ${i}`, chosen: `Good ${i}.`, rejected: `Bad ${i}.` });
  const jsonl = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).join("\n");
  writeFileSync(data, jsonl([row(0), row(1), row(2)]));
  const scores = join(dir, "scores.jsonl");
  const score = (line: number, chosen: number, rejected: number) => ({
    ...{ file: data, line, "logps/chosen": chosen, "logps/rejected": rejected, "num_tokens/chosen": 2 },
  });
  writeFileSync(scores, jsonl([score(1, -2, -9), score(2, -30, -3), score(3, -4, -4.5)]));
  const recipe = (filter: string) =>
    `data: ${data}\noutput: ${join(dir, "out.jsonl")}\nfilters:\n  - ${filter}\n`;
  const left = async (filter: string) => {
    await cleaned(recipe(filter));
    return readJsonLines(join(dir, "out.jsonl"))
      .map(({ value }) => (value as { prompt: string }).prompt.slice(-1))
      .join("");
  };
  assert.equal(await left(`margin: { scores: ${scores}, least: 0 }`), "02");
  assert.equal(await left(`surprise: { scores: ${scores}, most: 1.5 }`), "0");
  assert.equal(await left("length_gap: { ratio: 1.1, characters: 0 }"), "");
  writeFileSync(scores, jsonl([score(1, -2, -9)]));
  await assert.rejects(
    left(`margin: { scores: ${scores}, least: 0 }`),
    /three\.jsonl:2: expected its score in .*scores\.jsonl, there is none/,
  );
  await assert.rejects(left("margin: { scores: x.jsonl }"), /expected least or most, got neither/);
});

test("findings about tokens need a model, and are those of data check", async () => {
  const data = join(dir, "long.jsonl");
  const long = { prompt: "one two three", chosen: "four ".repeat(50), rejected: "five" };
  writeFileSync(data, `${JSON.stringify(long)}\n${JSON.stringify({ ...long, chosen: "four" })}\n`);
  const recipe = `data: ${data}\nmax_length: 40\noutput: ${join(dir, "out.jsonl")}\nfilters: [too_long]\n`;
  await assert.rejects(cleaned(recipe), /max_length: expected model_name_or_path beside it/);
  await assert.rejects(
    cleaned(recipe.replace("max_length: 40\n", "")),
    /filter too_long: expected model_name_or_path, whose tokenizer/,
  );
  const result = await cleaned(recipe, fixturePath("llama_tied", "model"));
  assert.deepEqual(result.filters, [{ code: "too_long", taken: 1 }]);
  assert.match(readFileSync(join(dir, "out-removed.jsonl"), "utf8"), /tokens, max_length is 40/);
});

test("that no row is left is said, with what took them", async (t) => {
  const warnings = listenToWarnings(t);
  const data = join(dir, "equal.jsonl");
  writeFileSync(data, `${JSON.stringify({ prompt: "a", chosen: "same", rejected: "same" })}\n`.repeat(3));
  const output = join(dir, "none.jsonl");
  const { kept } = await cleaned(`data: ${data}\noutput: ${output}\nfilters:\n  - identical_pair\n`);
  assert.deepEqual([kept, readFileSync(output, "utf8")], [0, ""]);
  const note = `${output}: no row is left, the filters took all 3 (identical_pair 3). Loosen the one that takes most.`;
  assert.deepEqual(await warnings(output), [note]);
});

test("the files that are read are never written", async () => {
  const data = join(dir, "same.jsonl");
  const text = `${JSON.stringify({ prompt: "a", chosen: "b", rejected: "c" })}\n`;
  writeFileSync(data, text);
  for (const key of ["output", "removed"]) {
    const output = key === "removed" ? `output: ${join(dir, "x.jsonl")}\n` : "";
    await assert.rejects(
      cleaned(`data: ${data}\n${output}${key}: ${dir}/./same.jsonl\nfilters: [duplicate_row]\n`),
      new RegExp(`${key}: expected another file than those that are read`),
    );
  }
  assert.equal(readFileSync(data, "utf8"), text);
});

test("a place that cannot be written leaves nothing in the others", async () => {
  const data = join(dir, "few.jsonl");
  writeFileSync(data, `${JSON.stringify({ prompt: "a", chosen: "b", rejected: "c" })}\n`);
  const output = join(dir, "left", "out.jsonl");
  await assert.rejects(
    cleaned(`data: ${data}\noutput: ${output}\nremoved: ${data}/x.jsonl\nfilters: [duplicate_row]\n`),
    /few\.jsonl/,
  );
  assert.deepEqual(readdirSync(join(dir, "left")), []);
});

test("a recipe is checked as a whole, and rows that cannot be trained on do not slip through", async () => {
  assert.throws(
    () => parseCleanRecipe("data: x\nfilter: [a]\n", "r.yaml"),
    /r\.yaml:2: unknown key "filter".*filters[\s\S]*filters is missing[\s\S]*expected output \(a file\) or workbench/,
  );
  assert.throws(
    () => parseCleanRecipe("data: x\noutput: y\nfilters: [identical_pairs]\n", "r.yaml"),
    /unknown filter "identical_pairs".*identical_pair/,
  );
  assert.throws(
    () => parseCleanRecipe("data: x\noutput: y\nfilters: [{near_duplicate: {similarity: 2}}]\n", "r.yaml"),
    /filter near_duplicate: .*Too big/s,
  );
  const data = join(dir, "faulty.jsonl");
  writeFileSync(data, '{"prompt": "x", "chosen": "y"}\n');
  await assert.rejects(
    cleaned(`data: ${data}\noutput: ${join(dir, "o.jsonl")}\nfilters: [empty_answer]\n`),
    /1 row is left that training on pairs cannot read .*add invalid_row to filters/,
  );
});

test("near texts: similarity as counted by hand; word runs of benchmarks, short ones whole", () => {
  const near = new NearTexts(0.5);
  assert.equal(near.add("a b c d e f"), null);
  // runs of three: abc bcd cde def against abc bcd cde deg: 3 of 5 in common
  assert.deepEqual(near.add("A b, c d e g!"), { of: 0, similarity: 0.6 });
  assert.equal(near.add("quite another text of words"), null);
  const runs = new WordRuns(6);
  runs.add("How many eggs does Janet sell each day?");
  runs.add("What is two plus two?");
  assert.equal(
    runs.sharedBy("tell me: how many eggs does Janet sell today"),
    "how many eggs does janet sell",
  );
  assert.equal(runs.sharedBy("So, what is TWO plus two? I ask."), "what is two plus two");
  assert.equal(runs.sharedBy("how many eggs does janet buy"), null);
});

test("words of scripts without spaces, and with marks: a Chinese benchmark's prompt is found in the data", async () => {
  const asked = "小明有三个苹果，小红给了他五个苹果，请问小明现在一共有多少个苹果？";
  const benchmark = join(dir, "zh.jsonl");
  writeFileSync(
    benchmark,
    [asked, "请问法国的首都是哪里？", "苹果？"].map((question) => JSON.stringify({ question })).join("\n"),
  );
  const data = join(dir, "zh-rows.jsonl");
  const row = (prompt: string) => ({ prompt, chosen: "好。", rejected: "不好。" });
  const rows = [
    row(`请回答。${asked}`),
    row("你好！请问法国的首都是哪里？谢谢。"),
    row("请问德国有多少个城市？"),
  ];
  writeFileSync(data, rows.map((one) => JSON.stringify(one)).join("\n"));
  const said: string[] = [];
  const listen = ({ message }: Error) => void said.push(message);
  process.on("warning", listen);
  const recipe = `data: ${data}\noutput: ${join(dir, "zh-out.jsonl")}\nfilters: [{in_benchmark: {files: [${benchmark}]}}]\n`;
  const { filters } = await cleaned(recipe);
  await new Promise(setImmediate);
  process.off("warning", listen);
  assert.deepEqual(filters, [{ code: "in_benchmark", taken: 2 }]);
  assert.match(said.join("\n"), /zh\.jsonl: 1 of 3 prompts have fewer than five words/);
  writeFileSync(benchmark, JSON.stringify({ question: "苹果？" }));
  await assert.rejects(
    cleaned(recipe),
    /zh\.jsonl: expected prompts of five words or more, got none: all 1 /,
  );
  // a Thai sentence is several words; a vowel sign does not cut a Hindi one
  const thai = new WordRuns(5);
  assert.equal(thai.add("ฉันชอบกินข้าวผัดทุกวัน"), true);
  const hindi = new WordRuns(5);
  assert.deepEqual([hindi.add("हिन्दी में लिखी"), hindi.add("यह एक हिन्दी वाक्य है")], [false, true]);
});

test("texts without a word are near none: not even one another", () => {
  const near = new NearTexts(0.8);
  assert.deepEqual(
    [near.add("👍\n🎉\n🙁"), near.add("🐄\n🐖\n🐑"), near.add("a b c"), near.add("a b c")],
    [...[null, null, null], { of: 2, similarity: 1 }],
  );
  // with variation selectors, which are marks
  assert.deepEqual(
    [near.add("\u2764\ufe0f\n\u2600\ufe0f"), near.add("\u260e\ufe0f\n\u2708\ufe0f")],
    [null, null],
  );
});
