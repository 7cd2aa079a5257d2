import assert from "node:assert/strict";
import test from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { writeFileAtomic } from "../base/files.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { runPaths } from "../runs/run-directory.ts";
import { templateDate } from "./identity.ts";

test("the date that templates write is that of the run's beginning, whenever it goes on", (t) => {
  using scratch = temporaryDirectory();
  const paths = runPaths(scratch.path);
  const saveSealed = (path: string, fields: Record<string, unknown>) =>
    writeFileAtomic(path, sealed(JSON.stringify(fields)));
  t.mock.timers.enable({ apis: ["Date"], now: Date.parse("2025-07-08T23:59:00Z") });
  const begun = templateDate(null, { paths, saveSealed });
  t.mock.timers.setTime(Date.parse("2025-07-10T08:00:00Z"));
  const resumed = templateDate(null, { paths, saveSealed });
  assert.deepEqual([begun.toISOString(), resumed.toISOString()], Array(2).fill("2025-07-08T00:00:00.000Z"));
  assert.deepEqual(readSealed(`${paths.dir}/template-date.json`), { date: begun.toISOString() });
});
