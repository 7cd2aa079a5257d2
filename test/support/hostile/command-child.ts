/**
 * Child program of the hostile corpus: runs commands of preftune in one process, as its parent tells it to, and reports how each
 * ended and what memory it took at its peak, above what the process had before.
 */
import { PreftuneError } from "../../../src/base/errors.ts";
import { printWarnings } from "../../../src/base/warn.ts";
import { program } from "../../../src/cli/program.ts";
import { memory, resetPeak } from "../memory.ts";

async function run(
  args: readonly string[],
): Promise<{ message: string; error: string | null; isOwn: boolean }> {
  try {
    const commands = await program(args);
    await commands.parseAsync(args, { from: "user" });
    return { message: "", error: null, isOwn: true };
  } catch (cause) {
    if (cause instanceof PreftuneError) return { message: cause.message, error: cause.name, isOwn: true };
    const stack = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    return { message: stack, error: cause instanceof Error ? cause.name : "crash", isOwn: false };
  }
}

printWarnings();
// progress as a terminal shows it
process.stderr.isTTY = true;
process.on("message", async ({ args }: { args: string[] }) => {
  const before = resetPeak();
  const ended = await run(args);
  process.send?.({ ...ended, peakBytes: memory("VmHWM") - before });
});
process.on("disconnect", () => process.exit());
