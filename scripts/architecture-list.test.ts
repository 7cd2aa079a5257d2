import assert from "node:assert/strict";
import { test } from "node:test";
import { compareArchitecture, listedFiles, openingSentence, writeTree } from "./architecture-list.ts";

const document = `# Architecture

\`\`\`tree
src/                  the sources
  base/
    errors.ts         errors
  index.ts            the door
docs/
  guide.md
\`\`\`
`;

test("paths are put together from the indentation", () => {
  assert.deepEqual(listedFiles(document), [
    { path: "src/base/errors.ts", description: "errors" },
    { path: "src/index.ts", description: "the door" },
    { path: "docs/guide.md", description: "" },
  ]);
});

test("every disagreement with the disk is found", () => {
  const twice = document.replace("docs/\n", "  index.ts            again\ndocs/\n");
  assert.deepEqual(compareArchitecture(twice, ["src/base/new.ts", "src/index.ts", "docs/guide.md"]), {
    unlisted: ["src/base/new.ts"],
    absent: ["src/base/errors.ts"],
    repeated: ["src/index.ts"],
    undescribed: ["docs/guide.md"],
  });
  assert.deepEqual(compareArchitecture("no tree", ["a.ts"]).unlisted, ["a.ts"]);
});

test("a written tree agrees with the disk and keeps what was said", () => {
  const files = ["src/index.ts", "src/base/errors.ts", "src/base/deep/x.ts", "docs/guide.md"];
  const text = writeTree(document, files, (file) => `new ${file}`);
  const findings = compareArchitecture(text, files);
  assert.deepEqual(findings, { unlisted: [], absent: [], repeated: [], undescribed: [] });
  const said = new Map(listedFiles(text).map((entry) => [entry.path, entry.description]));
  assert.equal(said.get("src/index.ts"), "the door");
  assert.equal(said.get("src/base/deep/x.ts"), "new src/base/deep/x.ts");
  assert.match(text, /^src\/ +the sources$/m);
  assert.ok(text.startsWith("# Architecture\n"));
  assert.equal(
    writeTree(text, files, () => "other"),
    text,
  );
});

test("the first sentence of a file's header", () => {
  assert.equal(openingSentence("/** Errors of the project. And more. */\ncode"), "Errors of the project");
  assert.equal(
    openingSentence("#!/usr/bin/env node\n/**\n * Two\n * lines: here.\n *\n * Rest.\n */\n"),
    "Two lines: here",
  );
  assert.equal(openingSentence("// The addon.\n// More.\n#pragma once\n"), "The addon");
  assert.equal(openingSentence("#!/bin/bash\n# The gate: all checks.\nset -e\n"), "The gate: all checks");
  assert.equal(openingSentence("import x;\n"), "");
});
