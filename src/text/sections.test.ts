import assert from "node:assert/strict";
import test from "node:test";

import fc from "fast-check";

import { SectionSplitter } from "./sections.ts";

const pieces = (splitter: SectionSplitter, text: string): string[] =>
  splitter.split(text).map((section) => (section.isAddedToken ? `[${section.text}]` : section.text));

test("splits at added tokens, the longest first", () => {
  const splitter = new SectionSplitter(["<a>", "<a>b", "<c"]);
  assert.deepEqual(pieces(splitter, "x<a>y<a>bz<c"), ["x", "[<a>]", "y", "[<a>b]", "z", "[<c]"]);
  assert.deepEqual(pieces(splitter, ""), []);
  assert.deepEqual(pieces(splitter, "<a><a>"), ["[<a>]", "[<a>]"]);
});

test("a beginning that does not become a token is text", () => {
  assert.deepEqual(pieces(new SectionSplitter(["<aa>"]), "<a<aa<aa>"), ["<a<aa", "[<aa>]"]);
});

test("sections are what a longest-first regular expression finds", () => {
  const tokens = ["ab", "abc", "ca", "aaa"];
  const splitter = new SectionSplitter(tokens);
  const pattern = new RegExp(`(${[...tokens].sort((a, b) => b.length - a.length).join("|")})`);
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "b", "c", "-"), maxLength: 30 }), (text) => {
      const expected = text.split(pattern).filter((part) => part !== "");
      assert.deepEqual(
        splitter.split(text).map((section) => section.text),
        expected,
      );
    }),
  );
});
