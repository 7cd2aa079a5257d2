import assert from "node:assert/strict";
import { test } from "node:test";
import { newestIn } from "./symbol-versions.ts";

test("the newest of each family by number, not by letters; other families are passed over", () => {
  const text = `
  0x0010:   Name: GLIBC_2.4  Flags: none  Version: 15
  0x0020:   Name: GLIBC_2.17  Flags: none  Version: 9
  0x0030:   Name: GLIBCXX_3.4.9  Flags: none  Version: 7
  0x0040:   Name: GLIBCXX_3.4.30  Flags: none  Version: 7
  0x0050:   Name: GCC_3.0  Flags: none  Version: 5`;
  assert.deepEqual(newestIn(text), { GLIBC: "2.17", GLIBCXX: "3.4.30" });
});
