/** Products in float32 and bfloat16, for the libraries' own words on the instruction set that they use; and what the addon's kernels use. */
import { ops } from "../../src/torch/index.ts";
import { native } from "../../src/torch/native.ts";

const a = ops.ones([128, 128], { dtype: "float32" });
ops.mm(a, a);
const half = ops.to(a, "bfloat16");
ops.mm(half, half);
console.log(`addon: ${native.instructionSet()}`);
