/** Program of the engine process of `preftune serve`: the only part of it that loads libtorch. Started by engine-process.ts. */
import { printWarnings } from "../base/warn.ts";
import { openEngine } from "../generate/open-engine.ts";
import { liveTensorCount } from "../torch/index.ts";
import { settleEnvironment } from "../train/environment.ts";
import { hostEngine } from "./engine-host.ts";

printWarnings();
hostEngine(async (settings) => {
  const { device, dtype } = settleEnvironment(settings);
  const { maxRunning, maxCacheTokens } = settings;
  // lives as long as the process
  const { engine, tokenizer } = openEngine({
    model: settings.model,
    adapters: new Map(Object.entries(settings.adapters)),
    device,
    dtype,
    limits: { maxRunning, ...(maxCacheTokens === null ? {} : { maxCacheTokens }) },
  });
  return { engine, tokenizer, device, dtype, liveTensors: liveTensorCount };
});
