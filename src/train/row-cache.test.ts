/** The folder of tokenised rows: full disks, what is removed, files of others. */
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { armFault } from "../../test/support/faults.ts";
import { scratch } from "../../test/support/scratch.ts";
import { FileError } from "../base/errors.ts";
import { preflight } from "../data/preflight.ts";
import type { RowFile } from "../data/row-file.ts";
import type { DataSelection } from "./prepare-data.ts";
import { type FoundRows, hasRows, mapRows, rowsFingerprint, rowsPath, writeRows } from "./row-cache.ts";

const root = mkdtempSync(join(scratch(), "preftune-row-cache-"));
after(() => rmSync(root, { recursive: true, force: true }));

const fingerprint = "ab".repeat(32);
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(root, "cache-"));
  process.env["PREFTUNE_ROW_CACHE"] = folder;
});
after(() => delete process.env["PREFTUNE_ROW_CACHE"]);

function rows(ids: number[]): RowFile {
  const examples = [{ origin: { file: "a", line: 1 }, promptIds: [1], completions: [{ ids }] }];
  const report = preflight(examples, null, { vocabSize: 9, bosTokenId: null, stopIds: new Set() });
  const dataset = { examples, evalExamples: null, report, fingerprint: "f" };
  return { dataset, textFingerprint: "t", templates: [], stopIds: [] };
}

const expected = () => ({ path: rowsPath(fingerprint), fingerprint, vocabSize: 9 });
const ids = () => mapRows(expected()).dataset.examples[0]?.completions[0]?.ids;

test("what is written is there, and stays when another process writes it too", () => {
  assert.equal(hasRows(expected(), assert.fail), false);
  writeRows(rowsPath(fingerprint), fingerprint, rows([2, 3]));
  writeRows(rowsPath(fingerprint), fingerprint, rows([4]));
  assert.equal(hasRows(expected(), assert.fail), true);
  assert.deepEqual(ids(), [2, 3]);
  assert.deepEqual(readdirSync(folder), [`${fingerprint}.rows`]);
});

test("each call that fails leaves no file, and the error names folder and variable", () => {
  for (const name of ["openSync", "writeSync", "closeSync", "linkSync"] as const) {
    {
      using faults = armFault({ code: "ENOSPC", at: 1, names: [name], on: /\.rows/ });
      assert.throws(
        () => writeRows(rowsPath(fingerprint), fingerprint, rows([2])),
        (error: unknown) => {
          assert.ok(error instanceof FileError);
          assert.match(error.message, /^Cannot write .*: the disk is full \(ENOSPC\)/);
          assert.ok(error.message.includes(folder));
          assert.match(error.message, /PREFTUNE_ROW_CACHE names another folder for tokenised rows\.$/);
          return true;
        },
      );
      assert.equal(faults.failed.length, 1, name);
    }
    assert.deepEqual(readdirSync(folder), [], name);
  }
});

test("without links a file is renamed to its place", () => {
  using _ = armFault({ code: "EPERM", at: 1, names: ["linkSync"] });
  writeRows(rowsPath(fingerprint), fingerprint, rows([2]));
  assert.deepEqual(ids(), [2]);
  assert.equal(readdirSync(folder).length, 1);
});

test("rows that were not used for 30 days go, and what a kill left after a day; nothing else does", () => {
  const days = (count: number) => new Date(Date.now() - count * 86_400_000);
  const old = (name: string, age: number): void => {
    writeFileSync(join(folder, name), "");
    utimesSync(join(folder, name), days(age), days(age));
  };
  const [a, b, c, d] = ["a", "b", "c", "d"].map((letter) => letter.repeat(64));
  old(`${a}.rows`, 31);
  old(`${b}.rows`, 29);
  old(`.${c}.rows.tmp-1-00000000`, 2);
  old(`.${d}.rows.tmp-1-00000000`, 0.5);
  old("notes.txt", 400);
  mkdirSync(join(folder, "kept"));
  const own = `${fingerprint}.rows`;
  writeRows(rowsPath(fingerprint), fingerprint, rows([2]));
  assert.deepEqual(
    readdirSync(folder).sort(),
    [`${b}.rows`, `.${d}.rows.tmp-1-00000000`, "notes.txt", "kept", own].sort(),
  );
  // a run that begins with a file has used it
  utimesSync(join(folder, own), days(29), days(29));
  assert.ok(hasRows(expected(), assert.fail));
  utimesSync(join(folder, `${b}.rows`), days(31), days(31));
  writeRows(rowsPath("cd".repeat(32)), "cd".repeat(32), rows([2]));
  assert.ok(!readdirSync(folder).includes(`${b}.rows`));
  assert.deepEqual(ids(), [2]);
});

test("a damaged file is removed, and why is said", () => {
  writeRows(rowsPath(fingerprint), fingerprint, rows([2]));
  const path = rowsPath(fingerprint);
  const bytes = readFileSync(path);
  for (const content of [Buffer.alloc(0), bytes.subarray(0, 100), Buffer.concat([bytes, bytes])]) {
    writeFileSync(path, content);
    const said: string[] = [];
    assert.equal(
      hasRows(expected(), (line) => said.push(line)),
      false,
    );
    assert.match(said.join(), /expected a file of tokenised rows/);
    assert.deepEqual(readdirSync(folder), []);
  }
});

test("other weights of labels are other rows: what the check says of them is in the file", () => {
  const options = {
    ...{
      sources: [],
      task: "labelled",
      seed: 0,
      encoder: { encode: async () => [], fingerprint: () => "t" },
    },
    facts: { vocabSize: 9, bosTokenId: null, stopIds: new Set<number>() },
  } satisfies FoundRows;
  const selection = { task: "labelled" } as DataSelection;
  const prints = [1, 10].map((desirable) => {
    const labelWeights = { desirable_weight: desirable, undesirable_weight: 1 };
    return rowsFingerprint(selection, { ...options, labelWeights }, "content");
  });
  assert.notEqual(prints[0], prints[1]);
});
