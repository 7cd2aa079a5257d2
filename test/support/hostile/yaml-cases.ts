/** Hostile configurations in YAML, and hostile chat templates. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostileCase } from "./hostile.ts";
import { linkInstead, pipeInstead, setJson, writePieces } from "./spoil.ts";

function yaml(name: string, text: () => Iterable<string>, expects: RegExp): HostileCase {
  return { name: `run.yaml: ${name}`, write: (dir) => writePieces(join(dir, "run.yaml"), text()), expects };
}

/** Every key of up to three letters that fits into `bytes`. */
function* shortKeys(bytes: number): Generator<string> {
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  let left = bytes;
  for (const a of letters)
    for (const b of letters)
      for (const c of letters) {
        const line = `${a}${b}${c}: 1\n`;
        left -= line.length;
        if (left < 0) return;
        yield line;
      }
}

const bomb = [
  "a: &a [x,x,x,x,x,x,x,x,x,x]",
  ..."bcdefghij".split("").map((name, i) => `${name}: &${name} [${Array(10).fill(`*${"abcdefghij"[i]}`)}]`),
  "",
];

/** Configurations. */
export const yamlCases: HostileCase[] = [
  yaml("1 MB of one-letter keys", () => ["{", "a,".repeat(500_000), "}"], /./),
  yaml("1 MB of one-letter keys in lines", () => ["x: 1\n".repeat(200_000)], /./),
  yaml("1 MB of short keys", () => shortKeys(2 ** 20), /./),
  yaml("a bomb of aliases", () => [bomb.join("\n")], /alias/i),
  yaml("lists nested 100,000 deep", () => ["train_data: ", "[".repeat(1e5), "]".repeat(1e5)], /./),
  yaml(
    "lists nested by indentation",
    () => Array.from({ length: 1000 }, (_, i) => `${" ".repeat(i)}-\n`),
    /./,
  ),
  yaml("a key of 500,000 letters", () => [`${"k".repeat(500_000)}: 1\n`], /./),
  yaml("a value of 500,000 letters", () => [`objective: ${"k".repeat(500_000)}\n`], /./),
  yaml("500,000 anchors", () => ["train_data: [", "&a 1,".repeat(200_000), "]"], /./),
  yaml("200 MB", () => Array(200).fill(`#${" ".repeat(1e6)}`), /at most/),
  {
    name: "run.yaml is a named pipe",
    write: (dir) => pipeInstead(join(dir, "run.yaml")),
    expects: /expected a file, got a named pipe/,
  },
  {
    name: "run.yaml is /dev/zero",
    write: (dir) => linkInstead(join(dir, "run.yaml"), "/dev/zero"),
    expects: /expected a file, got a device/,
  },
];

function template(name: string, text: string, expects: RegExp): HostileCase {
  const write = (dir: string): void => {
    setJson(dir, "tokenizer_config.json", { chat_template: text });
    const row = { prompt: [{ role: "user", content: "a" }], chosen: [{ role: "assistant", content: "b" }] };
    const rows = JSON.stringify({ ...row, rejected: [{ role: "assistant", content: "c" }] });
    writeFileSync(join(dir, "rows.jsonl"), `${rows}\n`.repeat(2));
  };
  return { name: `chat template: ${name}`, write, expects };
}

/** Chat templates. */
export const templateCases: HostileCase[] = [
  template(
    "loops without end",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    /template/,
  ),
  template(
    "doubles a text",
    `{% set ns = namespace(s='x') %}${"{% set ns.s = ns.s ~ ns.s %}".repeat(60)}{{ ns.s }}`,
    /template/,
  ),
  template("calls itself", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", /template/),
  template("a number of a million digits", "{{ 9 ** 9 ** 9 }}", /template/),
  template("nested 100,000 deep", `${"{{ ".concat("(".repeat(1e5))}1${")".repeat(1e5)} }}`, /template/),
  template("a million tags", "{% if a %}{% endif %}".repeat(50_000).concat("{{ 1 }}"), /template/),
  template("a text of 50 MB", `{{ '${"x".repeat(5e7)}' }}`, /at most/),
  template("pads to a thousand million", "{{ 'a'.ljust(1000000000) }}", /template/),
  template("formats a thousand million", "{{ '%1000000000d' % 1 }}", /template/),
];
