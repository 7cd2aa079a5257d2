/** Child program, `islands-child.ts DIR`: the quick start's rows and its SFT model, as DIR/{train,eval}.jsonl and DIR/sft/model. */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runStage } from "../../src/quickstart/stage.ts";
import { fullSize } from "../../src/toy/sizes.ts";
import { makeData, tokenizerText } from "../../src/toy/toy-data.ts";
import { writeToyData } from "../../src/toy/toy-files.ts";

const seed = 1;

async function write(dir: string): Promise<void> {
  const staging = `${dir}.new`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const pathOf = (name: string): string => join(staging, name);
  const data = makeData({ ...fullSize.data, seed });
  writeToyData(staging, data);
  const values = {
    ...fullSize.sft,
    ...{ output_dir: pathOf("sft"), objective: "sft", seed, model_name_or_path: pathOf("base") },
    train_data: pathOf("sft.jsonl"),
  };
  const base = { shape: fullSize.shape, text: tokenizerText(data) };
  await runStage({ config: { values }, base, heldOut: pathOf("eval.jsonl"), answersPerPrompt: 1 }, () => {});
  renameSync(staging, dir);
}

await write(process.argv[2] ?? "");
