/** Every option of TRL's, transformers' and PEFT's classes is a key here, or is refused with what to write instead. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { isConfigKey } from "../../src/config/keys.ts";
import { adviceOnName } from "../../src/config/other-names.ts";
import { peersPython, skipWithoutTrl } from "../support/peers.ts";

const program = `
import dataclasses, json
import peft, transformers, trl
from trl.experimental.async_grpo import AsyncGRPOConfig
from trl.experimental.cpo import CPOConfig
from trl.experimental.online_dpo import OnlineDPOConfig
from trl.experimental.orpo import ORPOConfig
classes = [
    transformers.TrainingArguments, peft.LoraConfig, trl.ModelConfig, trl.ScriptArguments, trl.DPOConfig, trl.SFTConfig, trl.KTOConfig,
    trl.GRPOConfig, trl.RLOOConfig, trl.RewardConfig, CPOConfig, ORPOConfig, OnlineDPOConfig, AsyncGRPOConfig,
]
print(json.dumps(sorted({field.name for one in classes for field in dataclasses.fields(one)})))
`;

test("no option of the installed TRL is unknown without a reason", { skip: skipWithoutTrl() }, () => {
  const { status, stdout, stderr } = spawnSync(peersPython() ?? "", ["-c", program], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const names: string[] = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  assert.ok(names.length > 250, `${names.length}`);
  assert.deepEqual(
    names.filter((name) => !isConfigKey(name) && adviceOnName(name) === null),
    [],
  );
});
