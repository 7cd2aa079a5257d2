/** An engine process that only pretends (`scripted-engine.ts`), on its own: without server and model. */
import { join } from "node:path";
import { EngineProcess, type EngineProcessOptions } from "../../src/serve/engine-process.ts";

/** The process, not started; what it complains of is not shown. */
export function scriptedProcess(
  options: Pick<EngineProcessOptions, "policy" | "onNews"> & { stallMs?: number },
): EngineProcess {
  return new EngineProcess({
    program: join(import.meta.dirname, "scripted-engine.ts"),
    settings: {
      model: "",
      adapters: {},
      device: "cpu",
      dtype: "float32",
      threads: 1,
      maxRunning: 4,
      maxCacheTokens: null,
      keepsPrefixes: true,
      quantise: null,
    },
    onComplaint: () => {},
    stallMs: 300_000,
    ...options,
  });
}
