/** Kinds of configuration files that must be refused. */
import { ConfigError, type PreftuneError } from "../../src/base/errors.ts";

/** A configuration file that is wrong. */
export interface BadConfig {
  kind: string;
  /** The file's text. It follows the keys of a good one where `whole` is not set. */
  text: string;
  whole?: boolean;
  error: new (message: string) => PreftuneError;
  says: RegExp[];
}

function config(kind: string, text: string, says: RegExp[]): BadConfig {
  return { kind, text, error: ConfigError, says };
}

/** Anchors that refer to each other, nine levels deep: a thousand million words when written out. */
const bomb: string = [
  "a: &a [x, x, x, x, x, x, x, x, x, x]",
  ..."bcdefghi".split("").map((name, i) => {
    const before = "abcdefgh"[i];
    return `${name}: &${name} [${Array.from({ length: 10 }, () => `*${before}`).join(", ")}]`;
  }),
  "run_name: *i",
].join("\n");

/** Configurations. The good keys take up the first four lines. */
export const badConfigs: BadConfig[] = [
  config("unknown key", "learning_rat: 1e-4", [
    /run\.yaml:5/,
    /unknown key/i,
    /Did you mean "?learning_rate/,
  ]),
  config("value of the wrong type", "learning_rate: fast", [
    /run\.yaml:5/,
    /learning_rate: expected a number/,
    /fast/,
  ]),
  config("value out of range", "lora_dropout: 1.5\nuse_peft: true", [
    /run\.yaml:5/,
    /lora_dropout: expected .*below 1/,
    /1\.5/,
  ]),
  config("value of no choice", "objective: exo", [/run\.yaml:5/, /objective: expected .*slime.*dpo/, /exo/]),
  config("fraction of a step", "max_steps: 2.5", [
    /run\.yaml:5/,
    /max_steps: expected -1 .*or a whole number/,
    /2\.5/,
  ]),
  config("number that is none", "learning_rate: .nan", [/run\.yaml:5/, /learning_rate/, /NaN/i]),
  {
    ...config("required key missing", "model_name_or_path: m\noutput_dir: o\n", [
      /train_data/,
      /missing|required|must be given/,
    ]),
    whole: true,
  },
  config("keys that contradict each other", "eval_data: held.jsonl\neval_fraction: 0.1", [
    /eval_fraction: eval_data is given too/,
    /Keep one/,
  ]),
  config("key of another objective", "objective: dpo\nlambda_w: 0.1", [
    /run\.yaml:6/,
    /lambda_w/,
    /slime/,
    /take it out/,
  ]),
  config("LoRA key in full tuning", "lora_r: 8", [/run\.yaml:5/, /lora_r/, /use_peft: true/]),
  config("preset of another objective", "objective: simpo\npreset: paper", [
    /run\.yaml:6/,
    /preset/,
    /authors/,
  ]),
  config("key given twice", "seed: 1\nseed: 2", [/run\.yaml/, /unique/]),
  config("output over the model", "", [/output_dir: is model_name_or_path/]),
  config("best model without evaluation", "load_best_model_at_end: true", [
    /load_best_model_at_end/,
    /eval_strategy/,
  ]),
  {
    ...config("text that is no YAML", 'train_data: [a, "b\nseed: 1\n', [/run\.yaml:\d/, /YAML/]),
    whole: true,
  },
  { ...config("YAML that is no mapping", "- a\n- b\n", [/run\.yaml/, /keys|mapping/]), whole: true },
  { ...config("YAML bomb", bomb, [/run\.yaml/, /alias|anchor/i]), whole: true },
  { ...config("empty file", "", [/train_data/]), whole: true },
];
