/** `preftune scale`. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { choiceText, SCALE_COLUMNS } from "../report/scales-section.ts";
import type { ScaleRecord, ScaleRule } from "../runs/scale-record.ts";
import { Phases } from "../terminal/phases.ts";
import { textTable } from "../terminal/text-table.ts";
import { atLeastZero, type DeviceOptions, wholeNumber, withDeviceOptions } from "./options.ts";

interface CliOptions extends DeviceOptions {
  scales: number[];
  max?: ScaleRule["max"];
  chosenMin?: number;
  driftMax?: number;
  tailMin?: number;
  prompts: number;
}

/** Adds the command to `preftune`. */
export function addScaleCommand(preftune: Command): void {
  const command = preftune
    .command("scale")
    .description(
      "what a run's model does to held-out pairs at scales between its start (0) and its result (1)",
    )
    .argument("<run>", "directory of a finished run over pairs, with held-out rows")
    .option(
      "--scales <list>",
      "numbers from 0 to 2, by commas; 0 and what the run exported are measured in any case, and picked only if among them",
      scaleList,
      [0, 0.25, 0.5, 0.75, 1, 1.25],
    )
    .addOption(
      new Option(
        "--max <figure>",
        "pick the scale with the most of it, on one half of the pairs, and measure it on the other",
      ).choices(["margin", "chosen", "accuracy"]),
    )
    .option(
      "--chosen-min <nats>",
      "with --max: least change of chosen completions, nats per token",
      anyNumber,
    )
    .option("--drift-max <nats>", "with --max: largest drift, 0 or above", atLeastZero)
    .option("--tail-min <nats>", "with --max: least tail, 0 or below, e.g. -1", tailBound)
    .option("--prompts <count>", "held-out prompts answered at each scale", wholeNumber(0), 2);
  withDeviceOptions(command).action(async (run: string, cli: CliOptions) => {
    const choose = ruleOf(cli);
    const { measureScales } = await import("../recipes/scale.ts");
    const phases = new Phases();
    const record = await measureScales({
      run,
      scales: cli.scales,
      choose,
      prompts: cli.prompts,
      device: cli.device,
      threads: cli.threads ?? null,
      onPhase: phases.listen,
      onCost: (cost) => {
        phases.done();
        process.stdout.write(`${cost}\n`);
      },
    });
    phases.done();
    process.stdout.write(`${scaleText(record)}\n`);
  });
}

function scaleList(text: string): number[] {
  const scales = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (scales.every((scale) => scale >= 0 && scale <= 2)) return scales;
  throw new InvalidArgumentError("Expected numbers from 0, the start, over 1, the result, to 2, by commas.");
}

function anyNumber(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

/** The tail is what one token in a hundred loses: a bound above 0 is a slip of sign. */
function tailBound(text: string): number {
  const value = anyNumber(text);
  if (value <= 0) return value;
  throw new InvalidArgumentError("Expected a number of at most 0, e.g. -1.");
}

/** @throws {ConfigError} for bounds without what is to be large */
function ruleOf({ max, chosenMin, driftMax, tailMin }: CliOptions): ScaleRule | null {
  const bounds = {
    ...(chosenMin === undefined ? {} : { chosen_min: chosenMin }),
    ...(driftMax === undefined ? {} : { drift_max: driftMax }),
    ...(tailMin === undefined ? {} : { tail_min: tailMin }),
  };
  if (max !== undefined) return { max, ...bounds };
  if (Object.keys(bounds).length === 0) return null;
  throw new ConfigError(
    "--chosen-min, --drift-max and --tail-min bound a choice. Add --max margin, or leave them out.",
  );
}

/** The table, and what was chosen. */
export function scaleText({ rows, choice }: ScaleRecord): string {
  const cells = rows.map((row) => [
    `${row.scale}`,
    ...SCALE_COLUMNS.map(([, value, show]) => {
      const figure = value(row);
      return figure === undefined ? "–" : show(figure);
    }),
  ]);
  const table = textTable(["scale", ...SCALE_COLUMNS.map(([name]) => name.replace(" ", "\n"))], cells);
  return choice === null ? table : `${table}\n${choiceText(choice)}`;
}
