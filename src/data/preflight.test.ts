import assert from "node:assert/strict";
import { test } from "node:test";
import { ColumnTally } from "./column-tally.ts";
import type { Example, Trace } from "./example.ts";
import { type DataIssue, describeFindings, FindingList } from "./findings.ts";
import { assertPreflight, type PreflightReport, preflight } from "./preflight.ts";
import { formatPreflight, preflightNotes } from "./preflight-text.ts";
import { rowFaults, type TokenizerFacts } from "./row-checks.ts";
import { lengthBias, tokenStatistics } from "./statistics.ts";

const bos = 1;
const end = 2;
const facts: TokenizerFacts = { vocabSize: 100, bosTokenId: bos, stopIds: new Set([end, 3]) };

let line = 0;

/** A sound pair with a prompt of its own, changed by `change`. */
function pair(change: Partial<Example> = {}): Example {
  line++;
  return {
    origin: { file: "f", line },
    promptIds: [bos, 10 + (line % 80), 11],
    completions: [{ ids: [20, 21, end] }, { ids: [30, 31, end] }],
    ...change,
  };
}

/** Codes of the findings on one odd row among two sound ones, with severities. */
function found(change: Partial<Example>, among: TokenizerFacts = facts): string[] {
  const report = preflight([pair(), pair(change), pair()], null, among);
  return report.findings.map(({ code, severity, rows }) => {
    assert.deepEqual(rows, [`f:${line - 1}`]);
    return `${severity} ${code}`;
  });
}

function onlyFinding(report: PreflightReport): DataIssue {
  const [finding, ...others] = report.findings;
  assert.ok(finding !== undefined && others.length === 0);
  return finding;
}

test("sound rows give no findings", () => {
  const report = preflight([pair(), pair()], [pair()], facts);
  assert.deepEqual(report.findings, []);
  assertPreflight(report);
});

test("each fault of a row is found, by file and line", () => {
  const answers = (...ids: number[][]): Partial<Example> => ({
    completions: ids.map((list) => ({ ids: list })),
  });
  assert.deepEqual(found({ promptIds: [] }), ["error empty_prompt"]);
  assert.deepEqual(found({ promptIds: [bos, bos, 5] }), ["error bos_repeated"]);
  assert.deepEqual(found({ promptIds: [5, 6] }), ["error bos_missing"]);
  assert.deepEqual(found(answers([20, 21], [30, end])), ["error end_missing"]);
  assert.deepEqual(found(answers([20, end, 3], [30, end])), ["error end_repeated"]);
  assert.deepEqual(found(answers([20, end], [20, end])), ["error identical_pair"]);
  assert.deepEqual(found(answers([20, 100, end], [30, end])), ["error id_out_of_range"]);
  assert.deepEqual(found(answers([], [30, end])), ["error empty_answer"]);
  assert.deepEqual(found({ completions: [{ ids: [20, end], mask: [0, 0] }] }), ["error fully_masked"]);
  assert.deepEqual(found({ completions: [{ ids: [20, end], mask: [1, 0] }] }), []);
  // To stop is all that would be learned.
  assert.deepEqual(found({ completions: [{ ids: [20, end], mask: [0, 1] }] }), ["error empty_answer"]);
  assert.deepEqual(found(answers([20, end], [end])), ["error empty_answer"]);
});

test("an end token inside an answer is no repeated end", () => {
  assert.deepEqual(found({ completions: [{ ids: [20, end, 21, end] }, { ids: [30, end] }] }), []);
});

test("truncation, moved boundaries and the encoder's notes are warnings", () => {
  const cut: Trace = { promptTokensCut: 0, answerTokensCut: 4, endsLost: 1 };
  const completions = [{ ids: [20, 21] }, { ids: [30, end] }];
  assert.deepEqual(found({ completions, trace: cut }), ["warning truncated"]);
  // One end was lost to the cut, the other was never there.
  assert.deepEqual(found({ completions: [{ ids: [20] }, { ids: [30] }], trace: cut }), [
    "error end_missing",
    "warning truncated",
  ]);
  assert.deepEqual(found({ completions, trace: cut, referenceLogps: [-1, -2] }), [
    "error reference_of_cut_row",
    "warning truncated",
  ]);
  assert.deepEqual(found({ trace: { boundaryMoved: 1, notes: ["boundary_moved", "double_bos"] } }), [
    "warning boundary_moved",
    "warning double_bos",
  ]);
});

test("ids made elsewhere may do without BOS and end; doubled ones are still errors", () => {
  const trace: Trace = { isPretokenised: true };
  assert.deepEqual(found({ trace, promptIds: [5, 6] }), ["warning bos_missing"]);
  assert.deepEqual(found({ trace, completions: [{ ids: [20] }, { ids: [30] }] }), ["warning end_missing"]);
  assert.deepEqual(found({ trace, promptIds: [bos, bos, 6] }), ["error bos_repeated"]);
});

test("a template that writes no BOS at all is a warning; a tokenizer without one is nothing", () => {
  const rows = [pair({ promptIds: [5, 6] }), pair({ promptIds: [5, 7] })];
  const finding = onlyFinding(preflight(rows, null, facts));
  assert.deepEqual([finding.code, finding.severity, finding.count], ["bos_missing", "warning", 2]);
  assert.deepEqual(preflight(rows, null, { ...facts, bosTokenId: null }).findings, []);
});

test("each fault that invalid_rows: drop leaves out, as the manual lists them, is found in a row alone", () => {
  const cut: Trace = { promptTokensCut: 0, answerTokensCut: 1, endsLost: 0 };
  const good = { ids: [30, end] };
  const faulty: Record<string, Partial<Example>> = {
    empty_prompt: { promptIds: [] },
    empty_answer: { completions: [{ ids: [] }, good] },
    bos_repeated: { promptIds: [bos, bos, 5] },
    end_missing: { completions: [{ ids: [20] }, good] },
    end_repeated: { completions: [{ ids: [20, end, end] }, good] },
    fully_masked: { completions: [{ ids: [20, end], mask: [0, 0] }, good] },
    identical_pair: { completions: [good, good] },
    id_out_of_range: { promptIds: [bos, facts.vocabSize] },
    reference_of_cut_row: { trace: cut, referenceLogps: [-1, -2] },
  };
  for (const [code, change] of Object.entries(faulty))
    assert.deepEqual(rowFaults(pair(change), facts), [code]);
  // the given log-probs are of the answers after the whole prompt
  const cutPrompt = { trace: { ...cut, promptTokensCut: 1, answerTokensCut: 0 }, referenceLogps: [-1, -2] };
  assert.deepEqual(rowFaults(pair(cutPrompt), facts), ["reference_of_cut_row"]);
  // reading and encoding find these, before there are tokens to check
  const sooner = [
    "invalid_row",
    "unencodable",
    "not_rendered",
    "marked_bad",
    "too_long",
    "longer_than_context",
  ];
  const listed = describeFindings().flatMap(({ about, code }) => (about === "row" ? [code] : []));
  assert.deepEqual(listed.toSorted(), [...Object.keys(faulty), ...sooner].toSorted());
  // Whether a missing BOS is a fault is seen from the other rows.
  assert.deepEqual(rowFaults(pair({ promptIds: [5, 6] }), facts), []);
});

test("prompts in both splits are errors, repeated rows warnings", () => {
  const shared = pair();
  const report = preflight(
    [shared, pair()],
    [pair({ promptIds: shared.promptIds, completions: [{ ids: [9, end] }] })],
    facts,
  );
  assert.deepEqual(onlyFinding(report).code, "prompt_in_both_splits");
  assert.throws(
    () => assertPreflight(report),
    /1 row: a prompt in the evaluation that is also trained on.*\[f:\d+\]/,
  );
  const repeated = preflight([shared, { ...shared, origin: { file: "g", line: 5 } }], null, facts);
  assert.deepEqual(onlyFinding(repeated).code, "duplicate_row");
  assert.deepEqual(onlyFinding(repeated).rows, ["g:5"]);
});

test("prompts are compared as they were before they were cut", () => {
  const cut = (promptKey: string): Example =>
    pair({ promptIds: [bos, 50], trace: { promptTokensCut: 3, promptKey } });
  const codes = (a: string, b: string): string[] =>
    preflight([cut(a)], [cut(b)], facts).findings.map(({ code }) => code);
  assert.deepEqual(codes("x", "y"), ["truncated"]);
  assert.deepEqual(codes("x", "x"), ["prompt_in_both_splits", "truncated"]);
});

test("rows far longer than the rest are named", () => {
  const long = pair({ completions: [{ ids: [...Array(400).fill(20), end] }, { ids: [30, end] }] });
  const rows = [...Array.from({ length: 30 }, () => pair()), long];
  const finding = preflight(rows, null, facts).findings.find(({ code }) => code === "very_long_row");
  assert.deepEqual(finding?.rows, [`f:${long.origin.line}`]);
});

test("no rows at all is an error", () => {
  assert.throws(
    () => assertPreflight(preflight([], null, facts)),
    /one kind of error.*\n {2}no rows that can be used/,
  );
});

test("where all rows were dropped, the error says which and why", () => {
  const findings = new FindingList();
  findings.addDropped("too_long", { file: "f", line: 3 }, "; dropped (first: f:3 has 9 tokens)");
  const counts = {
    read: 1,
    dropped: { too_long: 1 },
    notDrawn: 0,
    stoppedAtMaxRows: false,
    lengthLimit: null,
  };
  const loaded = { findings, counts, columns: new ColumnTally().counts() };
  assert.throws(
    () => assertPreflight(preflight([], null, facts, loaded)),
    /one kind of error.*\n {2}no rows that can be used.*\n {2}1 row: longer than max_length; dropped \(first: f:3 has 9 tokens\) \[f:3\]/,
  );
});

test("assertPreflight sums up all errors with rows and remedies, and leaves warnings out", () => {
  const rows = Array.from({ length: 8 }, () =>
    pair({ completions: [{ ids: [20, end] }, { ids: [20, end] }] }),
  );
  const report = preflight([...rows, pair({ promptIds: [] })], null, facts);
  const first = rows[0]?.origin.line ?? 0;
  const named = [0, 1, 2, 3, 4].map((i) => `f:${first + i}`).join(", ");
  assert.throws(() => assertPreflight(report), {
    name: "DataError",
    message:
      "The data has 2 kinds of errors, and nothing was done with it:\n" +
      `  8 rows: the same tokens as chosen and as rejected answer [${named}, ...]. There is nothing to prefer. ` +
      "Fix or remove the rows, or set invalid_rows: drop.\n" +
      `  1 row: a prompt of no tokens [f:${first + 8}]. Give them a prompt. Fix or remove the rows, or set invalid_rows: drop.`,
  });
});

/** A pair whose answers have these numbers of tokens. */
function lengths(chosen: number, rejected: number): Example {
  const ids = (length: number): { ids: number[] } => ({
    ids: [...Array(length - 1).fill(20 + (line % 60)), end],
  });
  return pair({ completions: [ids(chosen), ids(rejected)] });
}

test("length bias: learned on training pairs, measured on evaluation pairs, ties as half", () => {
  const train = [lengths(5, 2), lengths(4, 3), lengths(2, 6), lengths(3, 3)];
  const evaluation = [lengths(9, 2), lengths(2, 3), lengths(4, 4), lengths(5, 4)];
  assert.deepEqual(lengthBias(train, evaluation), {
    pairs: 4,
    chosenLonger: 0.5,
    ties: 0.25,
    predictor: "longer",
    // Right, wrong, tie, right: (1 + 0 + 0.5 + 1) / 4
    heldOutAccuracy: 0.625,
    measuredPairs: 4,
    isOnEvaluation: true,
  });
  // Without evaluation: pairs 0 and 2 teach a tie of +1 and -1 (taken as "longer"): pairs 1 and 3 give 1 and 0.5.
  // Pairs 1 and 3 teach "longer": pairs 0 and 2 give 1 and 0. Together 2.5 of 4.
  assert.equal(lengthBias(train, [])?.heldOutAccuracy, 0.625);
  assert.equal(lengthBias([pair({ completions: [{ ids: [5, end] }] })], []), null);
  const shorter = lengthBias([lengths(2, 5), lengths(2, 4)], [lengths(2, 9)]);
  assert.deepEqual([shorter?.predictor, shorter?.heldOutAccuracy], ["shorter", 1]);
});

test("a bias worth knowing is a warning without rows", () => {
  const finding = onlyFinding(
    preflight(
      [lengths(5, 2)],
      Array.from({ length: 4 }, () => lengths(9, 4)),
      facts,
    ),
  );
  assert.equal(finding.code, "length_bias");
  assert.match(finding.message, /"the longer one is chosen" is right for 100\.0 % of the evaluation pairs/);
  assert.deepEqual(finding.rows, []);
  // Three of three could be chance.
  const few = preflight(
    [lengths(5, 2)],
    Array.from({ length: 3 }, () => lengths(9, 4)),
    facts,
  );
  assert.deepEqual(few.findings, []);
});

test("token statistics by hand", () => {
  const rows = [lengths(2, 4), lengths(4, 8), { ...lengths(6, 3), promptIds: [1, 5] }];
  rows.push(pair({ completions: [{ ids: [5, 6, end], mask: [0, 1, 1] }] }));
  const prompt = { min: 2, mean: 11 / 4, p95: 3, max: 3 };
  assert.deepEqual(tokenStatistics(rows), {
    rows: 4,
    prompt,
    chosen: { min: 2, mean: 15 / 4, p95: 6, max: 6 },
    rejected: { min: 3, mean: 5, p95: 8, max: 8 },
    // Prompts 11, answers 15 + 15; packed: each of the seven answers has one input less.
    totalTokens: 41,
    packedTokens: 34,
    lossTokens: 29,
  });
  const many = Array.from({ length: 100 }, (_, i) => lengths(i + 2, 2));
  assert.equal(tokenStatistics(many).chosen.p95, 96);
});

test("for logs: the columns and the warnings, a line each", () => {
  const row = pair();
  const report = preflight([row, row], null, facts);
  report.columns = { rows: 4, used: { prompt: 4, chosen: 4, rejected: 4 }, passedOver: { id: 3, "": 4 } };
  const [columns, ...warnings] = preflightNotes(report);
  assert.equal(columns, 'columns used: prompt, chosen, rejected; passed over: id (3 of 4 rows), ""');
  assert.deepEqual(warnings.length, report.findings.filter(({ severity }) => severity === "warning").length);
  assert.ok(
    warnings.some((line) =>
      /^warning: 1 row: the same tokens as an earlier row.* \[.+\]\. Remove/.test(line),
    ),
    warnings.join("\n"),
  );
});

test("the text for the terminal is aligned, names rows and shows no text", () => {
  line = 0;
  const report = preflight([lengths(12, 4), lengths(1200, 8)], null, facts, undefined);
  report.counts = {
    ...report.counts,
    read: 1234,
    dropped: { too_long: 7 },
    notDrawn: 3,
    stoppedAtMaxRows: true,
  };
  report.findings = [
    {
      code: "identical_pair",
      severity: "error",
      count: 7,
      rows: ["f:1", "f:2"],
      message: "equal",
      remedy: "Fix.",
    },
  ];
  assert.equal(
    formatPreflight(report),
    [
      "rows read                 1,234 (stopped at max_train_rows or max_eval_rows)",
      "used for training         2",
      "used for evaluation       0",
      "not drawn by the mixture  3",
      "dropped: too_long         7",
      "columns used              none",
      "columns passed over       none",
      "",
      "tokens             min   mean    p95    max",
      "training prompt      3    3.0      3      3",
      "training chosen     12  606.0  1,200  1,200",
      "training rejected    4    6.0      8      8",
      "training total: 1,230 tokens, 1,226 as packed input, 1,224 in the loss",
      "",
      "chosen answer longer in 100.0 % of training pairs, equally long in 0.0 %",
      'accuracy from length alone ("longer"): 100.0 % on training pairs, crossed halves',
      "",
      "error    7 rows: equal (identical_pair)",
      "         f:1, f:2, ...",
      "         Fix.",
      "1 error, 0 warnings",
    ].join("\n"),
  );
});
