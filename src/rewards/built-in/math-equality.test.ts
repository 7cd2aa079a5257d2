/** Which answers `math` takes for equal. Where TRL's accuracy_reward says otherwise, the case says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inputOf } from "../../../test/support/reward-files.ts";
import { builtInReward } from "./index.ts";

/** Of boxed answers, each with its reference and whether they are equal. */
async function check(cases: readonly [answer: string, reference: string, reward: number][]) {
  const input = inputOf(
    cases.map(([answer]) => `\\boxed{${answer}}`),
    { answer: cases.map(([, reference]) => `$${reference}$`) },
  );
  const got = await builtInReward.math({})(input);
  for (const [i, [answer, reference, reward]] of cases.entries()) {
    assert.equal(got[i], reward, `${answer} | ${reference}`);
  }
}

test("whole numbers and fractions are compared exactly, however long or small", async () => {
  await check([
    ["2^{2009}", "2^{2010}", 0],
    ["2^{1024}", "2^{1025}", 0],
    ["2^{2009}", "2^{2008} + 2^{2008}", 1],
    ["2009!", "2010!", 0],
    ["2010 \\cdot 2009!", "2010!", 1],
    ["\\frac1{2^{2009}}", "\\frac1{2^{1500}}", 0],
    ["0", "\\frac1{2^{50}}", 0],
    ["2^{-50}", "\\frac1{2^{50}}", 1],
    ["(\\frac12)^{100}", "(\\frac13)^{100}", 0],
    ["(\\frac12)^{100}", "2^{-100}", 1],
    ["\\frac1{20!}", "\\frac1{19!}", 0],
    ["2^{100}-1", "2^{100}+1", 0],
    ["2^{60}-1", "2^{60}", 0],
    ["1-\\frac1{2^{50}}", "1", 0],
    ["20!+1", "20!", 0],
    ["20!", "2432902008176640000", 1],
    ["2432902008176600000", "2432902008176640000", 0],
    ["12345678901234567", "12345678901234568", 0],
    ["|-2^{70}|", "2^{70}+1", 0],
    ["\\binom{100}{50}", "\\binom{100}{49}", 0],
    ["\\binom{100}{50}", "\\frac{100!}{(50!)^2}", 1],
    ["(-1)^{10^{30}}", "1", 1],
  ]);
});

test("what float64 cannot hold is not infinite, and not 0", async () => {
  await check([
    ["\\infty", "\\infty", 1],
    ["\\infty", "-\\infty", 0],
    ["\\infty", "2^{2010}", 0],
    ["\\infty", "2^{2010}\\pi", 0],
    ["\\frac10", "\\infty", 0],
    ["\\frac10", "2^{2000}", 0],
    ["2^{2010}\\pi", "2^{2009}\\pi", 0],
    ["2^{2009}\\pi", "2^{2009}\\pi", 1],
    ["0", "e^{-1000}", 0],
    ["0", "2^{-1100}\\pi", 0],
    ["2^{-1100}x", "2^{-1101}x", 0],
    ["\\tan 90^\\circ", "0", 0],
    ["10^{1000000000}", "10^{1000000001}", 0],
    ["10^{1000000000}", "10^{1000000000}", 1],
  ]);
});

test("irrational values are equal within their rounding, which is less the smaller they are", async () => {
  await check([
    ["e^{-40}", "0", 0],
    ["\\sqrt2 \\cdot 10^{-13}", "0", 0],
    ["10^{-13}x", "2 \\cdot 10^{-13}x", 0],
    ["\\sqrt2 \\cdot 2^{-100}", "2^{-99}", 0],
    ["\\sqrt2 \\cdot 2^{-100}", "\\frac{2^{-99}}{\\sqrt2}", 1],
    ["\\sin\\pi", "0", 1],
    ["\\cos 90^\\circ", "0", 1], // TRL: 0
    ["(1+\\sqrt2)^2 - 3 - 2\\sqrt2", "0", 1],
    ["(x+1)^6", "x^6+6x^5+15x^4+20x^3+15x^2+6x+1", 1],
    ["\\sqrt{10^{13}+1}", "\\sqrt{10^{13}}", 0],
    ["(\\sqrt[3]{7})^3", "7", 1],
    // decimals: six of them, and never more than a thousandth of the number
    ["0.333333", "\\frac13", 1],
    ["0.047619", "\\frac1{21}", 1],
    ["1.0000001", "1.0", 1],
    ["0.0", "3.2 \\times 10^{-19}", 0], // TRL: 1
    ["1.6 \\times 10^{-19}", "3.2 \\times 10^{-19}", 0], // TRL: 1
    ["0.32 \\times 10^{-18}", "3.2 \\times 10^{-19}", 1],
  ]);
});

test("a mixed number is a whole number with a fraction behind it, of its sign; in parentheses it is a factor", async () => {
  await check([
    ["2\\frac12", "\\frac52", 1],
    ["-2\\frac{1}{3}", "-\\frac73", 1],
    ["-2\\frac{1}{3}", "-\\frac53", 0],
    ["-1\\frac12", "-1.5", 1],
    ["-1\\frac12", "-0.5", 0],
    ["(-1\\frac12, 2)", "(-1.5, 2)", 1],
    ["2\\frac12\\text{ cm}", "2.5", 1],
    ["3-1\\frac12", "1.5", 1],
    ["2(\\frac13)", "\\frac23", 1],
    ["(2)(\\frac13)", "\\frac23", 1],
    ["2\\left(\\frac13\\right)", "\\frac23", 1],
    ["2\\left(\\frac13\\right)", "\\frac73", 0],
    ["2\\cdot\\frac13", "\\frac23", 1],
  ]);
});

test("what has a value at whole numbers alone is compared there", async () => {
  await check([
    ["n \\cdot (-1)^n", "(-1)^n n", 1],
    ["(-1)^n", "(-1)^{n+2}", 1],
    ["(-1)^n", "(-1)^{n+1}", 0],
    ["(-1)^n", "1", 0],
    ["\\frac12 n!", "\\frac{n!}{2}", 1], // TRL: 0
    ["n!", "(n+1)!", 0],
    ["(n+1)!", "(n+1) n!", 1],
    ["\\binom n2", "\\frac{n(n-1)}2", 1], // TRL: 0
    ["\\binom n2", "\\frac{n(n+1)}2", 0],
    ["\\binom nk", "\\frac{n!}{k!(n-k)!}", 1],
    ["\\binom nk", "\\binom kn", 0],
    ["2^{1100}x", "2^{1101}x", 0],
    ["2^{1100}x", "x 2^{1100}", 1],
    ["\\sqrt{x}^2", "x", 0],
    ["\\sum_{n=1}^3 n", "\\sum_{n=1}^4 n", 0],
    ["i^2", "-1", 0],
  ]);
});

test("a set of one value, however often it is written, is that value", async () => {
  await check([
    ["2", "\\{2\\}", 1],
    ["\\{2\\}", "2", 1],
    ["\\frac12, 50\\%", "0.5", 1],
    ["2, 3", "2", 0],
    ["2", "\\{2, 3\\}", 0],
  ]);
});
