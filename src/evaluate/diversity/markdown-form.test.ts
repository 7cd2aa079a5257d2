import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuMs } from "../../../test/support/cpu-time.ts";
import { type FormFault, formOf } from "./markdown-form.ts";

function faults(text: string, isCut = false): FormFault[] {
  return [...formOf(text, isCut).faults].sort();
}

/** [what, text, faults] */
type Case = [string, string, FormFault[]];

const cases: Case[] = [
  ["plain text", "Just words. 5 * 3 = 15, a_b, it's 2**10 and 3 | 4.", []],
  ["closed fence", "See:\n```python\nx = `**`\n1. no\n3. list\n```\ndone", []],
  ["open fence", "See:\n```python\nx = 1", ["fence"]],
  ["a fence closes with its own sign and length only", "~~~~\n```\n~~~\n", ["fence"]],
  ["a longer run closes", "```\ncode\n`````", []],
  ["a fence inside a list item", "1. run\n   ```\n   ls\n   ```\n2. look", []],
  ["numbers in order", "1. a\n2. b\n3. c", []],
  ["a skipped number", "1. a\nb\n3. c", ["numbering"]],
  ["a repeated number after others", "1. a\n2. b\n2. c", ["numbering"]],
  ["all the same number", "1. a\n1. b\n1. c", []],
  ["level, then counting", "1. a\n1. b\n2. c", ["numbering"]],
  ["a list that begins late", "2. b\n3. c", ["numbering"]],
  ["from nought", "0) a\n1) b", []],
  ["going back without text between", "1. a\n2. b\n\n1. c", ["numbering"]],
  ["two lists with text between", "1. a\n2. b\n\nAnd:\n\n1. c\n2. d", []],
  ["a list that goes on after code", "1. a\n```\nx\n```\n2. b", []],
  ["nested lists count for themselves", "1. a\n   1. x\n   2. y\n2. b\n   1. z\n3. c", []],
  ["a nested list out of order", "1. a\n   1. x\n   3. y\n2. b", ["numbering"]],
  ["bullets under numbers", "1. a\n   - x\n   - y\n2. b", []],
  ["a year that begins a line", "1984. That was the year.", []],
  ["an empty bullet", "- a\n-\n- c", ["list_item"]],
  ["an empty number", "1. a\n2.", ["list_item"]],
  ["no space after the number", "1.Holm\n2.Isk", ["list_item"]],
  ["decimals are no items", "1.5 litres\n2.25 litres", []],
  ["headings", "# A\n\n## B\ntext\n### C ###", []],
  ["no space after the signs", "##Title", ["heading"]],
  ["one sign is a tag", "#tag and more", []],
  ["seven signs", "####### Title", ["heading"]],
  ["an empty heading", "##\ntext", ["heading"]],
  ["strong", "**a** and __b__ and ***c***.", []],
  ["strong over two lines", "**a\nb** c", []],
  ["open strong", "This is **very important.", ["emphasis"]],
  ["a partner in the next paragraph is none", "**a\n\nb** c", ["emphasis"]],
  ["each item for itself", "- **a\n- b** c", ["emphasis"]],
  ["strong inside a word closes", "**bold**text", []],
  ["closed after punctuation, before a word: not read as closed", "**Note:**text", ["emphasis"]],
  ["dunder names", "call __init__ and foo__bar", []],
  ["escaped signs", "\\*\\*kwargs and \\`", []],
  ["in code", "`**kwargs`", []],
  ["a ruler", "a\n\n***\n\n_____\n\nb", []],
  ["stars for a hidden word", "what the ****", []],
  ["code span", "run `ls` or ``a`b``", []],
  ["open code span", "run `ls now", ["code_span"]],
  ["unequal runs", "``a` b", ["code_span"]],
  ["table", "| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | x \\| y |", []],
  ["table without a frame", "a | b\n--- | ---\n1 | 2", []],
  ["ragged row", "| a | b |\n|---|---|\n| 1 |", ["table"]],
  ["ragged rule", "| a | b |\n|---|\n| 1 | 2 |", ["table"]],
  ["rows without a rule", "| a | b |\n| 1 | 2 |", ["table"]],
  ["open strong in a cell", "| a |\n|---|\n| **b |\n", ["emphasis"]],
  ["several at once", "##A\n1. x\n3. **y\n```", ["emphasis", "fence", "heading", "numbering"]],
  ["Windows line ends", "1. a\r\n2. b\r\n", []],
  ["nothing", "", []],
];

for (const [what, text, expected] of cases) {
  test(`form: ${what}`, () => assert.deepEqual(faults(text), expected));
}

test("of a cut answer, the last line and what is open at the end are not held against it", () => {
  const open: [string, FormFault][] = [
    ["```\ncode", "fence"],
    ["Look at **this", "emphasis"],
    ["Run `ls", "code_span"],
    ["1. a\n2.", "list_item"],
    ["| a | b |\n|---|---|\n| 1", "table"],
    ["a **b\nc", "emphasis"],
  ];
  for (const [text, fault] of open) {
    assert.deepEqual(faults(text), [fault]);
    assert.deepEqual(faults(text, true), [], text);
  }
  assert.deepEqual(faults("1. a\n3. b\n4. c", true), ["numbering"]);
  assert.deepEqual(faults("**a\n\nb\n\nc", true), ["emphasis"]);
});

test("hostile lines take no long time", () => {
  const n = 100_000;
  const took = cpuMs(() => {
    for (const line of [
      `${" ".repeat(n)}|x`,
      `-${" ".repeat(n)}x`,
      "`a``".repeat(n / 10),
      "**a ".repeat(n / 4),
      "-".repeat(n),
      "|".repeat(n),
    ]) {
      formOf(`${line}\n${line}\n`, false);
    }
  });
  assert.ok(took < 5000);
});

test("formatted answers are told from plain ones", () => {
  const isFormatted = (text: string): boolean => formOf(text, false).isFormatted;
  for (const text of ["- a", "1. a", "# a", "```\n```", "**a**", "`a`", "|a|\n|-|"])
    assert.ok(isFormatted(text), text);
  for (const text of ["a", "a - b", "5 * 3", "a | b", ""]) assert.ok(!isFormatted(text), text);
});
