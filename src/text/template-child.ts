/**
 * Program of the child process that renders chat templates nobody has vouched for. Speaks JSON lines:
 * first line in `{source, timeoutMs, maxOutput}`, then one `{variables, now}` a render; one line out for each.
 * It has no environment, no files but its own code, a small heap, and ends when its input ends.
 */
import { createInterface } from "node:readline";
import { Script } from "node:vm";

import { type CompiledTemplate, compileTemplate, type TemplateInput } from "./jinja/template.ts";
import { parseJson } from "./json.ts";

interface Setup {
  source: string;
  timeoutMs: number;
  maxOutput: number;
}

type Reply = { ready: true } | { text: string } | { error: string; kind: "raised" | "invalid" | "output" };

// Running through a vm script gives synchronous code a time limit of its own: should the parent be gone while a
// template loops, this process still comes to its senses and sees that its input has ended.
const job: { run: () => unknown } = { run: () => null };
const script = new Script("preftuneJob.run()");
Object.assign(globalThis, { preftuneJob: job });

function limited<T>(timeoutMs: number, work: () => T): T {
  let result: { value: T } | null = null;
  job.run = () => {
    result = { value: work() };
  };
  script.runInThisContext({ timeout: timeoutMs });
  return (result as { value: T } | null)?.value as T;
}

function send(reply: Reply | { up: true }): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

function load(setup: Setup): { reply: Reply; template: CompiledTemplate | null } {
  try {
    const template = limited(setup.timeoutMs, () => compileTemplate(setup.source));
    return { reply: { ready: true }, template };
  } catch (error) {
    return { reply: { error: shortMessage(error), kind: "invalid" }, template: null };
  }
}

function render(template: CompiledTemplate, line: string, setup: Setup): Reply {
  try {
    const input = parseJson(line) as TemplateInput;
    const text = limited(setup.timeoutMs, () => template(input));
    if (text.length > setup.maxOutput) return { error: `${text.length} characters`, kind: "output" };
    return { text };
  } catch (error) {
    return { error: shortMessage(error), kind: "raised" };
  }
}

function shortMessage(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000);
}

// Ctrl-C on a terminal reaches every process of the group; this one ends when its parent does, or says so
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});

let setup: Setup | null = null;
let template: CompiledTemplate | null = null;
send({ up: true });
for await (const line of createInterface({ input: process.stdin })) {
  if (setup === null) {
    setup = JSON.parse(line) as Setup;
    const loaded = load(setup);
    template = loaded.template;
    send(loaded.reply);
  } else if (template !== null) {
    send(render(template, line, setup));
  }
}
