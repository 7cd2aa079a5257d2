/**
 * Program of the child process that renders untrusted chat templates. Speaks lines, which
 * end in "\n" and nothing else: first in `{source, timeoutMs, maxOutput}`, then `ID {variables, now}` for each render; for each of them
 * one line out, with the ID.
 * It has no environment, no files but its own code, a small heap, and ends when its input ends. Its time limit is for a
 * parent that cannot see what it computes, or that is gone while a template loops: then it sees that its input has ended.
 */
import { TimeLimitError, withinComputedTime } from "../base/time-limit.ts";
import { type CompiledTemplate, compileTemplate, type TemplateInput } from "./jinja/compile.ts";
import { parseJson } from "./json.ts";

interface Setup {
  source: string;
  timeoutMs: number;
  maxOutput: number;
}

type Reply =
  | { ready: true }
  | { text: string }
  | { error: string; kind: "raised" | "invalid" | "timeout" | "output" };

function send(reply: Reply | { up: true } | ({ id: number } & Reply)): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

function load(setup: Setup): { reply: Reply; template: CompiledTemplate | null } {
  try {
    const template = withinComputedTime(setup.timeoutMs, () => compileTemplate(setup.source));
    return { reply: { ready: true }, template };
  } catch (error) {
    return { reply: { error: shortMessage(error), kind: kindOf(error, "invalid") }, template: null };
  }
}

function render(template: CompiledTemplate, line: string, setup: Setup): Reply {
  try {
    // parsed in each attempt: a template may change what it is given
    const text = withinComputedTime(setup.timeoutMs, () => template(parseJson(line) as TemplateInput));
    if (text.length > setup.maxOutput) return { error: `${text.length} characters`, kind: "output" };
    return { text };
  } catch (error) {
    return { error: shortMessage(error), kind: kindOf(error, "raised") };
  }
}

function kindOf<T>(error: unknown, otherwise: T): T | "timeout" {
  return error instanceof TimeLimitError ? "timeout" : otherwise;
}

function shortMessage(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000);
}

// Ctrl-C on a terminal reaches every process of the group; this one ends when its parent does, or says so
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});

/** The lines of the input. node:readline also ends one at U+2028 and U+2029, which stand in texts as they are. */
async function* linesOfInput(): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

let setup: Setup | null = null;
let template: CompiledTemplate | null = null;
send({ up: true });
for await (const line of linesOfInput()) {
  if (setup === null) {
    setup = JSON.parse(line) as Setup;
    const loaded = load(setup);
    template = loaded.template;
    send(loaded.reply);
  } else if (template !== null) {
    const space = line.indexOf(" ");
    send({ id: Number(line.slice(0, space)), ...render(template, line.slice(space + 1), setup) });
  }
}
