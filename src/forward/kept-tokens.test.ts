/** Tests of kept-tokens.ts, and of the way of the lists through a batch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { type TokenSet, tokenSet } from "../base/token-set.ts";
import { packExamples } from "../data/packing.ts";
import { completionSlices, toDevice } from "./batch.ts";
import { checkKeptTokens, type KeptTokens, notKept } from "./kept-tokens.ts";

const lists = (...rows: (number[] | null)[]) =>
  rows.map((ids) => (ids === null ? null : Int32Array.from(ids)));

test("lists that are not those of the tokens are refused by place", () => {
  const targets = Int32Array.from([4, 2, 9]);
  checkKeptTokens(lists([1, 4], null, [9]), targets);
  const refused = (kept: KeptTokens, message: RegExp) =>
    assert.throws(() => checkKeptTokens(kept, targets), { name: "ShapeError", message });
  refused(lists([4], null), /^keptTokens: expected 3 sets, one for each token in the loss .* got 2\.$/);
  refused(
    lists([4], [1, 3, 5], null),
    /^keptTokens, token 1: expected token 2, which came, among the 3 kept\./,
  );
  refused(lists([4], null, []), /^keptTokens, token 2: expected token 9, which came, among the 0 kept\./);
  refused(lists([9, 4], null, null), /^keptTokens, token 0: expected ascending ids, got 4 after 9\.$/);
  // as bits: 2 is in the first, 9 is not in the second
  const bits = (...ids: number[]) => tokenSet(Int32Array.from(ids), 10);
  checkKeptTokens([null, bits(1, 2, 3), bits(0, 9)], targets);
  refused(
    [null, null, bits(1, 3, 8)],
    /^keptTokens, token 2: expected token 9, which came, among the 3 kept\./,
  );
});

test("the mask of a part of the vocabulary", () => {
  withoutLeaks(() => {
    const kept = lists([1, 4, 5], null, [0, 9]);
    const maskOf = (start: number, end: number) => notKept(kept, { start, end })?.toNumbers();
    assert.deepEqual(maskOf(0, 4), [1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]);
    assert.deepEqual(maskOf(4, 6), [0, 0, 0, 0, 1, 1]);
    assert.deepEqual(maskOf(9, 10), [1, 0, 0]);
    assert.equal(notKept(lists(null, null), { start: 0, end: 4 }), null);
  });
});

test("the mask of bits is that of the list, in every part", () => {
  withoutLeaks(() => {
    const ids = Int32Array.from({ length: 70 }, (_, i) => i).filter((i) => i % 3 !== 1 && i !== 64);
    const bits = tokenSet(ids, 70);
    assert.ok(bits instanceof Uint8Array);
    for (const columns of [
      { start: 0, end: 70 },
      { start: 0, end: 7 },
      { start: 5, end: 21 },
      { start: 63, end: 70 },
    ]) {
      const maskOf = (set: TokenSet) => notKept([null, set], columns)?.toNumbers();
      assert.deepEqual(maskOf(bits), maskOf(ids), JSON.stringify(columns));
    }
  });
});

test("each slice of a batch has the lists of its own tokens, several groups and masked tokens among them", () => {
  withoutLeaks(() => {
    const origin = { file: "kept-tokens.test.ts", line: 1 };
    const packed = packExamples([
      { origin, promptIds: [3, 7], completions: [{ ids: [12, 5, 2] }, { ids: [6] }] },
      { origin, promptIds: [8], completions: [{ ids: [17, 11, 2], mask: [1, 0, 1] }] },
    ]);
    const kept = lists([12, 20], null, [2], [1, 6], [17], [2, 3]);
    const batch = toDevice(packed, "cpu", kept);
    const slices = completionSlices(batch, 1).map(({ keptTokens }) => keptTokens);
    assert.deepEqual(slices, [kept.slice(0, 4), kept.slice(4)]);
    assert.deepEqual(
      completionSlices(toDevice(packed, "cpu"), 1).map(({ keptTokens }) => keptTokens),
      [null, null],
    );
    assert.throws(() => toDevice(packed, "cpu", kept.slice(1)), /expected 6 sets/);
  });
});
