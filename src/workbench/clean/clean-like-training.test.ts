/** Rows are read, found faulty and refused as `data check` and training do; no filter is taken that could never take a row. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fixturePath } from "../../../test/support/fixture-files.ts";
import { toyFiles } from "../../../test/support/toy-tokenizer.ts";
import { describeFindings } from "../../data/findings.ts";
import { normaliseRow } from "../../data/rows.ts";
import { readRows } from "../../data/sources.ts";
import { typedValues } from "../../data/text-rows.ts";
import { readJsonLines } from "../../runs/json-lines.ts";
import { listVersions } from "../versions.ts";
import { clean } from "./clean.ts";
import { parseCleanRecipe } from "./clean-recipe.ts";
import { filterKinds } from "./filters.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-clean-like-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Its context has 512 tokens, its tokenizer no BOS; its template writes no tool calls. A word is some tokens. */
const llama = fixturePath("llama_tied", "model");
/** The same with a tokenizer whose BOS is 3. */
const withBos = mkdtempSync(join(dir, "bos-"));
copyFileSync(join(llama, "config.json"), join(withBos, "config.json"));
for (const [name, content] of Object.entries(toyFiles({ prependBos: true })))
  writeFileSync(
    join(withBos, name === "config" ? "tokenizer_config.json" : "tokenizer.json"),
    JSON.stringify(content),
  );

function write(name: string, rows: readonly (object | string)[]): string {
  const path = join(dir, name);
  const lines = rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row)));
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
  return path;
}

/** What is left and how many rows each filter took; keys beside `data`, `output` and `filters` as YAML. */
async function cleaned(
  data: string,
  filters: string,
  {
    keys = "",
    model = null,
    isTrial = false,
  }: { keys?: string; model?: string | null; isTrial?: boolean } = {},
) {
  const output = join(dir, "out.jsonl");
  const recipe = parseCleanRecipe(`data: ${data}\noutput: ${output}\nfilters: ${filters}\n${keys}`, "r.yaml");
  const result = await clean(recipe, model, { isTrial });
  const taken = Object.fromEntries(result.filters.map((filter) => [filter.code, filter.taken]));
  return { taken, kept: result.kept, rows: isTrial ? [] : readJsonLines(output).map(({ value }) => value) };
}

/** Raises an exception for a prompt of "refused". */
const refusing = join(dir, "refusing.jinja");
writeFileSync(
  refusing,
  "{% for m in messages %}{% if m.content == 'refused' %}{{ raise_exception('not this') }}{% endif %}" +
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
);

const pair = (more: object = {}) => ({ prompt: "one two", chosen: "three", rejected: "four", ...more });
const ids = (prompt: number[], chosen: number[], rejected: number[]) => ({
  ...{ prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected },
});
const user = (content: string) => [{ role: "user", content }];
const said = (content: string, more: object = {}) => [{ role: "assistant", content, ...more }];
const call = { type: "function", function: { name: "weather", arguments: { city: "Rome" } } };
const logps = { ref_chosen_logps: -1.5, ref_rejected_logps: -2 };

/** A row for each code that is about one row. */
const rowFor: Readonly<Record<string, object | string>> = {
  invalid_row: { prompt: "x", chosen: "y" },
  unencodable: { prompt: user("refused"), chosen: said("y"), rejected: said("z") },
  not_rendered: { prompt: user("x"), chosen: said("", { tool_calls: [call] }), rejected: said("y") },
  empty_answer: pair({ chosen: "  " }),
  empty_prompt: ids([], [7, 2], [8, 2]),
  bos_repeated: ids([3, 3, 7], [7, 4], [8, 4]),
  end_missing: ids([5], [7], [8, 2]),
  end_repeated: ids([5], [7, 2, 2], [8, 2]),
  identical_pair: pair({ rejected: "three" }),
  id_out_of_range: ids([5], [700, 2], [8, 2]),
  reference_of_cut_row: pair({ ...logps, chosen: "word ".repeat(300) }),
  too_long: pair({ chosen: "word ".repeat(300) }),
  longer_than_context: pair({ chosen: "word ".repeat(300) }),
  truncated: pair({ chosen: "word ".repeat(300) }),
  scores_contradict: pair({ score_chosen: 1, score_rejected: 2 }),
  prompt_repeated: pair({ prompt: "a long prompt", chosen: "a long prompt y", rejected: "a long prompt z" }),
};

test("every code of data check that is a filter takes its row, and a code that takes none is no filter", async () => {
  const codes = new Set<string>(describeFindings().map(({ code }) => code));
  const ofRows = filterKinds
    .map(({ code }) => code)
    .filter((code) => codes.has(code) && !/split|duplicate/.test(code));
  assert.deepEqual(ofRows.toSorted(), Object.keys(rowFor).toSorted());
  for (const [code, row] of Object.entries(rowFor)) {
    const data = write(`${code}.jsonl`, [pair(), row]);
    const keys = { too_long: "max_length: 100\n", unencodable: `chat_template: ${refusing}\n` }[code] ?? "";
    const model = code === "bos_repeated" ? withBos : llama;
    const { taken } = await cleaned(data, `[${code}]`, { keys, model, isTrial: true });
    assert.deepEqual(taken, { [code]: 1 }, code);
  }
  for (const code of ["marked_bad", "fully_masked", "length_bias", "double_bos"]) {
    assert.throws(
      () => parseCleanRecipe(`data: x\noutput: y\nfilters: [${code}]\n`, "r.yaml"),
      new RegExp(
        `r.yaml:3: no filter "${code}": data check does not find it in single pairs. There are invalid_row, `,
      ),
    );
  }
});

test("max_length is 1024 where it is not given, as in training; a row beyond the context is said to be that", async () => {
  const words = (count: number) => pair({ chosen: "7".repeat(count) });
  const data = write("long.jsonl", [words(600), words(1500), words(3)]);
  const both = await cleaned(data, "[too_long, longer_than_context]", { model: llama });
  assert.deepEqual(both.taken, { too_long: 1, longer_than_context: 1 });
  const details = readJsonLines(join(dir, "out-removed.jsonl")).map(
    ({ value }) => (value as { detail: string }).detail,
  );
  assert.match(details[0] ?? "", /^6\d\d tokens, the model's context ends at 512$/);
  assert.match(details[1] ?? "", /^15\d\d tokens, max_length is 1024$/);
  const context = await cleaned(data, "[longer_than_context]", { model: llama });
  assert.deepEqual([context.taken, context.kept], [{ longer_than_context: 2 }, 1]);
});

test("rows of token ids are pairs: cleaned, compared by their ids, and never unreadable", async () => {
  const data = write("ids.jsonl", [
    ids([1, 5, 9], [7, 2], [8, 2]),
    ids([1, 5, 9], [7, 2], [8, 2]),
    ids([1, 5], [7, 2], [7, 2]),
    ids([1, 5], [9, 2], [7, 2]),
    ids([1, 6], [9, 2], [7, 2]),
  ]);
  const held = write("held-ids.jsonl", [ids([1, 6], [3, 2], [4, 2])]);
  const filters =
    "[invalid_row, identical_pair, duplicate_row, near_duplicate, length_gap, prompt_in_both_splits]";
  for (const model of [null, llama]) {
    const { taken, kept } = await cleaned(data, filters, { keys: `eval_data: ${held}\n`, model });
    assert.deepEqual(taken, {
      ...{ invalid_row: 0, identical_pair: 1, duplicate_row: 1, near_duplicate: 0, length_gap: 0 },
      prompt_in_both_splits: 1,
    });
    assert.equal(kept, 2);
  }
});

test("columns, plain_strings and chat_template are read as training reads them, of a file by itself too", async () => {
  const named = (prompt: string) => ({ query_text: prompt, chosen: "Blue it is.", rejected: "Green it is." });
  const data = write("named.jsonl", [named("Which colour has the sky?"), named("And the sea?")]);
  const held = write("held.jsonl", [{ asked: "And the sea?", chosen: "Grey.", rejected: "Red." }]);
  await assert.rejects(
    cleaned(data, "[duplicate_row]"),
    /named\.jsonl:1: .*set columns: \{prompt: query_text\}|named\.jsonl:1: .*"columns"/,
  );
  const keys = `columns: { prompt: query_text }\neval_data: { path: ${held}, columns: { prompt: asked } }\nworkbench: ${join(dir, "bench")}\n`;
  const { taken, rows } = await cleaned(data, "[prompt_in_both_splits]", { keys });
  assert.deepEqual([taken, rows], [{ prompt_in_both_splits: 1 }, [named("Which colour has the sky?")]]);
  // who reads the version finds its prompts
  assert.deepEqual(listVersions(join(dir, "bench"))[0]?.columns, { prompt: "query_text" });
  assert.throws(
    () =>
      parseCleanRecipe(
        `data: [${data}, { path: ${held}, columns: { prompt: asked } }]\noutput: y\nfilters: [cut_off]`,
        "r",
      ),
    /data: expected the same columns in all files.*held\.jsonl. Clean them one by one/,
  );
  assert.throws(
    () =>
      parseCleanRecipe(`data: {path: x, weight: 2}\noutput: y\nfilters: [cut_off]\ncolumns: {promt: q}`, "r"),
    /no weight in data[\s\S]*r:4: expected columns to be a mapping/,
  );
  // 91 digits are 91 tokens, and a chat has its template's besides
  const plain = write("plain.jsonl", [pair({ chosen: "7".repeat(91) })]);
  const chat = async (more: string) =>
    (await cleaned(plain, "[too_long]", { keys: `max_length: 100\n${more}`, model: llama, isTrial: true }))
      .taken;
  assert.deepEqual(await chat("plain_strings: text\n"), { too_long: 0 });
  assert.deepEqual(await chat("plain_strings: chat\n"), { too_long: 1 });
  const short = 'chat_template: "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"\n';
  assert.deepEqual(await chat(`plain_strings: chat\n${short}`), { too_long: 0 });
  await assert.rejects(
    cleaned(plain, "[cut_off]", { keys: short }),
    /chat_template: expected model_name_or_path beside it/,
  );
});

test("rows that training cannot turn into tokens are refused by their codes; faults it stops at are said", async () => {
  const calls = { prompt: user("x"), chosen: said("", { tool_calls: [call] }), rejected: said("y") };
  const data = write("left.jsonl", [calls, { prompt: "x", completion: "y", label: true }, pair()]);
  await assert.rejects(cleaned(data, "[duplicate_row]", { model: llama }), (error: Error) => {
    assert.match(
      error.message,
      /^2 rows are left that training on pairs cannot read \(first: .*left\.jsonl:1/,
    );
    assert.match(
      error.message,
      /add not_rendered and invalid_row to filters\. Rows of one answer are no pairs/,
    );
    return true;
  });
  const { kept } = await cleaned(data, "[not_rendered, invalid_row]", { model: llama });
  assert.equal(kept, 1);
  // a row of one answer is not said to be of no use
  const one = write("one.jsonl", [{ prompt: "x", completion: "y", label: true }]);
  await assert.rejects(
    cleaned(one, "[cut_off]"),
    /train on the rows as they are with an objective over labelled answers/,
  );
  // no filter takes them all away as no pairs, and no file is written
  const turns = [...user("x"), ...said("y")];
  for (const rows of [
    [{ prompt: "x", completion: "y", label: true }],
    [{ messages: turns }],
    [{ text: "x" }],
  ]) {
    const data = write("single.jsonl", rows);
    await assert.rejects(
      cleaned(data, "[invalid_row]"),
      /single\.jsonl:1: expected .*Rows of one answer are not cleaned\..* set invalid_rows: drop and overflow: drop/,
    );
  }
  assert.ok(!existsSync(join(dir, "single-removed.jsonl")));
  // pairs with a fault are pairs
  const empty = write("empty.jsonl", [pair({ rejected: "" })]);
  assert.equal((await cleaned(empty, "[empty_answer]")).kept, 0);
  const faulty = write("faulty.jsonl", [
    pair({ rejected: "three" }),
    pair({ chosen: "7".repeat(600) }),
    ids([5], [7], [8]),
  ]);
  const heard: string[] = [];
  const listen = ({ message }: Error) => void heard.push(message);
  process.on("warning", listen);
  assert.equal((await cleaned(faulty, "[cut_off]", { model: llama })).kept, 3);
  await new Promise(setImmediate);
  process.off("warning", listen);
  // token ids without an end may be meant so
  assert.match(
    heard.join(),
    /training refuses some.*: identical_pair 1, longer_than_context 1\. These codes in filters/,
  );
});

test("rows that differ in tools or template variables are no duplicates, nor is their prompt the same", async () => {
  const asks = (more: object) => ({
    prompt: user("Book me a table for two tonight, please."),
    chosen: said("I cannot do that with the tools at hand, sorry."),
    ...{ rejected: said("Done."), ...more },
  });
  const tools = (name: string) => [{ type: "function", function: { name, parameters: { maximum: 1 } } }];
  const all = [
    asks({ tools: tools("weather") }),
    asks({ tools: tools("calendar") }),
    asks({}),
    asks({ chat_template_kwargs: { lang: "de" } }),
  ];
  const again = asks({ tools: JSON.stringify(tools("calendar")) });
  const data = write("tools.jsonl", [...all, again]);
  assert.deepEqual((await cleaned(data, "[duplicate_row]")).taken, { duplicate_row: 1 });
  assert.deepEqual((await cleaned(data, "[near_duplicate]")).taken, { near_duplicate: 1 });
  const keys = `eval_data: ${write("held-tools.jsonl", [again])}\n`;
  assert.deepEqual((await cleaned(data, "[prompt_in_both_splits]", { keys })).taken, {
    prompt_in_both_splits: 2,
  });
});

test("what is left of CSV is read as the CSV was: numbers, labels, messages, cells of no value", async () => {
  const messages = JSON.stringify(said("hello"));
  const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const data = join(dir, "table.csv");
  writeFileSync(
    data,
    [
      "question_text,chosen,rejected,margin,ref_chosen_logps,ref_rejected_logps,system,tools,label,prompt_ids",
      "q one,good a,bad b,1.50,-2.5,-3e0,,,TRUE,",
      `q two,${cell(messages)},${cell(JSON.stringify(said("bye")))},-2,-12345678.5,0,Be kind.,${cell("[]")},,`,
      "",
    ].join("\n"),
  );
  const { rows } = await cleaned(data, "[duplicate_row]", { keys: "columns: { prompt: question_text }\n" });
  const first = {
    question_text: "q one",
    chosen: "good a",
    rejected: "bad b",
    margin: 1.5,
    ref_chosen_logps: -2.5,
  };
  assert.deepEqual(rows[0], {
    ...{ ...first, ref_rejected_logps: -3, system: null, tools: null, label: true, prompt_ids: null },
  });
  // with plain_strings: text an answer of JSON lines is text; a cell of a table is looked into
  const how = { task: "reward", columns: { prompt: "question_text" }, strings: "text" } as const;
  const read = async (path: string) => {
    const found = [];
    for await (const row of readRows({ path })) {
      const { source, margin, referenceLogps } = normaliseRow(row, how);
      found.push({ ...source, where: "", margin, referenceLogps });
    }
    return found;
  };
  assert.deepEqual(await read(join(dir, "out.jsonl")), await read(data));
});

test("a field that a structure of Parquet lacks is null where the columns name it", () => {
  const row = {
    origin: { file: "a.parquet", line: 1 },
    value: { meta: { other: 1 }, prompt: "a" },
    isField: (path: string) => ["meta.system", "meta.other"].includes(path),
  };
  assert.deepEqual(typedValues(row, { system: "meta.system", prompt: "prompt" }), {
    meta: { other: 1, system: null },
    prompt: "a",
  });
  assert.equal(typedValues(row, { system: "meta.other" }), row.value);
});
