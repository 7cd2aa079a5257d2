/** Outputs that the manual shows, compared with what its commands print. In full: those too that judge 600 pairs of published answers. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import { startJudge } from "../support/judge-server.ts";
import { manualShell } from "../support/manual-shell.ts";
import { ruleAnswer } from "../support/rule-judge.ts";
import { scratch } from "../support/scratch.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { shownOutput } from "../support/snippets.ts";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(scratch(), "preftune-outputs-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("objectives.md: the floor of two presets", async () => {
  const { command, output } = shownOutput(join(root, "docs/objectives.md"), "node -e");
  const { stdout, stderr } = await manualShell(join(folder, "floor"), {})(command);
  assert.equal(stdout, output, stderr);
});

const skip = isNightly ? skipWithoutShared("data", "arena_hard") : "in full only";

for (const command of ["arena-hard arena_hard/answers", "pairwise arena_hard/answers"]) {
  test(`judges.md: evaluate ${command}…`, { skip }, async () => {
    const links = {
      arena_hard: requireShared("data", "arena_hard"),
      mt_bench: requireShared("data", "mt_bench"),
    };
    const page = shownOutput(join(root, "docs/judges.md"), `npx preftune evaluate ${command}`);
    await using judge = await startJudge(ruleAnswer);
    const shell = manualShell(join(folder, command.slice(0, 5)), links);
    const { stdout, stderr } = await shell(page.command.replace("http://127.0.0.1:8765/v1", judge.baseUrl));
    assert.equal(stdout, page.output, stderr);
  });
}
