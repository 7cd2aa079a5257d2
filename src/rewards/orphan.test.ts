/** A process whose function never ends does not outlive a run that was killed. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { inFolderOf } from "../../test/support/reward-files.ts";
import { isRunning } from "../base/process-state.ts";

inFolderOf({
  "hangs.ts": `import { renameSync, writeFileSync } from "node:fs";
export default () => { writeFileSync("pid.new", String(process.pid)); renameSync("pid.new", "pid"); for (;;); };\n`,
});

test("a worker process that hangs ends soon after its parent was killed", { timeout: 600_000 }, async () => {
  const source = pathToFileURL(join(import.meta.dirname, "open-rewards.ts")).href;
  const program = `import { openRewards } from ${JSON.stringify(source)};
    const rewards = await openRewards(["hangs.ts"], { reward_timeout: 1e6 });
    await rewards.score({ prompts: ["p"], completions: ["c"], completion_ids: [[1]], columns: {}, step: 0 });`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "inherit" });
  while (!existsSync("pid") && parent.exitCode === null) await delay(20);
  const worker = Number(readFileSync("pid", "utf8"));
  assert.ok(isRunning(worker));
  parent.kill("SIGKILL");
  while (isRunning(worker)) await delay(50);
});
