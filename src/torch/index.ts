/** The door to libtorch: tensors, operators by schema, autograd, scopes, the machine. Import from here, not from beside. */
import * as ops from "./generated/operators.ts";

export { backward, enableGrad, gradients, isGradEnabled, noGrad } from "./autograd.ts";
export { type DType, itemSize, type TensorArray } from "./dtype.ts";
export { heldCopy, holdCopy, holdCopyIn, inType } from "./half-copies.ts";
export {
  devices,
  generatorState,
  hostBytes,
  isGpu,
  manualSeed,
  memoryInUse,
  seeded,
  setDeterministic,
  setGeneratorState,
  setThreads,
  synchronize,
  threads,
  torchVersion,
  useDevice,
} from "./machine.ts";
export { batchInvariant, matmulLibrary, settleMatmul } from "./matmul.ts";
export { loadNccl } from "./nccl.ts";
export { onDevice } from "./on-device.ts";
export { bind, describe, type Scalar } from "./operator.ts";
export { type StopSignals, watchStopSignals } from "./signal-watch.ts";
export { liveTensorCount, Scope, scope, Tensor, type TensorOptions, tensor } from "./tensor.ts";
export { ops };
