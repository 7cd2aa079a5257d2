import assert from "node:assert/strict";
import test from "node:test";

import { strftime } from "./strftime.ts";

test("writes dates as Python does, in English and UTC", () => {
  const date = new Date(Date.UTC(2024, 6, 6, 0, 5, 9));
  assert.equal(strftime(date, "%d %b %Y"), "06 Jul 2024");
  assert.equal(strftime(date, "%A, %B %-d, %y at %I:%M:%S %p"), "Saturday, July 6, 24 at 12:05:09 AM");
  assert.equal(strftime(date, "%a %H %m 100%% %q"), "Sat 00 07 100% %q");
});
