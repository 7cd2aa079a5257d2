/** `preftune/toy`: the small generated world that the quick start learns: its rows, tokenizer and model, and their training. */
import "../base/node-version.ts";

export { runInProcess as runToyStage } from "../quickstart/stage-process.ts";
export type { Flaw } from "../toy/flaws.ts";
export { fullSize, type ToySize } from "../toy/sizes.ts";
export { jsonLines, makeData, type PreferenceRow, type ToyData, tokenizerText } from "../toy/toy-data.ts";
export { writeToyData } from "../toy/toy-files.ts";
