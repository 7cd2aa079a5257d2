/**
 * Chat templates with transformers' conventions: trim_blocks and lstrip_blocks, `raise_exception`, `strftime_now`,
 * `range` limited as in Jinja's sandbox. Runs alike in this process and in the child that renders unknown templates.
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

import { valueConverter } from "./jinja-values.ts";
import { rewriteStrips, stripFunctions } from "./python-strip.ts";
import { strftime } from "./strftime.ts";

/** What a template is rendered with. */
export interface TemplateInput {
  /** Variables by name: messages, tools, add_generation_prompt, bos_token ... */
  variables: Record<string, unknown>;
  /** Milliseconds since 1970 that `strftime_now` reads as now. */
  now: number;
}

/** Renders one input to text. Throws what the template raises. */
export type CompiledTemplate = (input: TemplateInput) => string;

const maxRange = 100_000;

/** The template in `source`, ready to render. Throws SyntaxError when it is not a Jinja template. */
export function compileTemplate(source: string): CompiledTemplate {
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  rewriteStrips(program);
  return ({ variables, now }) => {
    const globals: Record<string, unknown> = {
      ...stripFunctions,
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range,
      raise_exception: (message: unknown) => {
        throw new Error(String(message));
      },
      strftime_now: (format: unknown) => strftime(new Date(now), String(format)),
    };
    const environment = new Environment();
    for (const [name, value] of Object.entries(globals)) environment.set(name, value);
    const convert = valueConverter();
    for (const [name, value] of Object.entries(variables)) environment.setVariable(name, convert(value));
    const result: unknown = new Interpreter(environment).run(program).value;
    if (typeof result !== "string") throw new Error("the template did not produce text");
    return result;
  };
}

function range(...bounds: unknown[]): number[] {
  const numbers = bounds.filter((bound) => typeof bound === "number");
  const [first = 0, second, step = 1] = numbers;
  const start = second === undefined ? 0 : first;
  const stop = second === undefined ? first : second;
  if (step === 0) throw new Error("range() step must not be zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > maxRange) throw new Error(`range too big: ${length} numbers, at most ${maxRange} are allowed`);
  return Array.from({ length }, (_, i) => start + i * step);
}
