/** The built-in rewards, against TRL's (test/goldens/rewards.json) and values worked out by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { golden } from "../../../test/support/goldens.ts";
import { inputOf } from "../../../test/support/reward-files.ts";
import type { BuiltInReward, RewardOptions } from "../../config/reward-specs.ts";
import { builtInReward } from "./index.ts";

interface Goldens {
  accuracy: { reference: string; completion: string; reward: number | null }[];
  think_format: { completion: string; reward: number }[];
  repetition: { ids: number[]; ngram_size: number; reward: number }[];
  overlong: { length: number; max_completion_length: number; soft_punish_cache: number; reward: number }[];
}

const { accuracy, think_format: thinkFormat, repetition, overlong } = golden<Goldens>("rewards");

/** Of texts, with the reference of each where there is one. */
async function score(name: BuiltInReward, options: RewardOptions, rows: readonly [string, unknown?][]) {
  const references = rows.map(([, reference]) => reference);
  const input = inputOf(
    rows.map(([text]) => text),
    { answer: references, solution: references },
  );
  return await builtInReward[name](options)(input);
}

/** Of token ids. */
async function scoreIds(name: BuiltInReward, options: RewardOptions, ids: readonly number[]) {
  const [value] = await builtInReward[name](options)({ ...inputOf([""]), completion_ids: [ids] });
  return value;
}

/** Where TRL gives 0: it multiplies the parts of a mixed number, and takes two boxes for one answer of two parts. */
const differs: readonly string[] = ["\\boxed{2\\frac12}", "first \\boxed{3}, then \\boxed{4}"];

test("accuracy gives what TRL's accuracy_reward gives", async () => {
  const got = await score(
    "accuracy",
    {},
    accuracy.map(({ completion, reference }) => [completion, reference]),
  );
  const different = accuracy.filter(({ reward }, i) => got[i] !== reward);
  assert.deepEqual(
    different.map(({ completion }) => completion),
    differs,
  );
});

test("think_format, repetition and overlong give what TRL's functions give", async () => {
  assert.deepEqual(
    await score(
      "think_format",
      {},
      thinkFormat.map(({ completion }) => [completion]),
    ),
    thinkFormat.map(({ reward }) => reward),
  );
  for (const { ids, reward, ...options } of repetition) {
    const got = await scoreIds("repetition", options, ids);
    // one rounding apart: a fraction of repeated n-grams, or 1 less that of the others
    assert.ok(Math.abs((got ?? Number.NaN) - reward) < 1e-15, JSON.stringify({ ids, options, got }));
  }
  for (const { length, reward, ...options } of overlong) {
    const ids = Array.from({ length }, () => 1);
    assert.equal(await scoreIds("overlong", options, ids), reward, JSON.stringify({ length, options }));
  }
});

test("overlong punishes in the last fifth unless another part is given", async () => {
  const at = async (length: number) =>
    await scoreIds(
      "overlong",
      { max_completion_length: 50 },
      Array.from({ length }, () => 1),
    );
  assert.deepEqual([await at(40), await at(45), await at(50), await at(51)], [0, -0.5, -1, -1]);
});

/** Rows end in two backslashes with a space behind them, as most people write it. */
const matrix = "\\begin{pmatrix} -1/3 \\\\ 2/3 \\\\ 5/3 \\end{pmatrix}";

test("math takes the last formula or number too, and finds equal forms", async () => {
  const cases: [string, string | number | bigint, number | null][] = [
    ["We get $4$.", "4", 1],
    ["so it is 12", 12, 1],
    ["so it is 12", "#### 13", 0],
    ["\\frac{2}{4}", "\\frac12", 1],
    ["x = 5 \\text{ or } x = 6", "\\{5, 6\\}", 1],
    ["\\boxed{2 \\pm \\sqrt{3}}", "$2+\\sqrt3, 2-\\sqrt3$", 1],
    ["\\boxed{3 > x}", "$x < 3$", 1],
    ["\\boxed{x \\in [1, 2)}", "$[1,2)$", 1],
    ["\\boxed{[1, 2]}", "$[1,2)$", 0],
    ["\\boxed{\\sin^2 x + \\cos^2 x}", "1", 1],
    ["\\boxed{\\sin 30^\\circ}", "\\frac12", 1],
    ["\\boxed{\\text{Even}}", "\\text{even}", 1],
    ["\\boxed{\\text{A}}", "A", 1],
    ["\\boxed{\\textbf{(A)}}", "A", 1],
    ["\\boxed{\\mathrm{(B)}}", "A", 0],
    ["\\boxed{A}", "\\textbf{(A)}", 1],
    ["\\boxed{\\text{B.}}", "(B)", 1],
    ["\\boxed{\\text{A, B}}", "A", 0],
    ["\\boxed{\\text{5.5}}", "5.5", 1],
    ["\\boxed{\\text{5.5}}", "55", 0],
    ["\\boxed{5\\text{ A}}", "A", 0],
    ["\\boxed{0.\\overline{3}}", "\\frac13", 1],
    ["\\boxed{\\$1,234.50}", "1234.5", 1],
    ["\\boxed{y = 2x + 1}", "$2x + 1 = y$", 1],
    ["\\boxed{1000000001}", "1000000002", 0],
    ["\\boxed{\\frac{x^2-1}{x-1}}", "$x+1$", 1],
    ["\\boxed{\\ln(e^2)}", "2", 1],
    ["\\boxed{\\binom{5}{2}}", "10", 1],
    // a reference is a formula without dollars too, and never its last number
    ...["3xy+2", "2ab", "16ab+7", "2\\cos(xy)+1", "ab+bc+ca", matrix].map(
      (latex): [string, string, number] => [`\\boxed{${latex}}`, latex, 1],
    ),
    ["\\boxed{2}", "3xy+2", 0],
    ["\\boxed{7}", "16ab+7", 0],
    ["\\boxed{3}", matrix, 0],
    [`\\boxed{${matrix.replaceAll(" ", "")}}`, matrix, 1],
    ["\\boxed{12}", "so it is 12 cm", 1],
    ["\\boxed{30}", "Therefore 30", 1],
    // prices are no formulas
    ["It costs $5 at first, then $18 in all.", "18", 1],
    ["so the total is $20 + $30 = $50.", "50", 1],
    ["She has $5 and he has $18", "18", 1],
    ["She has \\$5 and he has \\$18", "18", 1],
    ["It costs $5 and $x = 18$.", "18", 1],
    ["So 5$ and 13$ make 18", "18", 1],
    ["**18**", "18", 1],
    ["\\boxed{3}", "$3", 1],
    ["\\boxed{4}", "$3", 0],
    ["It is $ 18 $.", "18", 1],
    ["It is $18 $.", "18", 1],
    ["It is $\\$18$.", "18", 1],
    // formulas with "and", "or" or a comma between them are one
    ["\\boxed{2,3}", "$2$ and $3$", 1],
    ["\\boxed{3}", "$2$ and $3$", 0],
    ["\\boxed{2,3}", "$x=2$ or $x=3$", 1],
    ["so we get $x = 2,$ and $x = 3$.", "\\{2, 3\\}", 1],
    ["Since $x > 2$ and it is odd, $x = 3$.", "3", 1],
    ["It is $\\frac12$ or $50\\%$.", "0.5", 1],
    ["It is $\\frac12$ or $60\\%$.", "0.5", 0],
    // a number that a reference announces; TRL does not read this fraction
    ["\\boxed{\\frac12}", "The answer is 1/2.", 1],
    ["\\boxed{1234}", "Answer: **1,234**, not 17", 1],
    ["\\boxed{7}", "The answer is 2 + 5 = 7", 1],
    [
      "\\[ \\begin{pmatrix} 1 \\\\[2pt] 2 \\end{pmatrix} \\]",
      "\\begin{pmatrix} 1 \\\\[2pt] 2 \\end{pmatrix}",
      1,
    ],
    ["It is \\(3 or rather \\(4\\).", 4, 1],
    // what is surely LaTeX is never its last number
    ["\\boxed{5}", "$\\frac{5$", null],
    ["\\boxed{5}", "It is $3$, so $\\frac{5}{$.", null],
    // every digit of a number counts
    ["so it is 12345678901234567", "12345678901234568", 0],
    ["so it is 12345678901234567", "so 12345678901234567 it is", 1],
    ["\\boxed{6.02 \\times 10^{23}}", 6.02e23, 1],
    ["so it is 12345678901234567", 12345678901234568n, 0],
    ["so it is 12345678901234568", 12345678901234568n, 1],
    ["\\boxed{10^{-7}}", 1e-7, 1],
    ["no number at all", "4", 0],
    ["4", "no number at all", null],
    ["4", "\\frac{", null],
  ];
  const got = await score(
    "math",
    {},
    cases.map(([text, reference]) => [text, reference]),
  );
  for (const [i, [text, reference, expected]] of cases.entries()) {
    assert.equal(got[i], expected, `${reference} | ${text}`);
  }
});

test("a formula that would take for ever, or all the stack, is compared at once", async () => {
  const hard = [
    "9^{9^{9^{9^9}}}",
    "10^{1000000000}",
    "100000000!",
    "\\sum_{n=1}^{1000000000} n",
    "\\int_0^1 x^x dx",
    "{".repeat(900),
    `${"\\frac{1}{".repeat(90)}1${"}".repeat(90)}`,
    "(".repeat(900),
    "x".repeat(999),
    "\\left(".repeat(150),
    "1".repeat(5000),
    "\\sqrt".repeat(190),
  ];
  const rows = hard.map((latex): [string, unknown] => [`\\boxed{${latex}}`, "7"]);
  assert.deepEqual(
    await score("math", {}, rows),
    hard.map(() => 0),
  );
});

test("a long text with many formulas that never close, or that are one, is read at once", async () => {
  const parts = ["$5 ", "$1$,", "answer $ 5 $", "answer [ ", "\\(1", "\\[1", "$\\$", "-\\frac{1"];
  const rows = parts.map((part): [string, unknown] => [part.repeat(50_000), "7"]);
  assert.deepEqual(
    await score("math", {}, rows),
    parts.map(() => 0),
  );
});

test("number compares the last numbers, within the tolerance", async () => {
  const cases: [string, unknown, number | null][] = [
    ["It is 18.", 18, 1],
    ["18 and then 19", "18", 0],
    ["5 + 3 = 8", "work\n#### 8", 1],
    ["10-5", 5, 1],
    ["it is -5", -5, 1],
    ["it is −5", -5, 1],
    ["1,234,567.5 in all", 1234567.5, 1],
    ["1, 2", 2, 1],
    ["it is 1,250, I think", 1250, 1],
    ["it is 1,250, I think", 250, 0],
    ["1,234,567, right", "#### 1,234,567,", 1],
    ["1,000,2", 2, 1],
    ["2.50", "2.5", 1],
    ["6.02e23", 6.02e23, 1],
    ["costs $.5", 0.5, 1],
    ["none", 1, 0],
    ["1", "none", null],
    ["1", null, null],
    ["3", [1, 2, 3], 1],
    ["x2", 2, 1],
    // every digit of a whole number counts
    ["12345678901234567891", 12345678901234567890n, 0],
    ["It is 12,345,678,901,234,567,890.", 12345678901234567890n, 1],
    ["12345678901234567891", "#### 12345678901234567890", 0],
    ["0.0000001", 1e-7, 1],
    ["1", Number.NaN, null],
  ];
  const rows = cases.map(([text, reference]): [string, unknown] => [text, reference]);
  assert.deepEqual(
    await score("number", {}, rows),
    cases.map(([, , reward]) => reward),
  );
  const near: [string, unknown][] = [
    ["4.14", 4.1416],
    ["4.1", 4.1416],
  ];
  assert.deepEqual(await score("number", { tolerance: 0.01 }, near), [1, 0]);
});

test("exact and regex: a number is itself however it is spelled, a text only as it is", async () => {
  const cases: [string, unknown, number | null][] = [
    ["18", 18, 1],
    [" 18.0\n", 18, 1],
    ["18.5", 18, 0],
    ["It is 18", 18, 0],
    ["", 0, 0],
    ["2.50", 2.5, 1],
    ["1e-7", 1e-7, 1],
    ["0.0000001", 1e-7, 1],
    ["1e+21", 1e21, 1],
    ["12345678901234567890", 12345678901234567890n, 1],
    ["12345678901234567891", 12345678901234567890n, 0],
    ["3", ["two", 3], 1],
    ["18.0", "18", 0],
    ["18", Number.NaN, null],
  ];
  const rows = cases.map(([text, reference]): [string, unknown] => [text, reference]);
  const expected = cases.map(([, , reward]) => reward);
  assert.deepEqual(await score("exact", {}, rows), expected);
  assert.deepEqual(await score("regex", { pattern: "^[^]*$", column: "answer" }, rows), expected);
});

test("json parses, alone or in one code block, and fits the schema", async () => {
  const schema = {
    type: "object",
    properties: { age: { type: "integer", minimum: 0 } },
    required: ["age"],
    additionalProperties: false,
  };
  const rows: [string][] = [
    ['{"age": 3}'],
    ['```json\n{"age": 3}\n```'],
    [' {"age": -3}\n'],
    ['{"age": 3, "name": "x"}'],
    ['Here: {"age": 3}'],
    ["[".repeat(100_000)],
    ["3"],
    [""],
  ];
  assert.deepEqual(await score("json", { schema }, rows), [1, 1, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(await score("json", {}, rows), [1, 1, 1, 1, 0, 0, 1, 0]);
});

test("regex finds, or finds the reference", async () => {
  const rows: [string, unknown][] = [
    ["Answer: B", "B"],
    ["answer: b", "B"],
    ["nothing", "B"],
    ["Answer: C", null],
  ];
  assert.deepEqual(await score("regex", { pattern: "^answer: \\w$", flags: "i" }, rows), [1, 1, 0, 1]);
  assert.deepEqual(await score("regex", { pattern: "Answer: (\\w)", column: "answer" }, rows), [
    1,
    0,
    0,
    null,
  ]);
});
