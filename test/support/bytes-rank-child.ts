/** Child program: trains as VALUES say, as one rank of a host, and rank 0 prints the bytes that its host had sent after each step, as JSON. */
import { readFileSync } from "node:fs";
import { loadConfig } from "../../src/config/load-config.ts";
import { train } from "../../src/recipes/train.ts";

const sent: number[] = [];
for await (const event of train(loadConfig({ values: JSON.parse(process.env["VALUES"] ?? "") }))) {
  if (event.type !== "step") continue;
  const line = readFileSync("/proc/net/dev", "utf8").split("eth0:")[1] ?? "";
  sent.push(Number(line.trim().split(/\s+/)[8]));
}
process.stdout.write(`${JSON.stringify(sent)}\n`);
