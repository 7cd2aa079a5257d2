/**
 * Chat templates as transformers renders them: Jinja in its immutable sandbox with trim_blocks, lstrip_blocks, loop
 * controls, the tag `generation`, `raise_exception`, `strftime_now` and transformers' own `tojson`.
 * Runs alike in this process and in the child that renders unknown templates.
 */
import { JsonNumber } from "../json-number.ts";
import { makeGlobals } from "./globals.ts";
import { renderBody } from "./render.ts";
import { BlockScope } from "./scope.ts";
import { parseTemplate } from "./statements.ts";
import { Dict, type Value } from "./values.ts";

/** What a template is rendered with. */
export interface TemplateInput {
  /** Variables by name: messages, tools, add_generation_prompt, bos_token ... */
  variables: Record<string, unknown>;
  /** Milliseconds since 1970 that `strftime_now` reads as now. */
  now: number;
}

/** Renders one input to text. Throws what the template raises. */
export type CompiledTemplate = (input: TemplateInput) => string;

/**
 * The template in `source`, ready to render.
 *
 * @throws SyntaxFault when it is not a Jinja template, UnsupportedError when it needs something not available here
 */
export function compileTemplate(source: string): CompiledTemplate {
  const body = parseTemplate(source);
  return ({ variables, now }) => {
    const outer = new BlockScope(new BlockScope(null, makeGlobals(now)), variablesOf(variables));
    return renderBody(body, new BlockScope(outer));
  };
}

function variablesOf(variables: Record<string, unknown>): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) values.set(name, toValue(value));
  }
  return values;
}

/** A value of JSON as Python's `json.loads` reads it. Absent members (undefined) are absent from the dict. */
function toValue(value: unknown): Value {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (value instanceof JsonNumber) return value.isFloat ? value.valueOf() : BigInt(value.text);
  if (Array.isArray(value)) return value.map((item) => toValue(item ?? null));
  if (typeof value !== "object") throw new Error(`a variable of a template is a ${typeof value}`);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Dict.of(entries.map(([key, item]) => [key, toValue(item)]));
}
