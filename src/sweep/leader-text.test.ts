import assert from "node:assert/strict";
import { test } from "node:test";
import { leaderText } from "./leader-text.ts";

const setting = (name: string, isTied = false) => ({ name, value: "0.5 [0.4, 0.6]", isTied });

test("the first is the best only where no other can be taken for it", () => {
  assert.equal(leaderText("accuracy", [setting("a"), setting("b")]), "Best by accuracy: a, 0.5 [0.4, 0.6].");
  assert.match(
    leaderText("accuracy", [setting("a"), setting("b"), setting("c", true)]),
    /^No best by accuracy: the first, a, 0\.5 \[0\.4, 0\.6\], cannot be distinguished from c on these pairs/,
  );
  assert.match(
    leaderText("accuracy", [setting("a"), setting("b", true), setting("c", true)]),
    /from b and 1 more/,
  );
});

test("one setting has nothing to be better than; none is said", () => {
  assert.equal(leaderText("accuracy", [setting("a")]), "One setting came to the end: a, 0.5 [0.4, 0.6].");
  assert.equal(leaderText("accuracy", []), "No run came to its end.");
  assert.match(leaderText("gold reward", [], 3), /^No best by gold reward: none of the 3 settings/);
});
