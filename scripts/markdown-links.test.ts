import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { anchorsOf, brokenLinks, linksOf, pathsOf, repairLinks } from "./markdown-links.ts";

test("links, anchors and paths of a page", () => {
  assert.deepEqual(linksOf("[a](b.md#c-d), [web](https://x.y/z.md), [here](#top)"), [
    { text: "a", path: "b.md", anchor: "c-d" },
    { text: "here", path: "", anchor: "top" },
  ]);
  assert.deepEqual(anchorsOf("# Models from the hub\n```sh\n# no heading\n```\n## λ, `x_y`: two\n"), [
    "models-from-the-hub",
    "λ-x_y-two",
  ]);
  assert.deepEqual(pathsOf("`src/a/b.ts`, scripts/x.mjs. my/src/no.ts src/a/*.ts runs/docs/x.md"), [
    "src/a/b.ts",
    "scripts/x.mjs",
  ]);
});

test("what leads nowhere is named", () => {
  const root = mkdtempSync(join(tmpdir(), "links-"));
  try {
    mkdirSync(join(root, "docs"));
    writeFileSync(join(root, "docs/b.md"), "# Title\n");
    writeFileSync(
      join(root, "docs/a.md"),
      "[b](b.md#title) [c](b.md#other) [d](../gone.md) and `src/gone.ts`",
    );
    assert.deepEqual(brokenLinks(root, "docs/a.md"), [
      'docs/a.md: link "c": docs/b.md has no heading for #other',
      'docs/a.md: link "d": there is no gone.md',
      "docs/a.md: there is no src/gone.ts",
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("links to moved files are repaired where one file alone has the name", () => {
  const files = ["src/new/step.ts", "src/a/plan.ts", "src/b/plan.ts"];
  assert.equal(
    repairLinks("docs/a.md", "[s](../src/old/step.ts#x) `src/old/step.ts` [p](../src/old/plan.ts)", files),
    "[s](../src/new/step.ts#x) `src/new/step.ts` [p](../src/old/plan.ts)",
  );
});
