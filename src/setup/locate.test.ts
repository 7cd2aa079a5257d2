import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { locateAddon } from "./locate.ts";

function withAddonVariable(t: TestContext, value: string): void {
  const before = process.env["PREFTUNE_ADDON"];
  process.env["PREFTUNE_ADDON"] = value;
  t.after(() => {
    if (before === undefined) delete process.env["PREFTUNE_ADDON"];
    else process.env["PREFTUNE_ADDON"] = before;
  });
}

test("PREFTUNE_ADDON names the addon", (t) => {
  withAddonVariable(t, import.meta.filename);
  assert.equal(locateAddon(), import.meta.filename);
});

test("a PREFTUNE_ADDON that is not there is an error with the remedy", (t) => {
  withAddonVariable(t, "/nowhere/preftune.node");
  assert.throws(locateAddon, (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /PREFTUNE_ADDON=\/nowhere\/preftune\.node: no such file\. .*npm run setup/);
    return true;
  });
});
