import assert from "node:assert/strict";
import { test } from "node:test";

import { printable } from "./terminal-text.ts";

test("what steers a terminal is written out, and text and line breaks stay", () => {
  assert.equal(
    printable("\u001b]0;x\u0007\u001b[2J\u009b1m\u0000a\u007f\r\n\tb"),
    "\\u001b]0;x\\u0007\\u001b[2J\\u009b1m\\u0000a\\u007f\\u000d\n\\tb",
  );
  assert.equal(printable("a\u202eb\u2066c\u200fd\u061c"), "a\\u202eb\\u2066c\\u200fd\\u061c");
  assert.equal(printable('ü \ud83d\ude00 {"a": 1}'), 'ü \ud83d\ude00 {"a": 1}');
});
