/**
 * A program that only pretends to train, for tests of the supervisor: each start takes the next behaviour off the list in the
 * JSON file that its first word names, appends its words to `FILE.starts`, gives a sign of life at step 1, and does as it says.
 */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { heartbeats } from "../../src/cli/heartbeat.ts";

/** An exit status; a signal that it sends itself; silence; or an end before its first step. */
export type Behaviour = number | NodeJS.Signals | "silence" | { early: number };

const [file = "", ...words] = process.argv.slice(2);
const [behaviour, ...rest] = JSON.parse(readFileSync(file, "utf8")) as Behaviour[];
writeFileSync(file, JSON.stringify(rest));
appendFileSync(`${file}.starts`, `${words.join(" ")}\n`);
const beat = heartbeats();

if (typeof behaviour === "object") process.exit(behaviour.early);
beat(1);
// the sign of life is out before the end
setTimeout(() => {
  if (typeof behaviour === "number") process.exit(behaviour);
  if (behaviour === "silence" || behaviour === undefined) setInterval(() => {}, 1000);
  else process.kill(process.pid, behaviour);
}, 20);
