/** TRL is asked again: its trainers' losses and gradients on the batches of test/fixtures/online, whose numbers our tests hold to. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { assertClose } from "../support/close.ts";
import { type GoldenLoss, onlineFamilies, onlineLosses } from "../support/online-fixtures.ts";
import { peersPython, skipWithoutTrl } from "../support/peers.ts";

interface Answer extends GoldenLoss {
  name: string;
}

for (const family of onlineFamilies) {
  test(`${family}: TRL's GRPO, RLOO and OnlineDPO give the fixture's losses and gradient norms`, {
    skip: skipWithoutTrl(),
  }, () => {
    const program = join(import.meta.dirname, "check_online.py");
    const fixtures = join(import.meta.dirname, "../fixtures");
    const { status, stdout, stderr } = spawnSync(peersPython() ?? "", [program, fixtures, family], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    const answers: Answer[] = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    const { grpo, rloo, online_dpo } = onlineLosses(family);
    const cases = [...grpo, ...rloo, ...online_dpo];
    assert.deepEqual(
      answers.map(({ name }) => name),
      cases.map((one) => one.case),
    );
    for (const [i, { loss, grad_norm }] of answers.entries()) {
      const wanted = cases[i]?.float64 ?? assert.fail();
      assertClose(loss, wanted.loss, { atol: 1e-6, rtol: 5e-5 });
      assertClose(grad_norm, wanted.grad_norm, { rtol: 1e-4 });
    }
  });
}
