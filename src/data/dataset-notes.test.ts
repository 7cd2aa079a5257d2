/** What a data set's preparation tells of rows that it uses: columns, keys and contents that may be meant otherwise. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { type Dataset, type DatasetOptions, prepareDataset } from "./dataset.ts";
import type { SourceEncoder } from "./encoder.ts";

const folder = mkdtempSync(join(tmpdir(), "preftune-notes-"));
after(() => rmSync(folder, { recursive: true }));

const facts = { vocabSize: 128, bosTokenId: null, stopIds: new Set([2]) };
/** Two answers of one token and the end for every row. */
const encoder: SourceEncoder = {
  encode: async (rows) =>
    rows.map((_, i) => {
      const completions = [{ ids: [20, 2] }, { ids: [21, 2] }];
      return { row: { promptIds: [5, i + 6], completions, boundaryMoved: 0, notes: [] } };
    }),
  fingerprint: () => "two answers",
};

function write(name: string, rows: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

function prepare(options: Partial<DatasetOptions>): Promise<Dataset> {
  return prepareDataset({ sources: [], task: "preference", encoder, facts, seed: 0, ...options });
}

test("what rows may be wrong about is told: repeated prompts, scores that contradict, columns passed over", async () => {
  const row = { prompt: "which colour is it", chosen: "blue", rejected: "green" };
  const rows: [string, Record<string, unknown>][] = [
    ["", row],
    ["prompt_repeated", { ...row, chosen: "which colour is it blue", rejected: "which colour is it green" }],
    ["scores_contradict", { ...row, score_chosen: 3, score_rejected: 3 }],
    ["scores_contradict", { ...row, "chosen-rating": "2", "rejected-rating": "4.5" }],
    ["", { ...row, "chosen-rating": 4.5, "rejected-rating": 2 }],
    ["column_passed_over", { ...row, context: "c" }],
    ["column_passed_over", { ...row, promt: "c" }],
  ];
  const path = write(
    "notes.jsonl",
    rows.map(([, value], i) => ({ ...value, id: i })),
  );
  const { report } = await prepare({ sources: [{ path }] });
  const found = report.findings.filter(({ code }) => rows.some(([name]) => name === code));
  assert.deepEqual(
    found.map(({ code, rows, message, remedy }) => [
      code,
      rows.map((place) => place.slice(path.length + 1)),
      message,
      remedy,
    ]),
    [
      ["prompt_repeated", ["2"], found[0]?.message, found[0]?.remedy],
      ["scores_contradict", ["3", "4"], found[1]?.message, found[1]?.remedy],
      [
        "column_passed_over",
        ["6"],
        'a column that was not read, though its name or content promises a part of the row: "context"',
        "If it belongs to the row, say what it is (docs/data.md, Columns of other names); if not, nothing is lost.",
      ],
      [
        "column_passed_over",
        ["7"],
        'a column that was not read, though its name or content promises a part of the row: "promt"',
        "If it belongs to the row, say what it is (docs/data.md, Columns of other names); if not, nothing is lost.",
      ],
    ],
  );
  assert.deepEqual(report.columns, {
    rows: 7,
    used: { prompt: 7, chosen: 7, rejected: 7 },
    passedOver: {
      id: 7,
      score_chosen: 1,
      score_rejected: 1,
      "chosen-rating": 2,
      "rejected-rating": 2,
      context: 1,
      promt: 1,
    },
  });
});

test("folders of a hub data set that are read as one are told of", async () => {
  const hub = join(folder, "hub");
  const data = join(hub, "datasets--o--n");
  const commit = "c".repeat(40);
  for (const name of ["main", "socratic"]) {
    mkdirSync(join(data, "snapshots", commit, name), { recursive: true });
    const row = { prompt: name, chosen: "a", rejected: "b" };
    writeFileSync(join(data, "snapshots", commit, name, "train.jsonl"), JSON.stringify(row));
  }
  mkdirSync(join(data, "refs"));
  writeFileSync(join(data, "refs", "main"), commit);
  process.env["HF_HUB_OFFLINE"] = "1";
  after(() => void delete process.env["HF_HUB_OFFLINE"]);
  const told = async (path: string): Promise<string[]> => {
    const { report } = await prepare({ sources: [{ path, hub: { cacheDirectory: hub } }] });
    return report.findings.map(({ code, message }) => `${code} ${message}`);
  };
  assert.deepEqual(await told("hub:o/n:train"), [
    "variants_together folders or files of one data set on the hub that are read together: hub:o/n/main, hub:o/n/socratic",
  ]);
  assert.deepEqual(await told("hub:o/n/main:train"), []);
});

test("plain strings are told of where there is a chat template and nobody said what they are", async () => {
  const row = { prompt: "p", chosen: "a", rejected: "b" };
  const sources = [{ path: write("plain.jsonl", [row, row, row]) }];
  const told = async (options: Partial<DatasetOptions>): Promise<string[]> => {
    const { report } = await prepare({ sources, ...options });
    return report.findings.map(({ code, severity, count }) => `${severity} ${code} ${count}`);
  };
  const chatFacts = { ...facts, hasChatTemplate: true };
  assert.deepEqual(await told({}), []);
  assert.deepEqual(await told({ facts: chatFacts }), ["warning plain_strings 3"]);
  assert.deepEqual(await told({ facts: chatFacts, plain_strings: "text" }), []);
});

test("keys of messages that the template does not read are told, one finding each", async () => {
  const answer = { role: "assistant", content: "b", thinking: "hm", timestamp: 3 };
  const row = {
    prompt: [{ role: "user", content: "a", timestamp: 2 }],
    chosen: [answer],
    rejected: [answer],
  };
  const sources = [{ path: write("keys.jsonl", [row, row]) }];
  const readsMessageKey = (key: string): boolean => key === "thinking";
  const { report } = await prepare({ sources, readsMessageKey });
  const [finding] = report.findings.filter(({ code }) => code === "message_key_unread");
  assert.equal(finding?.message, 'a key of messages that the chat template does not read: "timestamp"');
  assert.equal(finding?.count, 2);
  assert.equal(report.findings.filter(({ code }) => code === "message_key_unread").length, 1);
});
