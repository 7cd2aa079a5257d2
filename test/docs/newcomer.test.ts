/** Ten questions of a newcomer, each answered two links from the README: a page, then the file that answers it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { linksOf } from "../../scripts/markdown-links.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** Question as a page asks it -> what stands where its first link leads. */
const questions: Record<string, RegExp> = {
  "Where is SLIME's loss?": /Paper: [\s\S]*2602\.02383[\s\S]*softplus/,
  "How are chat templates rendered?": /compileTemplate/,
  "How does resume work?": /export (async )?function resumeRun/,
  "What does a configuration key do?": /^\| `lambda_w` \|/m,
  "What does a metric mean?": /^\| `rewards\/margins` \|/m,
  "How is LoRA put into a model?": /LoraLinear/,
  "Where are gradients accumulated?": /export (async )?function\*? trainStep/,
  "Where is the prompt masked out of the loss?": /mask/,
  "How do I add a method?": /pure function from log-prob|# Adding a method/,
  "How do I add a model family?": /A family is one file in/,
  "How do I add a metric?": /const METRICS: readonly MetricInfo/,
};

/** Pages that the README links to. */
const pages = linksOf(read("README.md"))
  .map((link) => normalize(link.path))
  .filter((path) => path.endsWith(".md"));

for (const [question, answer] of Object.entries(questions)) {
  test(question, () => {
    const found = pages.flatMap((page) =>
      read(page)
        .split("\n")
        .filter((line) => line.includes(question))
        .map((line) => ({ page, line })),
    );
    const [{ page, line } = assert.fail("no page that the README links to asks this")] = found;
    const [link = assert.fail(`${page}: no link in "${line}"`)] = linksOf(line);
    assert.match(read(normalize(join(dirname(page), link.path))), answer);
  });
}
