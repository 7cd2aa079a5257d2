/** docs/adding-a-method.md, followed to the letter in a copy of the sources: its method trains, and is known everywhere. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { startProgram } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import { scratch } from "../support/scratch.ts";

const root = join(import.meta.dirname, "../..");
const copy = mkdtempSync(join(scratch(), "preftune-method-"));
after(() => rmSync(copy, { recursive: true, force: true }));

cpSync(join(root, "src"), join(copy, "src"), { recursive: true });
for (const name of ["package.json", "tsconfig.json"]) cpSync(join(root, name), join(copy, name));
for (const name of ["node_modules", "native", ".preftune"]) symlinkSync(join(root, name), join(copy, name));

/** The page's blocks in their order: file of src/methods, language, text. */
function blocks(): { path: string; language: string; text: string }[] {
  const page = readFileSync(join(root, "docs/adding-a-method.md"), "utf8");
  const found = page.matchAll(/<!-- in src\/methods: (\S+) -->\n\n```(\w+)\n([\s\S]*?)```/g);
  return [...found].map(([, path = "", language = "", text = ""]) => ({ path, language, text }));
}

/** The lines of `file` with those of `diff` added and replaced, each after the one before it in the diff. */
function patched(file: string, diff: string): string {
  const lines = file.split("\n");
  let at = 0;
  for (const line of diff.trimEnd().split("\n")) {
    const text = line.slice(1);
    if (line.startsWith("+")) {
      lines.splice(at++, 0, text);
      continue;
    }
    const found = lines.indexOf(text, at);
    assert.ok(found >= 0, `no line "${text}"`);
    at = line.startsWith("-") ? found : found + 1;
    if (line.startsWith("-")) lines.splice(found, 1);
  }
  return lines.join("\n");
}

function write(path: string, language: string, text: string): void {
  const target = join(copy, "src/methods", path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, language === "diff" ? patched(readFileSync(target, "utf8"), text) : text);
}

/** What the compiler says of the methods of the copy. */
function compiled(): string {
  const config = join(copy, "tsconfig.methods.json");
  writeFileSync(
    config,
    JSON.stringify({ extends: "./tsconfig.json", include: [], files: ["src/methods/losses.ts"] }),
  );
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  return spawnSync(process.execPath, [tsc, "-p", config], { encoding: "utf8" }).stdout;
}

test("without its line among the losses the compiler refuses it; with it, all of the page compiles", () => {
  const all = blocks();
  assert.equal(all.length, 4);
  const last = all.findIndex(({ path }) => path === "losses.ts");
  for (const [i, { path, language, text }] of all.entries()) if (i !== last) write(path, language, text);
  assert.match(compiled(), /losses\.ts.* Property 'hinge' is missing/);
  const { path, language, text } = all[last] ?? assert.fail("losses.ts");
  write(path, language, text);
  assert.equal(compiled(), "");
});

test("it trains, is printed, logs its metric, and its key is refused under another method", async () => {
  using fixture = runFixture({ held: 0 });
  const file = fixture.path("run.yaml");
  const values = { ...fixture.values, output_dir: fixture.path("run"), objective: "hinge", hinge_margin: 2 };
  const more = { max_steps: 2, logging_steps: 1, learning_rate: 1e-3 };
  writeFileSync(file, JSON.stringify({ ...values, ...more }));
  const preftune = (...args: string[]) => startProgram([join(copy, "src/cli/main.ts"), ...args]).ended;
  const trained = await preftune("train", file);
  assert.equal(trained.status, 0, trained.stderr);
  const rows = readMetrics(fixture.path("run", "metrics.jsonl"));
  assert.equal(rows.length, 2);
  for (const row of rows) {
    assert.equal(typeof row["hinge/frac_satisfied"], "number");
    assert.ok(Number(row["loss"]) > 0);
  }
  assert.match(readFileSync(fixture.path("run", "config.yaml"), "utf8"), /^hinge_margin: 2$/m);
  const refused = await preftune("train", file, "--print-config", "--hinge_margin", "0");
  assert.match(refused.stderr, /hinge_margin: expected a number above 0/);
  const foreign = await preftune(
    "train",
    file,
    "--print-config",
    "--objective",
    "dpo",
    "--hinge_margin",
    "1",
  );
  assert.match(foreign.stderr, /hinge_margin has no effect here: objective is dpo\. It is a key of hinge/);
});
