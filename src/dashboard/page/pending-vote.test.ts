/** Names of presses, in a page that is no secure context. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newKey } from "./pending-vote.ts";

test("presses have names of their own at http://NAME too, where browsers have no crypto.randomUUID", (t) => {
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  t.after(() => Reflect.deleteProperty(crypto, "randomUUID"));
  const keys = Array.from({ length: 100 }, newKey);
  assert.equal(new Set(keys).size, 100);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});
