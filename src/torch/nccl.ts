/** NCCL's groups: a library beside the addon, which names CUDA where the addon does not. */
import { locateNccl } from "../setup/locate.ts";
import { groupLoadGpu } from "./generated/operators.ts";

/** Loads the library, so that groups of GPUs can be made; whether there is one. */
export function loadNccl(): boolean {
  const library = locateNccl();
  if (library !== null) groupLoadGpu(library);
  return library !== null;
}
