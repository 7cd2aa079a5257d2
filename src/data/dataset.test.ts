import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { requireShared, skipWithoutShared } from "../../test/support/shared.ts";
import { DataError, FormatError } from "../base/errors.ts";
import { createRowEncoder } from "../text/encode.ts";
import type { SourceRow } from "../text/source-rows.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { type Dataset, type DatasetOptions, prepareDataset } from "./dataset.ts";
import type { SourceEncoder } from "./encoder.ts";
import { promptKeyOf } from "./fingerprint.ts";
import { assertPreflight } from "./preflight.ts";
import { formatPreflight } from "./preflight-text.ts";
import type { TokenizerFacts } from "./row-checks.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-dataset-"));
after(() => rmSync(folder, { recursive: true }));

const bos = 1;
const end = 2;
const facts: TokenizerFacts = { vocabSize: 128, bosTokenId: bos, stopIds: new Set([end]) };

/** One token for each character; a prompt with "!" cannot be encoded, one with "?!" breaks the tokenizer. */
const encoder: SourceEncoder = {
  encode: async (rows) =>
    rows.map((row: SourceRow) => {
      assert.equal(row.kind, "text");
      if (row.kind !== "text") throw new Error("only text here");
      const ids = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
      if (row.prompt.includes("?!")) return { error: new FormatError("broken tokenizer") };
      if (row.prompt.includes("!")) return { error: new DataError(`${row.where}: not encodable`) };
      const completions = row.completions.map((text) => ({ ids: [...ids(text), end] }));
      return { row: { promptIds: [bos, ...ids(row.prompt)], completions, boundaryMoved: 0, notes: [] } };
    }),
  fingerprint: () => "letters",
};

interface Pair {
  prompt: string;
  chosen: string;
  rejected: string;
}

function write(name: string, pairs: readonly (Pair | Record<string, unknown>)[]): string {
  const path = join(folder, name);
  writeFileSync(path, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
  return path;
}

function numbered(count: number, prefix: string): Pair[] {
  return Array.from({ length: count }, (_, i) => ({
    prompt: `${prefix}${i}`,
    chosen: `a${i}`,
    rejected: `b${i}`,
  }));
}

function prepare(options: Partial<DatasetOptions>): Promise<Dataset> {
  return prepareDataset({ sources: [], task: "preference", encoder, facts, seed: 0, ...options });
}

const codes = ({ report }: Dataset): string[] =>
  report.findings.map(({ code, severity, count }) => `${severity} ${code} ${count}`);

test("a row that says two things is named, or left out and counted with invalid_rows: drop", async () => {
  const path = join(folder, "two-things.jsonl");
  const rows = numbered(2, "p").map((pair) => `${JSON.stringify(pair)}\n`);
  const twice = '{"prompt": "p9", "chosen": "a", "chosen": "c", "rejected": "b"}\n';
  const half = '{"prompt": "p9", "chosen": "\\ud83d", "rejected": "b"}\n';
  writeFileSync(path, rows.join(twice + half));
  const { report } = await prepare({ sources: [{ path }] });
  assert.deepEqual(report.findings[0]?.rows, [`${path}:2`, `${path}:3`]);
  assert.match(report.findings[0]?.message ?? "", /it gives the key "chosen" twice/);
  const dropped = await prepare({ sources: [{ path }], invalid_rows: "drop" });
  assert.equal(dropped.examples.length, 2);
  assert.deepEqual(dropped.report.counts.dropped, { invalid_row: 2 });
});

test("files beside those read are listed in one warning; a source without rows is an error", async () => {
  const place = join(folder, "beside");
  mkdirSync(place);
  for (const name of ["notes.txt", "old.arrow"]) writeFileSync(join(place, name), "x");
  writeFileSync(join(place, "README.md"), "x");
  writeFileSync(
    join(place, "rows.jsonl"),
    numbered(2, "p")
      .map((pair) => `${JSON.stringify(pair)}\n`)
      .join(""),
  );
  const { report } = await prepare({ sources: [{ path: place }] });
  const found = report.findings.filter(({ code }) => code === "file_passed_over");
  assert.equal(found.length, 1);
  assert.equal(found[0]?.count, 2);
  assert.match(found[0]?.message ?? "", /has no rows: \S+beside\/notes\.txt, \S+beside\/old\.arrow$/);
  const empty = write("empty.jsonl", []);
  const sources = [{ path: join(place, "rows.jsonl") }, { path: empty }];
  await assert.rejects(prepare({ sources }), /empty\.jsonl: expected rows, found none/);
});

test("rows become examples in order", async () => {
  const path = write("two.jsonl", numbered(2, "p"));
  const { examples, evalExamples, report } = await prepare({ sources: [{ path }] });
  assert.deepEqual(examples[1], {
    origin: { file: path, line: 2 },
    // BOS, "p", "1"; "a", "1", end; "b", "1", end
    promptIds: [1, 112, 49],
    completions: [{ ids: [97, 49, 2] }, { ids: [98, 49, 2] }],
  });
  assert.equal(evalExamples, null);
  assert.deepEqual(report.findings, []);
  assert.deepEqual(report.counts, {
    read: 2,
    train: 2,
    evaluation: 0,
    dropped: {},
    notDrawn: 0,
    stoppedAtMaxRows: false,
    lengthLimit: null,
    truncatedRows: 0,
    truncatedTokens: 0,
    endsLost: 0,
  });
});

const faulty = [
  { prompt: "p1", chosen: "a", rejected: "b" },
  { prompt: "p2", chosen: "a" },
  { prompt: "p3!", chosen: "a", rejected: "b" },
  { prompt: "p4", chosen: "", rejected: "b" },
  { prompt: "p5", chosen: "same", rejected: "same" },
  { prompt_ids: [1, 500], chosen_ids: [3, 2], rejected_ids: [4, 2] },
];

test("faulty rows: all are reported together and stop, none is lost", async () => {
  const dataset = await prepare({ sources: [{ path: write("faulty.jsonl", faulty) }] });
  assert.deepEqual(codes(dataset), [
    "error invalid_row 1",
    "error empty_answer 1",
    "error unencodable 1",
    "error identical_pair 1",
    "error id_out_of_range 1",
  ]);
  assert.throws(
    () => assertPreflight(dataset.report),
    /5 kinds of errors.*faulty\.jsonl:2.*faulty\.jsonl:3: not encodable/s,
  );
});

test("faulty rows dropped: each is counted under its reason", async () => {
  const dataset = await prepare({ sources: [{ path: write("faulty.jsonl", faulty) }], invalid_rows: "drop" });
  assertPreflight(dataset.report);
  assert.equal(dataset.examples.length, 1);
  assert.equal(dataset.report.counts.read, 6);
  assert.deepEqual(dataset.report.counts.dropped, {
    invalid_row: 1,
    empty_answer: 1,
    unencodable: 1,
    identical_pair: 1,
    id_out_of_range: 1,
  });
});

test("a broken tokenizer is not taken for a faulty row", async () => {
  const path = write("broken.jsonl", [{ prompt: "?!", chosen: "a", rejected: "b" }]);
  await assert.rejects(prepare({ sources: [{ path }], invalid_rows: "drop" }), { name: "FormatError" });
});

test("rows over max_length: error, drop, truncate", async () => {
  const path = write("long.jsonl", [
    ...numbered(3, "p"),
    { prompt: "0123456789", chosen: "ab", rejected: "abcdefgh" },
  ]);
  const run = (overflow: "error" | "drop" | "truncate"): Promise<Dataset> =>
    prepare({ sources: [{ path }], max_length: 10, overflow });
  const failed = await run("error");
  assert.deepEqual(codes(failed), ["error too_long 1"]);
  // BOS and ten letters, the longer answer with its end: 11 + 9
  assert.match(failed.report.findings[0]?.message ?? "", /long\.jsonl:4 has 20 tokens, max_length is 10/);
  const dropped = await run("drop");
  assert.deepEqual(codes(dropped), ["warning too_long 1"]);
  assert.deepEqual(dropped.report.counts.dropped, { too_long: 1 });
  const cut = await run("truncate");
  assert.deepEqual(codes(cut).slice(0, 1), ["warning truncated 1"]);
  // The prompt keeps a quarter, 2 of 11; the longer answer 8 of 9.
  assert.deepEqual(cut.examples[3]?.promptIds, [bos, "9".charCodeAt(0)]);
  const { truncatedRows, truncatedTokens, endsLost } = cut.report.counts;
  assert.deepEqual(
    { truncatedRows, truncatedTokens, endsLost },
    { truncatedRows: 1, truncatedTokens: 10, endsLost: 1 },
  );
});

test("rows over the model's context: treated as those over max_length, under their own name", async () => {
  const path = write("context.jsonl", [
    ...numbered(3, "p"),
    { prompt: "0123456789", chosen: "ab", rejected: "abcdefgh" },
  ]);
  const run = (options: Partial<DatasetOptions>): Promise<Dataset> =>
    prepare({ sources: [{ path }], max_length: 1024, context: 10, ...options });
  const failed = await run({});
  assert.deepEqual(codes(failed), ["error longer_than_context 1"]);
  assert.match(
    failed.report.findings[0]?.message ?? "",
    /context\.jsonl:4 has 20 tokens, the model's context ends at 10/,
  );
  assert.deepEqual(failed.report.counts.lengthLimit, { tokens: 10, by: "context" });
  assert.match(
    formatPreflight(failed.report),
    /longest row allowed +10 tokens \(where the model's context ends/,
  );
  assert.deepEqual(codes(await run({ overflow: "drop" })), ["warning longer_than_context 1"]);
  const cut = await run({ overflow: "truncate" });
  assert.deepEqual(codes(cut).slice(0, 2), ["warning longer_than_context 1", "warning truncated 1"]);
  assert.equal(cut.examples[3]?.completions[1]?.ids.length, 8);
  // The shorter of the two bounds a row.
  assert.deepEqual(codes(await run({ max_length: 9 })), ["error too_long 1"]);
  const within = await run({ context: 20 });
  assert.deepEqual(codes(within), []);
  assert.notEqual(within.fingerprint, (await run({ context: null })).fingerprint);
});

test("a held-out share by prompt; evaluation files; not both", async () => {
  const path = write("train.jsonl", numbered(20, "p"));
  const other = write("eval.jsonl", [...numbered(2, "q"), { prompt: "p3", chosen: "x", rejected: "y" }]);
  const split = await prepare({ sources: [{ path }], eval_fraction: 0.2 });
  assert.equal(split.examples.length, 16);
  assert.equal(split.evalExamples?.length, 4);
  const evalSources = [{ path: other }];
  const files = await prepare({ sources: [{ path }], evalSources });
  assert.deepEqual(codes(files), ["error prompt_in_both_splits 1"]);
  const dropped = await prepare({ sources: [{ path }], evalSources, invalid_rows: "drop" });
  assert.deepEqual(codes(dropped), ["warning prompt_in_both_splits 1"]);
  assert.equal(dropped.evalExamples?.length, 2);
  const none = await prepare({ sources: [{ path }], evalSources: [{ path }], invalid_rows: "drop" });
  assert.deepEqual(codes(none), ["error no_held_out_rows 1", "warning prompt_in_both_splits 20"]);
  const both = prepare({ sources: [{ path }], evalSources, eval_fraction: 0.1 });
  await assert.rejects(both, /eval_fraction: expected 0 where evaluation rows come from separate files/);
});

test("several sources: all rows without weights, shares with them, columns of their own", async () => {
  const a = write("a.jsonl", numbered(30, "a"));
  const b = write(
    "b.jsonl",
    numbered(30, "b").map(({ prompt, chosen, rejected }) => ({ q: prompt, chosen, rejected })),
  );
  const sources = [{ path: a }, { path: b, columns: { prompt: "q" } }];
  const share = ({ examples }: Dataset): number[] =>
    [a, b].map((path) => examples.filter(({ origin }) => origin.file === path).length);
  assert.deepEqual(share(await prepare({ sources })), [30, 30]);
  const [first, second] = sources.map((source, i) => ({ ...source, weight: i === 0 ? 3 : 1 }));
  assert.ok(first !== undefined && second !== undefined);
  const mixed = await prepare({ sources: [first, second] });
  assert.deepEqual(share(mixed), [30, 10]);
  assert.equal(mixed.report.counts.notDrawn, 20);
  assert.equal(mixed.report.counts.read, 60);
  const fewer = await prepare({ sources: [first, second], max_train_rows: 8 });
  assert.deepEqual(share(fewer), [6, 2]);
  assert.notEqual(
    fewer.fingerprint,
    (await prepare({ sources: [first, second], max_train_rows: 8, seed: 1 })).fingerprint,
  );
  await assert.rejects(
    prepare({ sources: [first, { path: b }] }),
    /weight: expected one for each of the 2 sources .* got 1/,
  );
  await assert.rejects(
    prepare({ sources: [{ path: a, weight: 0 }] }),
    /weight: expected a number above 0, got 0/,
  );
});

test("max_rows without weights takes the first rows and says that it stopped", async () => {
  const path = write("many.jsonl", numbered(200, "p"));
  const few = await prepare({ sources: [{ path }], max_train_rows: 150 });
  assert.deepEqual(
    [few.examples.length, few.report.counts.read, few.report.counts.stoppedAtMaxRows],
    [150, 150, true],
  );
  assert.equal(few.examples.at(-1)?.origin.line, 150);
  const all = await prepare({ sources: [{ path }], max_train_rows: 200 });
  assert.equal(all.report.counts.stoppedAtMaxRows, false);
});

test("progress counts rows and ends with all of them", async () => {
  const path = write("progress.jsonl", numbered(150, "p"));
  const bytes = statSync(path).size;
  const seen: number[][] = [];
  await prepare({
    sources: [{ path }],
    onProgress: ({ meter }) => seen.push([meter.rows, meter.bytesRead, meter.bytesTotal]),
  });
  assert.deepEqual(seen.at(-1), [150, bytes, bytes]);
});

test("the fingerprint depends on tokens and options, not on where the file lies", async () => {
  const path = write("one.jsonl", numbered(9, "p"));
  const copy = write("copy.jsonl", numbered(9, "p"));
  const print = async (options: Partial<DatasetOptions>): Promise<string> =>
    (await prepare({ sources: [{ path }], ...options })).fingerprint;
  const base = await print({});
  assert.match(base, /^[0-9a-f]{64}$/);
  assert.equal(await print({ sources: [{ path: copy }] }), base);
  const others = [
    { max_length: 50 },
    { eval_fraction: 0.3 },
    { max_train_rows: 8 },
    { task: "sft" as const },
  ];
  const prints = await Promise.all(others.map(print));
  assert.equal(new Set([base, ...prints]).size, 5);
});

test("options are checked by their names in the config", async () => {
  await assert.rejects(prepare({}), /data: expected at least one source/);
  const sources = [{ path: write("one.jsonl", numbered(1, "p")) }];
  await assert.rejects(prepare({ sources, eval_fraction: 1 }), /eval_fraction: .* got 1/);
  await assert.rejects(prepare({ sources, max_length: 7 }), /max_length: .* at least 8, got 7/);
  await assert.rejects(prepare({ sources, max_train_rows: 0 }), /max_train_rows: .* got 0/);
});

const preference = ["data", "preference"] as const;

test("real rows: conversational, HH transcripts and token ids", {
  skip: skipWithoutShared(...preference),
}, async () => {
  const tokenizer = loadTokenizer(requireShared("tokenizers", "smollm2"));
  await using real = createRowEncoder(tokenizer);
  const { stopIds } = await real.chatFormat();
  const known = {
    vocabSize: tokenizer.vocabSize,
    bosTokenId: tokenizer.bosTokenId,
    stopIds,
  };
  const load = (name: string, more: Partial<DatasetOptions> = {}): Promise<Dataset> =>
    prepare({
      sources: [{ path: requireShared(...preference, name) }],
      encoder: real,
      facts: known,
      ...more,
    });

  const evalSources = [{ path: requireShared(...preference, "helpful.test.jsonl") }];
  const helpful = await load("helpful.train.jsonl", { evalSources });
  assertPreflight(helpful.report);
  assert.deepEqual([helpful.examples.length, helpful.evalExamples?.length], [1933, 400]);
  const trained = new Set(helpful.examples.map(promptKeyOf));
  assert.ok(helpful.evalExamples?.every((example) => !trained.has(promptKeyOf(example))));

  const raw = await load("hh-harmless-base.raw.jsonl.gz", { invalid_rows: "drop" });
  assertPreflight(raw.report);
  // Five pairs part before their last turn, four have an empty answer.
  assert.deepEqual(raw.report.counts.dropped, { empty_answer: 4, invalid_row: 5 });
  assert.equal(raw.examples.length, 2303);

  const cut = await load("harmless.test.jsonl", { max_length: 256, overflow: "truncate" });
  assertPreflight(cut.report);
  assert.equal(cut.examples.length, 400);
  assert.ok(cut.report.counts.truncatedRows > 0);
});

test("real rows: the benchmark's token ids", {
  skip: skipWithoutShared("bench", "workload.jsonl"),
}, async () => {
  const path = requireShared("bench", "workload.jsonl");
  const { examples, report } = await prepare({
    sources: [{ path }],
    facts: { ...facts, vocabSize: 32_000, bosTokenId: null },
  });
  assert.equal(examples.length, 64);
  // As its README says: prompts of 131 to 507 tokens, chosen 79 to 384, rejected 112 to 301.
  const { prompt, chosen, rejected } = report.train;
  assert.deepEqual(
    [prompt.min, prompt.max, chosen.min, chosen.max, rejected?.min, rejected?.max],
    [131, 507, 79, 384, 112, 301],
  );
  assert.equal(report.findings.filter(({ severity }) => severity === "error").length, 0);
});

test("of rows with a thumb sft learns the good ones; the others are left out and counted", async () => {
  const rows = [
    { prompt: "p1", completion: "good", label: true },
    { prompt: "p1", completion: "bad", label: false },
    { prompt: "p2", completion: "bad too", kto_tag: false },
    { prompt: "p3", completion: "unmarked" },
  ];
  const options = { sources: [{ path: write("thumbs.jsonl", rows) }], seed: 1, encoder, facts };
  const { examples, report } = await prepareDataset({ ...options, task: "sft" });
  assert.deepEqual(
    examples.map(({ origin }) => origin.line),
    [1, 4],
  );
  assert.deepEqual(report.counts.dropped, { marked_bad: 2 });
  const finding = report.findings.find(({ code }) => code === "marked_bad");
  assert.equal(finding?.severity, "warning");
  assert.match(finding?.remedy ?? "", /marked as good alone/);
});
