import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";

const root = join(import.meta.dirname, "..");
const copy = mkdtempSync(join(tmpdir(), "preftune-lint-"));
after(() => rmSync(copy, { recursive: true }));
for (const name of ["biome.json", "scripts/checked-index.grit"]) cpSync(join(root, name), join(copy, name));

/** What this checkout's linter says of `source` as the file `path`. */
function lint(path: string, source: string): string {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  writeFileSync(join(copy, path), source);
  const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
  const options = { cwd: copy, encoding: "utf8" } as const;
  const { stdout, stderr } = spawnSync(process.execPath, [biome, "lint", "--colors=off", path], options);
  assert.match(stdout + stderr, /Checked 1 file/);
  return stdout + stderr;
}

const cast = "export const last = (xs: number[], i: number): number => xs[i + 1] as number;\n";

test("a cast of an index is refused in src, except in the files that biome.json names and in tests", () => {
  assert.match(lint("src/train/x.ts", cast), /use at\(list, index\)/);
  for (const path of ["src/generate/choose.ts", "src/train/x.test.ts"])
    assert.doesNotMatch(lint(path, cast), /use at/);
});

test("keys of records, literals and what may be undefined pass", () => {
  const fine = [
    "export const a = (fields: Fields, key: string): Field => fields[key] as Field;",
    'export const b = (row: Row): string => row["date"] as string;',
    "export const c = (xs: unknown[], i: number): A | undefined => xs[i] as A | undefined;",
    "export const d = [1, 2] as Pair;",
  ];
  assert.doesNotMatch(lint("src/train/x.ts", fine.join("\n")), /use at/);
});
