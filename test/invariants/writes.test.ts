/**
 * Whatever writes files does so through `io` (src/base/file-io.ts): only there can the tests make a call fail or cut the
 * power, and what they have not tried is not promised.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const src = join(import.meta.dirname, "../../src");

/** What of node:fs reads, and so may be used anywhere. */
const reading: ReadonlySet<string> = new Set([
  ...["accessSync", "closeSync", "constants", "createReadStream", "existsSync", "fstatSync", "lstatSync"],
  ...[
    "globSync",
    "openSync",
    "readFile",
    "readFileSync",
    "readdirSync",
    "readlinkSync",
    "readSync",
    "realpathSync",
  ],
  ...[
    "stat",
    "statfsSync",
    "statSync",
    "open",
    "access",
    "readdir",
    "default",
    "glob",
    "opendirSync",
    "read",
  ],
]);

/** Files that may name more, and why. */
const exceptions: Record<string, readonly string[]> = {
  // the table of calls itself
  "base/file-io.ts": [
    ...[
      "fsyncSync",
      "ftruncateSync",
      "linkSync",
      "mkdirSync",
      "renameSync",
      "rmSync",
      "symlinkSync",
      "utimesSync",
      "writeSync",
    ],
  ],
};

function namesImported(text: string): string[] {
  const imports = text.matchAll(
    /^import (?!type )([^;]*?) from "(?:node:)?fs(?:\/promises)?"|import\("(?:node:)?fs/gm,
  );
  return [...imports].flatMap(([, clause]) => {
    if (clause === undefined) return ["import()"];
    if (/\*/.test(clause)) return ["*"];
    const named = /\{([^}]*)\}/.exec(clause)?.[1] ?? "";
    return named
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "" && !name.startsWith("type "))
      .map((name) => name.split(" as ")[0] as string);
  });
}

function writersIn(name: string, text: string): string[] {
  const allowed = exceptions[name] ?? [];
  const names = namesImported(text).filter((one) => !reading.has(one) && !allowed.includes(one));
  // `import fs` is there for what old Nodes lack, and opening a file for more than reading is writing
  const calls = text.matchAll(/\bfs\.(?!globSync|promises\b)(\w*(?:write|append|mk|rm|rename|copy)\w*)/g);
  const opened = text.matchAll(/(?<!io\.)\bopenSync\([^)]*"(?:w|a|r\+)/g);
  return [...names, ...[...calls].map(([call]) => call), ...[...opened].map(([call]) => call)];
}

test("everything under src writes through io", () => {
  const files = globSync("**/*.ts", { cwd: src }).filter((name) => !name.endsWith(".test.ts"));
  assert.ok(files.length > 300, `${files.length} files`);
  const found = files.flatMap((name) =>
    writersIn(name, readFileSync(join(src, name), "utf8")).map((call) => `${name}: ${call}`),
  );
  assert.deepEqual(found, [], "use io or src/base/files.ts");
});

test("a writer is found however it is imported", () => {
  const ways = [
    'import { writeFileSync } from "node:fs";',
    'import { existsSync, appendFileSync as add } from "fs";',
    'import { cp } from "node:fs/promises";',
    'import * as fs from "node:fs";',
    'const { rmSync } = await import("node:fs");',
    'import fs from "node:fs";\nfs.rmSync("x");',
    'import { openSync } from "node:fs";\nopenSync(path, "w");',
  ];
  for (const text of ways) assert.equal(writersIn("x.ts", text).length, 1, text);
  assert.deepEqual(writersIn("x.ts", 'import { openSync, statSync } from "node:fs"; openSync(p, "r")'), []);
});
