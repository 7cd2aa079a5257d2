/** Program of the engine process of `preftune serve`: the only part of it that loads libtorch. Started by engine-process.ts. */
import { printWarnings } from "../base/warn.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { openEngine } from "../generate/open-engine.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { liveTensorCount } from "../torch/index.ts";
import { hostEngine } from "./engine-host.ts";

printWarnings();
hostEngine(async (settings) => {
  const { device, dtype } = settleEnvironment(settings);
  const { model, maxRunning, maxCacheTokens, keepsPrefixes } = settings;
  const tokenizer = loadTokenizer(model);
  // lives as long as the process
  const { engine } = openEngine({
    model,
    tokenizer,
    adapters: new Map(Object.entries(settings.adapters)),
    device,
    dtype,
    limits: { maxRunning, keepsPrefixes, ...(maxCacheTokens === null ? {} : { maxCacheTokens }) },
  });
  return { engine, tokenizer, device, dtype, liveTensors: liveTensorCount };
});
