/** Program of the engine process of `preftune serve`: the only part of it that loads libtorch. Started by engine-process.ts. */
import { Stages } from "../base/stages.ts";
import { printWarnings } from "../base/warn.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { openEngine } from "../generate/open-engine.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { liveTensorCount } from "../torch/index.ts";
import { hostEngine } from "./engine-host.ts";

printWarnings();
const stages = new Stages();
hostEngine(async (settings) => {
  stages.end("program and modules");
  const { device, dtype } = settleEnvironment(settings);
  stages.end("libtorch");
  const { model, maxRunning, maxCacheTokens, keepsPrefixes } = settings;
  const tokenizer = loadTokenizer(model);
  stages.end("tokenizer");
  // lives as long as the process
  const { engine } = openEngine({
    model,
    tokenizer,
    adapters: new Map(Object.entries(settings.adapters)),
    device,
    dtype,
    quantise: settings.quantise,
    limits: { maxRunning, keepsPrefixes, ...(maxCacheTokens === null ? {} : { maxCacheTokens }) },
  });
  stages.end("weights");
  return { engine, tokenizer, device, dtype, liveTensors: liveTensorCount, stages };
});
