/** Program of the process of one stage. Started by `stage-process.ts`. */
import { serveTask } from "../process/task.ts";
import { runStage, type StageEvent, type StageTask } from "./stage.ts";

serveTask<StageTask, StageEvent>((task, signal, tell) => {
  // a parent that is gone wants no result
  signal.addEventListener("abort", () => process.exit(1));
  return runStage(task, tell);
});
