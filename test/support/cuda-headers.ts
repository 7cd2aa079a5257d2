/** Headers of CUDA for tests that compile the unit of NCCL where there is no CUDA. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fetchHeaders, headerFolders, headerPackages } from "../../src/setup/cuda-headers.ts";
import { stateFolder } from "../../src/setup/places.ts";

const cuda = "13.0";

/** Names of NCCL and of CUDA's large libraries, instead of their headers. */
export const standIns: string = join(import.meta.dirname, "../distributed/cuda-names");

/** NVIDIA's small packages of headers in the checkout's folder, fetched once; or why there are none. */
export async function cudaHeaders(): Promise<{ folders: string[]; reason: string | null }> {
  const folder = join(stateFolder(), "test-cuda-headers");
  const packages = [...headerPackages(cuda), `nvidia-cuda-runtime==${cuda}.*`];
  const failed = existsSync(folder) ? null : await fetchHeaders(packages, folder);
  const reason = failed === null ? null : `the headers of CUDA cannot be fetched: ${failed}`;
  return { folders: headerFolders(folder), reason };
}
