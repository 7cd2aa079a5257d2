/** Resuming over HTTP: once, whoever presses twice. */
import assert from "node:assert/strict";
import { realpathSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { runPaths } from "../runs/run-directory.ts";
import { idOf } from "./run-store.ts";

/** Runs until the folder that it was started in has a file "end". */
const patient = `const { existsSync } = require("fs");
  const look = () => existsSync("end") || !existsSync(process.cwd()) ? process.exit(0) : setTimeout(look, 30); look();`;

test("a second press of Resume is refused while the first one's process begins, not while a stopped one ends", async () => {
  await withDashboardApp(async ({ root, context, ask, faults }) => {
    const dir = realpathSync(writeRun(root, "a"));
    const { log } = runPaths(dir);
    const resume = async () =>
      await ask(`/api/runs/${idOf(dir)}/resume`, { as: "owner", method: "POST", body: {} });
    await context.runs.list();
    assert.equal((await resume()).status, 200);
    const twice = await resume();
    assert.equal(twice.status, 409);
    assert.match(await twice.text(), /is being resumed already/);
    const states = () => context.jobs.list().map(({ state }) => state);
    assert.deepEqual(states(), ["started"]);
    // the process has said that it stops, and is still there
    const later = new Date(Date.now() + 5000);
    utimesSync(log, later, later);
    await context.runs.list();
    assert.equal((await resume()).status, 200);
    assert.deepEqual(states(), ["started", "queued"]);
    context.jobs.remove(context.jobs.list()[1]?.id ?? "");
    writeFileSync(join(root, "end"), "");
    while (states().includes("started")) await new Promise((done) => setTimeout(done, 20));
    assert.deepEqual(faults, []);
  }, patient);
});
