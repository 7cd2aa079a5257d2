/** Program of the process of one run of a grid. Started by `run-process.ts`. */
import { goOnWithoutOutput } from "../base/lost-output.ts";
import { listenToStopSignals } from "../base/stop-signals.ts";
import { serveTask } from "../process/task.ts";
import { type RunTask, runTrial } from "./run-trial.ts";

const signalled = new AbortController();
// Ctrl-C on a terminal reaches this process too: it ends as its parent says, after its step
listenToStopSignals(() => signalled.abort());
goOnWithoutOutput();
// a parent that was killed asks no more: the run ends after its step, with a checkpoint
serveTask<RunTask>((task, signal) => runTrial(task, AbortSignal.any([signal, signalled.signal])));
