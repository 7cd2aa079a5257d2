/** Program of the engine process of `preftune serve`: the only part of it that loads libtorch. Started by engine-process.ts. */
import { readAdapter } from "../formats/adapter.ts";
import { Engine } from "../generate/engine.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { settleEnvironment } from "../train/environment.ts";
import { type HostedEngine, hostEngine } from "./engine-host.ts";
import type { EngineSettings } from "./engine-messages.ts";

/** The engine of `settings`. Its model and cache live as long as the process. */
async function makeEngine(settings: EngineSettings): Promise<HostedEngine> {
  const { device, dtype } = settleEnvironment(settings);
  const load = () => loadModel(settings.model, { device, dtype });
  const adapters = new Map<string, CausalLM>();
  for (const [name, directory] of Object.entries(settings.adapters)) {
    const model = load();
    installAdapter(model, readAdapter(directory));
    adapters.set(name, model);
  }
  const engine = new Engine({
    model: load(),
    adapters,
    tokenizer: loadTokenizer(settings.model),
    dtype,
    limits: {
      maxRunning: settings.maxRunning,
      ...(settings.maxCacheTokens === null ? {} : { maxCacheTokens: settings.maxCacheTokens }),
    },
  });
  return { engine, device, dtype };
}

hostEngine(makeEngine);
