/** The programs `preftune setup` and `preftune doctor`: they run where neither torch nor addon is there yet. */
import { parseArgs } from "node:util";
import { PreftuneError } from "../base/errors.ts";
import { runDoctor } from "./doctor.ts";
import { formatDoctor } from "./doctor-text.ts";
import { setUpOrExit } from "./set-up.ts";

const usage = `preftune setup             finds or installs torch and builds the addon
preftune doctor [--json]   prints what is there and what is missing; status 0 when training can start
`;

async function doctor(asJson: boolean): Promise<void> {
  const report = await runDoctor();
  const colour = process.stdout.isTTY === true && !process.env["NO_COLOR"];
  process.stdout.write(asJson ? `${JSON.stringify(report, null, 2)}\n` : formatDoctor(report, colour));
  process.exitCode = report.ready ? 0 : 1;
}

async function setup(): Promise<void> {
  const { torch, addon } = await setUpOrExit();
  process.stdout.write(`Node   ${process.versions.node}: ${process.execPath}\n`);
  process.stdout.write(`torch  ${torch.version}: ${torch.folder}\n`);
  process.stdout.write(`addon  ${addon}\n`);
  process.stdout.write("Ready.\n");
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [command, ...rest] = positionals;
  if (values.help) process.stdout.write(usage);
  else if (rest.length > 0) throw new PreftuneError(`${command} takes no argument, got "${rest[0]}"`);
  else if (command === "doctor") await doctor(values.json);
  else await setup();
}

try {
  await main();
} catch (error) {
  const isUsage =
    error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  if (!isUsage && !(error instanceof PreftuneError)) throw error;
  process.stderr.write(`preftune: ${error.message}\n${usage}`);
  process.exitCode = 2;
}
