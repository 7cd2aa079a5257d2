/** What the library warns of while a test runs. */
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";

/** Listens until the test ends; the function that is given tells the warnings so far that begin with `start`. */
export function listenToWarnings(t: TestContext): (start?: string) => Promise<string[]> {
  const reported: string[] = [];
  const listen = ({ message }: Error): void => {
    reported.push(message);
  };
  process.on("warning", listen);
  t.after(() => process.off("warning", listen));
  return async (start = "") => {
    // warnings come a turn of the event loop later
    await setImmediate();
    return reported.filter((message) => message.startsWith(start));
  };
}
