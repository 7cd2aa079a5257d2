/** Sets of tokens: what is put in comes out, in the shorter form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hasBit, idsOf, tokenSet } from "./token-set.ts";

test("the ids come out ascending, of a list as of bits, and no set is longer than an eighth of the vocabulary", () => {
  for (const size of [1, 8, 9, 64, 100, 1000]) {
    for (const step of [1, 2, 7, 33, 40]) {
      const ids = Array.from({ length: Math.ceil(size / step) }, (_, i) => i * step);
      const set = tokenSet(Int32Array.from(ids.toReversed()), size);
      assert.deepEqual(idsOf(set), ids, `${size}, ${step}`);
      assert.ok(set.byteLength <= Math.ceil(size / 8), `${size}, ${step}: ${set.byteLength} bytes`);
    }
  }
});

test("of 64 tokens two are a list, three are bits", () => {
  assert.deepEqual(tokenSet(Int32Array.of(63, 0), 64), Int32Array.of(0, 63));
  assert.deepEqual(tokenSet(Int32Array.of(63, 0, 9), 64), Uint8Array.of(1, 2, 0, 0, 0, 0, 0, 128));
});

test("a list is a copy: what it was made of is used again", () => {
  const room = Int32Array.of(3, 1);
  const set = tokenSet(room, 1000);
  room.fill(0);
  assert.deepEqual(idsOf(set), [1, 3]);
});

test("a bit beyond the end is off", () => {
  assert.deepEqual(
    [0, 7, 8, 800].map((id) => hasBit(Uint8Array.of(129), id)),
    [true, true, false, false],
  );
});
