/** Tests of campaign-results.ts and reliability-table.ts. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type CampaignResult,
  endOf,
  isDone,
  nameOf,
  readFigures,
  readResult,
  resultLines,
  writeResult,
} from "./campaign-results.ts";
import {
  figuresPlace,
  figuresText,
  longestFirst,
  PROMISES,
  reliabilityTable,
  takeResults,
  writeReliability,
} from "./reliability-table.ts";
import { findNightlyTests } from "./test-files.ts";

const storm: CampaignResult = {
  file: "test/campaign/kill-storm.test.ts",
  status: "passed",
  seconds: 411.6,
  date: "2026-11-26",
  commit: "0123456789",
  processor: "a processor, 2 cores",
  figures: [{ row: 4, what: "SIGKILL", reached: "1000 kills, 0 lost", goal: "0 of 1,000", held: true }],
};

test("a result is kept and read again; one that is not there, or broken, is none", () => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-campaign-"));
  try {
    assert.equal(readResult(folder, storm.file), null);
    writeResult(folder, storm);
    assert.deepEqual(readResult(folder, storm.file), storm);
    writeFileSync(join(folder, "kill-storm.json"), "{");
    assert.equal(readResult(folder, storm.file), null);
    const lines = join(folder, "lines");
    assert.deepEqual(readFigures(lines), []);
    writeFileSync(lines, storm.figures.map((figure) => `${JSON.stringify(figure)}\n`).join(""));
    assert.deepEqual(readFigures(lines), storm.figures);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a line says promise, figure, goal and time, and what was not reached", () => {
  assert.deepEqual(resultLines(storm), [
    "row 4   kill-storm  SIGKILL: 1000 kills, 0 lost (goal: 0 of 1,000)  412 s",
  ]);
  const missed = storm.figures.map((figure) => ({ ...figure, reached: "1 lost", held: false }));
  assert.deepEqual(resultLines({ ...storm, status: "failed", figures: missed }), [
    "row 4   kill-storm  SIGKILL: 1 lost (goal: 0 of 1,000)  NOT REACHED  412 s",
    "        kill-storm  FAILED  412 s",
  ]);
});

test("a file of which tests were skipped did not pass: it says how many, and why", () => {
  const none = new Map<string, number>();
  const skips = new Map([
    ["missing: buildah", 5],
    ["no GPU", 1],
  ]);
  assert.deepEqual(endOf({ passed: 2, failed: 0, skipped: 0, skips: none, notes: [] }), { status: "passed" });
  const partly = endOf({ passed: 1, failed: 0, skipped: 6, skips, notes: [] });
  assert.deepEqual(partly, { status: "skipped in part", skips: { "missing: buildah": 5, "no GPU": 1 } });
  assert.equal(endOf({ passed: 0, failed: 0, skipped: 6, skips, notes: [] }).status, "skipped");
  assert.equal(endOf({ passed: 0, failed: 0, skipped: 0, skips: none, notes: [] }).status, "skipped");
  assert.equal(endOf({ passed: 1, failed: 1, skipped: 6, skips, notes: [] }).status, "failed");
  assert.deepEqual(resultLines({ ...storm, ...partly, figures: [] }), [
    "        kill-storm  SKIPPED IN PART (5 × missing: buildah; 1 × no GPU)  412 s",
  ]);
  const reporting = endOf({ passed: 1, failed: 0, skipped: 0, skips: none, notes: ["peak 12 MiB"] });
  assert.deepEqual(resultLines({ ...storm, ...reporting, figures: [] }), [
    "        kill-storm  passed, no figures  412 s",
    "        peak 12 MiB",
  ]);
});

test("a file is done when it passed: one with skipped tests is run again, since what they lacked may be there", () => {
  assert.equal(isDone(storm), true);
  for (const status of ["failed", "skipped", "skipped in part"] as const)
    assert.equal(isDone({ ...storm, status }), false, status);
});

test("the table has every promise, with its command, or says that it was not measured", () => {
  const rows = reliabilityTable([storm]).split("\n").slice(2);
  assert.equal(rows.length, PROMISES.length);
  assert.match(
    rows[3] ?? "",
    /\*\*1000 kills, 0 lost\*\* .*npm run test:nightly -- kill-storm.*2026-11-26, 0123456789/,
  );
  assert.match(rows[4] ?? "", /not measured/);
});

test("what a test asked less than the first goal stands beside its figures, of their commit, and nowhere else", () => {
  const row = (results: CampaignResult[]) => reliabilityTable(results).split("\n")[2 + 3] ?? "";
  assert.ok(!reliabilityTable([storm]).includes("first goal"), "a figure that says nothing of it");
  const less = "60 kills (first goal: 100), since more take hours";
  const figures = storm.figures.flatMap((figure) => [
    { ...figure, less },
    { ...figure, less },
  ]);
  const asked = { ...storm, file: "test/campaign/kills-round.test.ts", figures };
  assert.equal(row([asked]).split(`<br>Less than the first goal: ${less}.`).length, 2, "once");
  const both = row([storm, { ...asked, commit: "9876543210" }]);
  assert.equal(both.split(`<br>Less than the first goal at 9876543210: ${less}.`).length, 2);
  assert.equal(both.split("first goal:").length, 2);
});

test("each figure of a row has its commit where they are of several", () => {
  const other = { ...storm, file: "test/campaign/kills-judge.test.ts", commit: "9876543210" };
  const row = (results: CampaignResult[]) => reliabilityTable(results).split("\n")[2 + 3] ?? "";
  assert.match(
    row([storm, other]),
    /goal: 0 of 1,000; at 0123456789\)<br>.*goal: 0 of 1,000; at 9876543210\)/,
  );
  assert.ok(!row([storm, { ...other, commit: storm.commit }]).includes("; at"));
});

test("files of other folders are in the table; what was skipped, failed or never run is named", () => {
  const memory = { ...storm, file: "test/online/rollout-memory.test.ts" };
  const partly = { status: "skipped in part", skips: { "missing: buildah": 5 }, figures: [] } as const;
  const container = { ...storm, file: "test/campaign/container.test.ts", ...partly, figures: [] };
  const text = figuresText([memory, container], [memory.file, container.file, "src/runs/rollouts.test.ts"]);
  assert.match(text, /`npm run test:nightly -- test\/online\/rollout-memory`/);
  assert.match(text, /\n\nSkipped in part: container \(5 × missing: buildah\)\.\n/);
  assert.match(text, /\n\nNot run yet: src\/runs\/rollouts\.\n/);
});

test("results are taken into the table when they are asked for, older and doubtful ones by name alone", () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-reliability-"));
  try {
    const folder = join(root, ".preftune", "nightly");
    for (const name of ["docs", "src", "studies", "test/campaign"])
      mkdirSync(join(root, name), { recursive: true });
    const files = ["old", "changed", "skips", "newer", "first"].map(
      (name) => `test/campaign/${name}.test.ts`,
    );
    for (const file of files) writeFileSync(join(root, file), "");
    writeFileSync(join(root, "docs", "reliability.md"), "before <!-- figures -->\n<!-- end --> after\n");
    const of = (name: string, changes: Partial<CampaignResult>): CampaignResult => ({
      ...{ ...storm, file: `test/campaign/${name}.test.ts` },
      ...changes,
    });
    const published = ["old", "changed", "skips", "newer", "gone"].map((name) => of(name, {}));
    writeFileSync(join(root, "docs", "reliability.json"), JSON.stringify(published));
    const local = {
      old: of("old", { date: "2026-11-12", commit: "1111111111" }),
      changed: of("changed", { date: "2026-11-30", commit: "2222222222+" }),
      skips: of("skips", { date: "2026-11-30", commit: "3333333333", status: "skipped", figures: [] }),
      newer: of("newer", { date: "2026-11-26", commit: "4444444444" }),
      first: of("first", { date: "2026-11-30", commit: "5555555555+" }),
    };
    for (const result of Object.values(local)) writeResult(folder, result);
    const json = () => JSON.parse(readFileSync(join(root, "docs", "reliability.json"), "utf8"));
    const commitOf = (name: string) =>
      json().find(({ file }: CampaignResult) => nameOf(file) === name)?.commit;
    writeReliability(root);
    assert.deepEqual(
      json().map(({ commit }: CampaignResult) => commit),
      Array(4).fill(storm.commit),
      "what lies in the folder is no matter of the page",
    );
    assert.match(readFileSync(join(root, "docs", "reliability.md"), "utf8"), /Not run yet: first\./);
    assert.equal(commitOf("gone"), undefined);
    assert.deepEqual(takeResults(root, folder).sort(), [
      "changed: of a checkout with changes (2222222222+)",
      "old: of 2026-11-12, the published one is of 2026-11-26",
      "skips: skipped, the published one ran",
    ]);
    const taken = ["old", "changed", "skips", "newer", "first"].map(commitOf);
    assert.deepEqual(taken, [...Array(3).fill(storm.commit), "4444444444", "5555555555+"]);
    rmSync(join(folder, "old.json"));
    const asked = [local.changed.file, local.old.file];
    assert.deepEqual(takeResults(root, folder, asked), ["old: not run here"]);
    assert.deepEqual([commitOf("changed"), commitOf("old")], ["2222222222+", storm.commit]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("docs/reliability.md shows what docs/reliability.json has, and names what has no result", () => {
  const root = join(import.meta.dirname, "..");
  const read = (name: string) => readFileSync(join(root, "docs", name), "utf8");
  const results = JSON.parse(read("reliability.json")) as CampaignResult[];
  const [shown] = figuresPlace.exec(read("reliability.md")) ?? [];
  const files = findNightlyTests(root, []);
  const what = "expected the page as npm run test:nightly -- --write-docs writes it from the results";
  assert.ok(shown === figuresText(results, files), what);
  const gone = results.filter(({ file }) => !files.includes(file)).map(({ file }) => file);
  assert.deepEqual(gone, [], what);
});

test("files that took longest run first, after those without a result", () => {
  const root = mkdtempSync(join(tmpdir(), "preftune-campaign-"));
  try {
    mkdirSync(join(root, "docs"));
    const results = [30, 900, 60].map((seconds, i) => ({ ...storm, file: `${i}.test.ts`, seconds }));
    writeFileSync(join(root, "docs/reliability.json"), JSON.stringify(results));
    const files = ["0.test.ts", "1.test.ts", "2.test.ts", "new.test.ts"];
    assert.deepEqual(longestFirst(root, files), ["new.test.ts", "1.test.ts", "2.test.ts", "0.test.ts"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
