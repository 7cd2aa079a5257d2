/**
 * `preftune/torch`: libtorch's tensors, operators by schema, autograd, and scopes that free what was made in them.
 * Importing it loads no addon: its first use does.
 *
 * @example
 *   import { ops, scope, tensor } from "preftune/torch";
 *   using _ = scope();
 *   console.log(ops.sum(tensor([1, 2, 3])).item());
 */
import "../base/node-version.ts";

export {
  backward,
  bind,
  type DType,
  describe,
  gradients,
  liveTensorCount,
  manualSeed,
  memoryInUse,
  noGrad,
  ops,
  type Scalar,
  Scope,
  scope,
  seeded,
  setThreads,
  Tensor,
  type TensorArray,
  type TensorOptions,
  tensor,
  threads,
  torchVersion,
} from "../torch/index.ts";
