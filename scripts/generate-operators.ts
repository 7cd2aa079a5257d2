/**
 * Writes `src/torch/generated/operators.ts`: a typed function for every operator listed in `src/torch/operators.txt`, with
 * a signature for each of its overloads there, from the schemas of the torch that is installed. Run it after changing the list: `npm run generate`.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at } from "../src/base/at.ts";
import { camelCase, describe, operatorOf } from "../src/torch/operator.ts";

const root = join(import.meta.dirname, "..");

const types: Record<string, string> = {
  Tensor: "Tensor",
  "List[Tensor]": "readonly Tensor[]",
  "List[Optional[Tensor]]": "readonly (Tensor | null)[]",
  int: "number",
  SymInt: "number",
  float: "number",
  bool: "boolean",
  Scalar: "Scalar",
  number: "Scalar",
  str: "string",
  "List[int]": "readonly number[]",
  "List[SymInt]": "readonly number[]",
  "List[float]": "readonly number[]",
  "List[bool]": "readonly boolean[]",
  ScalarType: "DType",
  Device: "string",
  Layout: "number",
  MemoryFormat: "number",
};

const results: Record<string, string> = { Tensor: "Tensor", "List[Tensor]": "Tensor[]" };

/** torch prints types as `Tensor[]` and `Tensor?`; one spelling for both forms. */
function normal(type: string): string {
  if (type.startsWith("Optional[")) return `${normal(type.slice(9, -1))}?`;
  if (type.endsWith("?")) return `${normal(type.slice(0, -1))}?`;
  if (type.endsWith("[]")) return `List[${normal(type.slice(0, -2)).replace(/(.*)\?$/, "Optional[$1]")}]`;
  return type;
}

function typeOf(type: string): string {
  const name = normal(type);
  const plain = name.endsWith("?") ? name.slice(0, -1) : name;
  const mapped = types[plain];
  if (mapped === undefined) throw new Error(`no TypeScript type for ${type}`);
  return name.endsWith("?") ? `${mapped} | null` : mapped;
}

function resultOf(returns: string[]): string {
  const mapped = returns.map((r) => results[normal(r)] ?? typeOf(r));
  if (mapped.length === 0) return "void";
  return mapped.length === 1 ? at(mapped, 0) : `[${mapped.join(", ")}]`;
}

/** Operators that are called as another one with its first two arguments exchanged: `sub(1, x)` is `rsub(x, 1)`. */
const reflected: Readonly<Record<string, string>> = { "aten::rsub": "aten::sub" };

/** `aten::add_.Tensor` -> `aten::add_`: the operator that an overload belongs to. */
function ownerOf(qualified: string): string {
  const operator = operatorOf(qualified);
  return reflected[operator] ?? operator;
}

function isReflected(qualified: string): boolean {
  return ownerOf(qualified) !== operatorOf(qualified);
}

interface Signature {
  schema: string;
  parameters: string;
  result: string;
}

function signatureOf(qualified: string): Signature {
  const described = describe(qualified);
  if (described === null) throw new Error(`torch has no operator ${qualified}`);
  const reserved = new Set(["end", "default", "function"]);
  const show = (p: { name: string; type: string; hasDefault: boolean }, mark: string) =>
    `${camelCase(p.name)}${mark}: ${typeOf(p.type)}`;
  const positional = described.parameters
    .filter((p) => !p.keywordOnly)
    .map((p) => show(reserved.has(p.name) ? { ...p, name: `${p.name}At` } : p, p.hasDefault ? "?" : ""));
  if (isReflected(qualified)) positional.unshift(...positional.splice(1, 1));
  // generators cannot be passed: torch's default ones serve, seeded and saved by src/torch/machine.ts
  const keywords = described.parameters.filter((p) => p.keywordOnly && !p.type.startsWith("Generator"));
  const needed = keywords.some((p) => !p.hasDefault);
  const options = keywords.map((p) => show(p, p.hasDefault ? "?" : "")).join("; ");
  if (keywords.length > 0) positional.push(`options${needed ? "" : "?"}: { ${options} }`);
  return { schema: described.schema, parameters: positional.join(", "), result: resultOf(described.returns) };
}

/** One function for an operator; where several of its overloads are listed, one with a signature for each. */
function declaration(operator: string, listed: readonly string[]): string {
  const overloads = [...listed].sort((a, b) => Number(isReflected(a)) - Number(isReflected(b)));
  const name = camelCase(operator.replace(/^.*::/, ""));
  const bound = `bind(${overloads.map((each) => `"${each}"`).join(", ")})`;
  const signatures = overloads.map(signatureOf);
  if (signatures.length === 1) {
    return signatures
      .map(
        (s) => `/** \`${s.schema}\` */\nexport const ${name}: (${s.parameters}) => ${s.result} = ${bound};`,
      )
      .join("");
  }
  return [
    `/** \`${operator}\`: the overload that the arguments fit. */`,
    `export const ${name}: {`,
    ...signatures.map((s) => `  /** \`${s.schema}\` */\n  (${s.parameters}): ${s.result};`),
    `} = ${bound};`,
  ].join("\n");
}

const names = readFileSync(join(root, "src/torch/operators.txt"), "utf8").split("\n").filter(Boolean).sort();
const operators = [...Map.groupBy(names, ownerOf)].sort(([a], [b]) => (a < b ? -1 : 1));
const text = [
  "// Generated from torch's operator schemas by scripts/generate-operators.ts. Do not edit.",
  'import type { DType } from "../dtype.ts";',
  'import { bind, type Scalar } from "../operator.ts";',
  'import type { Tensor } from "../tensor.ts";',
  "",
  ...operators.map(([operator, overloads]) => declaration(operator, overloads)),
  "",
].join("\n");
writeFileSync(join(root, "src/torch/generated/operators.ts"), text);
process.stdout.write(`${operators.length} operators with ${names.length} schemas written\n`);
