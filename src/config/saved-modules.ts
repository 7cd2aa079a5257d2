/** Modules that are trained in full beside an adapter. */
import type { RunConfig } from "./run-config.ts";

/** Whether `lora_modules_to_save` names the module, by its path or the last part of it. */
export function savesModule({ lora_modules_to_save }: RunConfig, module: string): boolean {
  return lora_modules_to_save.some((name) => name === module || name.endsWith(`.${module}`));
}
