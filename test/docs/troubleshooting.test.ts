/** docs/troubleshooting.md: every class of errors and every exit status has its entry, and every entry is one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as errors from "../../src/base/errors.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/troubleshooting.md"), "utf8");
const { PreftuneError, exitCodes } = errors;

/** Names of the classes that errors.ts exports. */
const classes = Object.entries(errors)
  .filter(([, value]) => typeof value === "function" && value.prototype instanceof Error)
  .map(([name]) => name);

/** Heading -> what follows it. */
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [heading = "", ...lines] = section.split("\n");
      return [heading, lines.join("\n")] as const;
    }),
);

/** Status of an error of a class; null where it is another's. */
function statusOf(name: string): number | null {
  if (name === "RankFailure") return null;
  return name in exitCodes ? exitCodes[name as keyof typeof exitCodes] : 1;
}

test("every class has an entry with its status, causes and remedies, and every such entry has a class", () => {
  assert.ok(classes.length >= 10 && classes.includes("PreftuneError"));
  const entries = [...sections.keys()].filter((heading) => /^[A-Z]\w+(Error|Failure)$/.test(heading));
  assert.deepEqual(entries.toSorted(), classes.toSorted());
  for (const name of entries) {
    const text = sections.get(name) ?? "";
    const status = statusOf(name);
    if (status !== null) assert.match(text, new RegExp(`[Ss]tatus ${status}\\b`), name);
    assert.match(text, /^\| Usual cause \| What to do \|\n\| --- \| --- \|\n\| \S/m, name);
    assert.ok(page.includes(`[${name}](#${name.toLowerCase()})`), `${name} is not in the table of statuses`);
  }
});

test("the table of statuses has those of the classes, and the manual of the command line has the same", () => {
  const statuses = (text: string): number[] =>
    [...text.matchAll(/^\| (\d[\d, ]*?)(?: and others above 128)? \|/gm)]
      .flatMap(([, list = ""]) => list.split(", ").map(Number))
      .toSorted((a, b) => a - b);
  const here = statuses(sections.get("By exit status") ?? "");
  const known = [0, 1, ...Object.values(exitCodes), 129, 130, 143];
  assert.deepEqual(
    here.filter((status) => status !== 137 && status !== 139),
    known,
  );
  const commands = readFileSync(join(root, "docs/commands.md"), "utf8");
  assert.deepEqual(statuses(commands.slice(commands.indexOf("## Exit statuses"))), known);
});

test("a message without a remedy leads to an entry of the page", async () => {
  const { preftune } = await import("../support/command.ts");
  const { stdout } = await preftune("--help");
  assert.match(stdout, /When a command fails: docs\/troubleshooting\.md/);
  const main = readFileSync(join(root, "src/cli/main.ts"), "utf8");
  assert.ok(main.includes("docs/troubleshooting.md#a-bug") && sections.has("A bug"));
  assert.equal(new PreftuneError("x").name, "PreftuneError");
});
