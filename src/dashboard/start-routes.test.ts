/** Checks of a draft that do not come to their own end say why. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { withDashboardApp } from "../../test/support/dashboards.ts";

/** Calls `body` with what a check of a draft says, a program of `script` in the place of preftune. */
async function onDraft(
  script: string,
  body: (check: (which: string) => Promise<{ isGood: boolean; text: string }>) => Promise<void>,
): Promise<void> {
  await withDashboardApp(async ({ root, context, ask }) => {
    const { id } = context.jobs.draft({
      ...{ name: "a", isResume: false, device: "cpu", outputDir: join(root, "out"), yaml: "" },
      argv: (path) => ["train", path],
    });
    await body(async (which) => {
      const answer = await ask(`/api/drafts/${id}/${which}`, { as: "owner", method: "POST", body: {} });
      return (await answer.json()) as { isGood: boolean; text: string };
    });
  }, script);
}

test("a check that writes too much says so beside what it wrote; one that ends by itself has its own words alone", async () => {
  const script = `console.log(process.argv.at(-2)); if (process.argv.at(-2) === "plan") process.stdout.write("x".repeat(3 << 20)); else process.exit(3)`;
  await onDraft(script, async (check) => {
    const { isGood, text } = await check("plan");
    assert.equal(isGood, false);
    assert.match(text, /^plan\nx+\s+The check wrote too much\. Run the command in a terminal/);
    assert.deepEqual(await check("data-check"), { isGood: false, text: "check" });
  });
});

test("a check that a signal ended says which", async () => {
  await onDraft(`process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000);`, async (check) => {
    const { text } = await check("plan");
    assert.match(text, /The check was ended by SIGKILL\. Run the command in a terminal/);
  });
});
