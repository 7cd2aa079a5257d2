/** What a tool wrote inside an answer counts nowhere: not in sums, not in lengths, not in the loss of any objective. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { dpo } from "../../src/methods/dpo/loss.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import { score } from "../../src/recipes/score.ts";
import { assertClose } from "../support/close.ts";
import { makeTinyModel } from "../support/tiny-model.ts";

const output = "20 degrees, says the thermometer on the north side of the house";
const row = (result: string) => ({
  prompt: [{ role: "user", content: "How warm?" }],
  chosen: [
    { role: "assistant", content: "I look." },
    { role: "tool", content: result },
    { role: "assistant", content: "It is 20." },
  ],
  rejected: [{ role: "assistant", content: "No idea." }],
});

// The toy tokenizer merges none of this: a token a byte, and one for each end of turn.
const own = { chosen: "I look.".length + "It is 20.".length + 2, rejected: "No idea.".length + 1 };
const between =
  "\n".length + 1 + "tool\n".length + output.length + 1 + "\n".length + 1 + "assistant\n".length;

const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;

test("scores, lengths and losses are those of the assistant's tokens alone", async () => {
  const directory = mkdtempSync(join(tmpdir(), "preftune-masks-"));
  try {
    const model = makeTinyModel(join(directory, "model"));
    const data = join(directory, "rows.jsonl");
    const { prompt, chosen, rejected } = row(output);
    writeFileSync(data, `${JSON.stringify({ prompt, chosen: rejected, rejected: chosen })}\n`);
    const ask = { ...machine, model, data, perToken: true };
    // The stabiliser alone: its mean is over the N_l rejected tokens.
    const stabiliser = { lambda_w: 0, lambda_d: 0, margin_hard: 1, margin_soft: 1, kappa: 1 };
    const objective = slime({ ...stabiliser, lambda_l: 1, delta: 0.5, power: 2 });
    const masked = await score({ ...ask, objective });
    const all = await score({ ...ask, selection: { mask_tool_output: false } });
    const [mine] = masked.rows;
    const [whole] = all.rows;
    assert.ok(mine !== undefined && whole !== undefined);
    assert.equal(mine["num_tokens/rejected"], own.chosen);
    assert.equal(mine["num_tokens/chosen"], own.rejected);
    // TRL's DPO counts all that stands behind the prompt, and the newline behind the last end of turn.
    assert.equal(whole["num_tokens/rejected"], own.chosen + between);
    assert.equal(masked.objective?.metrics["lengths/rejected"], own.chosen);
    assert.equal(masked.preflight.train.lossTokens, own.chosen + own.rejected);
    const first = "I look.".length + 1;
    const tokens = whole["token_logps/rejected"] ?? [];
    const learned = mine["token_logps/rejected"] ?? [];
    assertClose(learned, [...tokens.slice(0, first), ...tokens.slice(first + between)], { atol: 1e-5 });
    const sum = learned.reduce((total, logp) => total + logp, 0);
    assert.ok(Math.abs(sum - (mine["logps/rejected"] ?? 0)) < 1e-3);
    const terms = learned.map((logp) => Math.log1p(Math.exp(-logp - 0.5)) ** 2);
    const mean = terms.reduce((total, term) => total + term, 0) / terms.length;
    assert.ok(Math.abs((masked.objective?.loss ?? 0) / mean - 1) < 1e-5);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a reference pass skips what the policy's pass skips", async () => {
  const directory = mkdtempSync(join(tmpdir(), "preftune-masks-"));
  try {
    const model = makeTinyModel(join(directory, "model"));
    const data = join(directory, "rows.jsonl");
    writeFileSync(data, `${JSON.stringify(row(output))}\n`);
    const objective = dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" });
    const result = await score({ ...machine, model, data, objective, reference: model });
    assert.ok(Math.abs((result.objective?.loss ?? 0) - Math.LN2) < 1e-6);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
