import assert from "node:assert/strict";
import { test } from "node:test";
import { recordedCommand } from "./called-as.ts";

test("the command in a report can be pasted into a shell", () => {
  const { argv } = process;
  process.argv = ["node", "main.ts", "sweep", "my sweep.yaml", "--output", "it's $HOME"];
  try {
    assert.equal(recordedCommand(), "preftune sweep 'my sweep.yaml' --output 'it'\\''s $HOME'");
  } finally {
    process.argv = argv;
  }
});
