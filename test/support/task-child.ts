/** Child program of src/process/task.test.ts: does what its task says. */
import { DataError } from "../../src/base/errors.ts";
import { serveTask } from "../../src/process/task.ts";

serveTask<{ what: string }, string>(async ({ what }, signal, tell) => {
  tell("began");
  switch (what) {
    case "give":
      return { number: Number.NaN, set: new Set([1]) };
    case "refuse":
      throw new DataError("row 3 is wrong.");
    case "bug":
      throw new TypeError("no such thing");
    case "die":
      process.stderr.write("last words\n", () => process.kill(process.pid, "SIGKILL"));
      return new Promise(() => {});
    default:
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve("stopped")));
  }
});
