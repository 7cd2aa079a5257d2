// Generated from torch's operator schemas by scripts/generate-operators.ts. Do not edit.
import type { DType } from "../dtype.ts";
import { bind, type Scalar } from "../operator.ts";
import type { Tensor } from "../tensor.ts";

/** `aten::_flash_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None, Tensor? block_table=None, int? num_splits=None) -> (Tensor output, Tensor softmax_logsumexp, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)` */
export const _flashAttentionForward: (query: Tensor, key: Tensor, value: Tensor, cumSeqQ: Tensor | null, cumSeqK: Tensor | null, maxQ: number, maxK: number, dropoutP: number, isCausal: boolean, returnDebugMask: boolean, options?: { scale?: number | null; windowSizeLeft?: number | null; windowSizeRight?: number | null; sequsedK?: Tensor | null; alibiSlopes?: Tensor | null; blockTable?: Tensor | null; numSplits?: number | null }) => [Tensor, Tensor, Tensor, Tensor, Tensor] = bind("aten::_flash_attention_forward");
/** `aten::_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()` */
export const _foreachAdd_: (self: readonly Tensor[], other: readonly Tensor[], options?: { alpha?: Scalar }) => void = bind("aten::_foreach_add_.List");
/** `aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()` */
export const _foreachMul_: (self: readonly Tensor[], other: Tensor) => void = bind("aten::_foreach_mul_.Tensor");
/** `aten::_fused_adamw_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()` */
export const _fusedAdamw_: (self: readonly Tensor[], grads: readonly Tensor[], expAvgs: readonly Tensor[], expAvgSqs: readonly Tensor[], maxExpAvgSqs: readonly Tensor[], stateSteps: readonly Tensor[], options: { lr: number; beta1: number; beta2: number; weightDecay: number; eps: number; amsgrad: boolean; maximize: boolean; gradScale?: Tensor | null; foundInf?: Tensor | null }) => void = bind("aten::_fused_adamw_");
/** `aten::abs(Tensor self) -> Tensor` */
export const abs: (self: Tensor) => Tensor = bind("aten::abs");
/** `aten::add`: the overload that the arguments fit. */
export const add: {
  /** `aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` */
  (self: Tensor, other: Scalar, alpha?: Scalar): Tensor;
  /** `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` */
  (self: Tensor, other: Tensor, options?: { alpha?: Scalar }): Tensor;
} = bind("aten::add.Scalar", "aten::add.Tensor");
/** `aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)` */
export const add_: (self: Tensor, other: Tensor, options?: { alpha?: Scalar }) => Tensor = bind("aten::add_.Tensor");
/** `aten::addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor` */
export const addcmul: (self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: Scalar }) => Tensor = bind("aten::addcmul");
/** `aten::addmm_(Tensor(a!) self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)` */
export const addmm_: (self: Tensor, mat1: Tensor, mat2: Tensor, options?: { beta?: Scalar; alpha?: Scalar }) => Tensor = bind("aten::addmm_");
/** `aten::all(Tensor self) -> Tensor` */
export const all: (self: Tensor) => Tensor = bind("aten::all");
/** `aten::amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor` */
export const amax: (self: Tensor, dim?: readonly number[], keepdim?: boolean) => Tensor = bind("aten::amax");
/** `aten::aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)` */
export const aminmax: (self: Tensor, options?: { dim?: number | null; keepdim?: boolean }) => [Tensor, Tensor] = bind("aten::aminmax");
/** `aten::any(Tensor self) -> Tensor` */
export const any: (self: Tensor) => Tensor = bind("aten::any");
/** `aten::arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const arange: (start: Scalar, endAt: Scalar, step?: Scalar, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::arange.start_step");
/** `aten::argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor` */
export const argmax: (self: Tensor, dim?: number | null, keepdim?: boolean) => Tensor = bind("aten::argmax");
/** `aten::bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor` */
export const bucketize: (self: Tensor, boundaries: Tensor, options?: { outInt32?: boolean; right?: boolean }) => Tensor = bind("aten::bucketize.Tensor");
/** `aten::cat(Tensor[] tensors, int dim=0) -> Tensor` */
export const cat: (tensors: readonly Tensor[], dim?: number) => Tensor = bind("aten::cat");
/** `aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor` */
export const clamp: (self: Tensor, min?: Scalar | null, max?: Scalar | null) => Tensor = bind("aten::clamp");
/** `aten::clamp_max_(Tensor(a!) self, Scalar max) -> Tensor(a!)` */
export const clampMax_: (self: Tensor, max: Scalar) => Tensor = bind("aten::clamp_max_");
/** `aten::clamp_min(Tensor self, Scalar min) -> Tensor` */
export const clampMin: (self: Tensor, min: Scalar) => Tensor = bind("aten::clamp_min");
/** `aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor` */
export const clone: (self: Tensor, options?: { memoryFormat?: number | null }) => Tensor = bind("aten::clone");
/** `aten::constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor` */
export const constantPadNd: (self: Tensor, pad: readonly number[], value?: Scalar) => Tensor = bind("aten::constant_pad_nd");
/** `aten::contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)` */
export const contiguous: (self: Tensor, options?: { memoryFormat?: number }) => Tensor = bind("aten::contiguous");
/** `aten::copy_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)` */
export const copy_: (self: Tensor, src: Tensor, nonBlocking?: boolean) => Tensor = bind("aten::copy_");
/** `aten::cos(Tensor self) -> Tensor` */
export const cos: (self: Tensor) => Tensor = bind("aten::cos");
/** `aten::cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor` */
export const cumsum: (self: Tensor, dim: number, options?: { dtype?: DType | null }) => Tensor = bind("aten::cumsum");
/** `aten::detach(Tensor(a) self) -> Tensor(a)` */
export const detach: (self: Tensor) => Tensor = bind("aten::detach");
/** `aten::div`: the overload that the arguments fit. */
export const div: {
  /** `aten::div.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::div.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::div.Scalar", "aten::div.Tensor");
/** `aten::div_`: the overload that the arguments fit. */
export const div_: {
  /** `aten::div_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::div_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::div_.Scalar", "aten::div_.Tensor");
/** `aten::embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor` */
export const embedding: (weight: Tensor, indices: Tensor, paddingIdx?: number, scaleGradByFreq?: boolean, sparse?: boolean) => Tensor = bind("aten::embedding");
/** `aten::embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq) -> Tensor` */
export const embeddingDenseBackward: (gradOutput: Tensor, indices: Tensor, numWeights: number, paddingIdx: number, scaleGradByFreq: boolean) => Tensor = bind("aten::embedding_dense_backward");
/** `aten::empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const empty: (size: readonly number[], options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null; memoryFormat?: number | null }) => Tensor = bind("aten::empty.memory_format");
/** `aten::eq`: the overload that the arguments fit. */
export const eq: {
  /** `aten::eq.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::eq.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::eq.Scalar", "aten::eq.Tensor");
/** `aten::exp(Tensor self) -> Tensor` */
export const exp: (self: Tensor) => Tensor = bind("aten::exp");
/** `aten::exp_(Tensor(a!) self) -> Tensor(a!)` */
export const exp_: (self: Tensor) => Tensor = bind("aten::exp_");
/** `aten::expm1(Tensor self) -> Tensor` */
export const expm1: (self: Tensor) => Tensor = bind("aten::expm1");
/** `aten::from_file(str filename, bool? shared=None, int? size=0, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const fromFile: (filename: string, shared?: boolean | null, size?: number | null, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::from_file");
/** `aten::full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const full: (size: readonly number[], fillValue: Scalar, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::full");
/** `aten::gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor` */
export const gather: (self: Tensor, dim: number, index: Tensor, options?: { sparseGrad?: boolean }) => Tensor = bind("aten::gather");
/** `aten::ge`: the overload that the arguments fit. */
export const ge: {
  /** `aten::ge.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::ge.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::ge.Scalar", "aten::ge.Tensor");
/** `aten::gelu(Tensor self, *, str approximate="none") -> Tensor` */
export const gelu: (self: Tensor, options?: { approximate?: string }) => Tensor = bind("aten::gelu");
/** `aten::gt`: the overload that the arguments fit. */
export const gt: {
  /** `aten::gt.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::gt.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::gt.Scalar", "aten::gt.Tensor");
/** `aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor` */
export const index: (self: Tensor, indices: readonly (Tensor | null)[]) => Tensor = bind("aten::index.Tensor");
/** `aten::index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor` */
export const indexAdd: (self: Tensor, dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }) => Tensor = bind("aten::index_add");
/** `aten::index_add_(Tensor(a!) self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor(a!)` */
export const indexAdd_: (self: Tensor, dim: number, index: Tensor, source: Tensor, options?: { alpha?: Scalar }) => Tensor = bind("aten::index_add_");
/** `aten::index_copy_(Tensor(a!) self, int dim, Tensor index, Tensor source) -> Tensor(a!)` */
export const indexCopy_: (self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor = bind("aten::index_copy_");
/** `aten::index_put_(Tensor(a!) self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor(a!)` */
export const indexPut_: (self: Tensor, indices: readonly (Tensor | null)[], values: Tensor, accumulate?: boolean) => Tensor = bind("aten::index_put_");
/** `aten::index_select(Tensor self, int dim, Tensor index) -> Tensor` */
export const indexSelect: (self: Tensor, dim: number, index: Tensor) => Tensor = bind("aten::index_select");
/** `aten::isfinite(Tensor self) -> Tensor` */
export const isfinite: (self: Tensor) => Tensor = bind("aten::isfinite");
/** `aten::isnan(Tensor self) -> Tensor` */
export const isnan: (self: Tensor) => Tensor = bind("aten::isnan");
/** `aten::le`: the overload that the arguments fit. */
export const le: {
  /** `aten::le.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::le.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::le.Scalar", "aten::le.Tensor");
/** `aten::linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` */
export const linalgVectorNorm: (self: Tensor, ord?: Scalar, dim?: readonly number[] | null, keepdim?: boolean, options?: { dtype?: DType | null }) => Tensor = bind("aten::linalg_vector_norm");
/** `aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor` */
export const linear: (input: Tensor, weight: Tensor, bias?: Tensor | null) => Tensor = bind("aten::linear");
/** `aten::linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const linspace: (start: Scalar, endAt: Scalar, steps: number, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::linspace");
/** `aten::log(Tensor self) -> Tensor` */
export const log: (self: Tensor) => Tensor = bind("aten::log");
/** `aten::log1p(Tensor self) -> Tensor` */
export const log1p: (self: Tensor) => Tensor = bind("aten::log1p");
/** `aten::log_sigmoid(Tensor self) -> Tensor` */
export const logSigmoid: (self: Tensor) => Tensor = bind("aten::log_sigmoid");
/** `aten::logical_and(Tensor self, Tensor other) -> Tensor` */
export const logicalAnd: (self: Tensor, other: Tensor) => Tensor = bind("aten::logical_and");
/** `aten::logical_not(Tensor self) -> Tensor` */
export const logicalNot: (self: Tensor) => Tensor = bind("aten::logical_not");
/** `aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor` */
export const logsumexp: (self: Tensor, dim: readonly number[], keepdim?: boolean) => Tensor = bind("aten::logsumexp");
/** `aten::lt`: the overload that the arguments fit. */
export const lt: {
  /** `aten::lt.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::lt.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::lt.Scalar", "aten::lt.Tensor");
/** `aten::masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor` */
export const maskedFill: (self: Tensor, mask: Tensor, value: Scalar) => Tensor = bind("aten::masked_fill.Scalar");
/** `aten::masked_fill_.Scalar(Tensor(a!) self, Tensor mask, Scalar value) -> Tensor(a!)` */
export const maskedFill_: (self: Tensor, mask: Tensor, value: Scalar) => Tensor = bind("aten::masked_fill_.Scalar");
/** `aten::matmul(Tensor self, Tensor other) -> Tensor` */
export const matmul: (self: Tensor, other: Tensor) => Tensor = bind("aten::matmul");
/** `aten::mean(Tensor self, *, ScalarType? dtype=None) -> Tensor` */
export const mean: (self: Tensor, options?: { dtype?: DType | null }) => Tensor = bind("aten::mean");
/** `aten::mm(Tensor self, Tensor mat2) -> Tensor` */
export const mm: (self: Tensor, mat2: Tensor) => Tensor = bind("aten::mm");
/** `aten::mul`: the overload that the arguments fit. */
export const mul: {
  /** `aten::mul.Scalar(Tensor self, Scalar other) -> Tensor` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::mul.Tensor(Tensor self, Tensor other) -> Tensor` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::mul.Scalar", "aten::mul.Tensor");
/** `aten::mul_`: the overload that the arguments fit. */
export const mul_: {
  /** `aten::mul_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` */
  (self: Tensor, other: Scalar): Tensor;
  /** `aten::mul_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` */
  (self: Tensor, other: Tensor): Tensor;
} = bind("aten::mul_.Scalar", "aten::mul_.Tensor");
/** `aten::multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor` */
export const multinomial: (self: Tensor, numSamples: number, replacement?: boolean) => Tensor = bind("aten::multinomial");
/** `aten::narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)` */
export const narrow: (self: Tensor, dim: number, start: number, length: number) => Tensor = bind("aten::narrow");
/** `aten::ne.Scalar(Tensor self, Scalar other) -> Tensor` */
export const ne: (self: Tensor, other: Scalar) => Tensor = bind("aten::ne.Scalar");
/** `aten::neg(Tensor self) -> Tensor` */
export const neg: (self: Tensor) => Tensor = bind("aten::neg");
/** `aten::normal_(Tensor(a!) self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor(a!)` */
export const normal_: (self: Tensor, mean?: number, std?: number) => Tensor = bind("aten::normal_");
/** `aten::ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const ones: (size: readonly number[], options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::ones");
/** `aten::ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const onesLike: (self: Tensor, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null; memoryFormat?: number | null }) => Tensor = bind("aten::ones_like");
/** `aten::outer(Tensor self, Tensor vec2) -> Tensor` */
export const outer: (self: Tensor, vec2: Tensor) => Tensor = bind("aten::outer");
/** `aten::permute(Tensor(a) self, int[] dims) -> Tensor(a)` */
export const permute: (self: Tensor, dims: readonly number[]) => Tensor = bind("aten::permute");
/** `aten::pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor` */
export const pow: (self: Tensor, exponent: Scalar) => Tensor = bind("aten::pow.Tensor_Scalar");
/** `aten::reciprocal(Tensor self) -> Tensor` */
export const reciprocal: (self: Tensor) => Tensor = bind("aten::reciprocal");
/** `aten::relu(Tensor self) -> Tensor` */
export const relu: (self: Tensor) => Tensor = bind("aten::relu");
/** `aten::reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)` */
export const reshape: (self: Tensor, shape: readonly number[]) => Tensor = bind("aten::reshape");
/** `aten::round(Tensor self) -> Tensor` */
export const round: (self: Tensor) => Tensor = bind("aten::round");
/** `aten::rsqrt(Tensor self) -> Tensor` */
export const rsqrt: (self: Tensor) => Tensor = bind("aten::rsqrt");
/** `aten::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor` */
export const scaledDotProductAttention: (query: Tensor, key: Tensor, value: Tensor, attnMask?: Tensor | null, dropoutP?: number, isCausal?: boolean, options?: { scale?: number | null; enableGqa?: boolean }) => Tensor = bind("aten::scaled_dot_product_attention");
/** `aten::scatter_add_(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)` */
export const scatterAdd_: (self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor = bind("aten::scatter_add_");
/** `aten::searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor` */
export const searchsorted: (sortedSequence: Tensor, self: Tensor, options?: { outInt32?: boolean; right?: boolean; side?: string | null; sorter?: Tensor | null }) => Tensor = bind("aten::searchsorted.Tensor");
/** `aten::select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)` */
export const select: (self: Tensor, dim: number, index: number) => Tensor = bind("aten::select.int");
/** `aten::sigmoid(Tensor self) -> Tensor` */
export const sigmoid: (self: Tensor) => Tensor = bind("aten::sigmoid");
/** `aten::silu(Tensor self) -> Tensor` */
export const silu: (self: Tensor) => Tensor = bind("aten::silu");
/** `aten::sin(Tensor self) -> Tensor` */
export const sin: (self: Tensor) => Tensor = bind("aten::sin");
/** `aten::slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)` */
export const slice: (self: Tensor, dim?: number, start?: number | null, endAt?: number | null, step?: number) => Tensor = bind("aten::slice.Tensor");
/** `aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor` */
export const softmax: (self: Tensor, dim: number, dtype?: DType | null) => Tensor = bind("aten::softmax.int");
/** `aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor` */
export const softplus: (self: Tensor, beta?: Scalar, threshold?: Scalar) => Tensor = bind("aten::softplus");
/** `aten::special_entr(Tensor self) -> Tensor` */
export const specialEntr: (self: Tensor) => Tensor = bind("aten::special_entr");
/** `aten::split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]` */
export const splitWithSizes: (self: Tensor, splitSizes: readonly number[], dim?: number) => Tensor[] = bind("aten::split_with_sizes");
/** `aten::sqrt(Tensor self) -> Tensor` */
export const sqrt: (self: Tensor) => Tensor = bind("aten::sqrt");
/** `aten::squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)` */
export const squeeze: (self: Tensor, dim: number) => Tensor = bind("aten::squeeze.dim");
/** `aten::stack(Tensor[] tensors, int dim=0) -> Tensor` */
export const stack: (tensors: readonly Tensor[], dim?: number) => Tensor = bind("aten::stack");
/** `aten::sub`: the overload that the arguments fit. */
export const sub: {
  /** `aten::sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` */
  (self: Tensor, other: Scalar, alpha?: Scalar): Tensor;
  /** `aten::sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` */
  (self: Tensor, other: Tensor, options?: { alpha?: Scalar }): Tensor;
  /** `aten::rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` */
  (other: Scalar, self: Tensor, alpha?: Scalar): Tensor;
} = bind("aten::sub.Scalar", "aten::sub.Tensor", "aten::rsub.Scalar");
/** `aten::sub_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)` */
export const sub_: (self: Tensor, other: Tensor, options?: { alpha?: Scalar }) => Tensor = bind("aten::sub_.Tensor");
/** `aten::sum`: the overload that the arguments fit. */
export const sum: {
  /** `aten::sum(Tensor self, *, ScalarType? dtype=None) -> Tensor` */
  (self: Tensor, options?: { dtype?: DType | null }): Tensor;
  /** `aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` */
  (self: Tensor, dim: readonly number[] | null, keepdim?: boolean, options?: { dtype?: DType | null }): Tensor;
} = bind("aten::sum", "aten::sum.dim_IntList");
/** `aten::t(Tensor(a) self) -> Tensor(a)` */
export const t: (self: Tensor) => Tensor = bind("aten::t");
/** `aten::tanh_(Tensor(a!) self) -> Tensor(a!)` */
export const tanh_: (self: Tensor) => Tensor = bind("aten::tanh_");
/** `aten::to`: the overload that the arguments fit. */
export const to: {
  /** `aten::to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)` */
  (self: Tensor, device: string, dtype: DType, nonBlocking?: boolean, copy?: boolean, memoryFormat?: number | null): Tensor;
  /** `aten::to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)` */
  (self: Tensor, dtype: DType, nonBlocking?: boolean, copy?: boolean, memoryFormat?: number | null): Tensor;
} = bind("aten::to.device", "aten::to.dtype");
/** `aten::topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)` */
export const topk: (self: Tensor, k: number, dim?: number, largest?: boolean, sorted?: boolean) => [Tensor, Tensor] = bind("aten::topk");
/** `aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)` */
export const transpose: (self: Tensor, dim0: number, dim1: number) => Tensor = bind("aten::transpose.int");
/** `aten::uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)` */
export const uniform_: (self: Tensor, from?: number, to?: number) => Tensor = bind("aten::uniform_");
/** `aten::unsqueeze(Tensor(a) self, int dim) -> Tensor(a)` */
export const unsqueeze: (self: Tensor, dim: number) => Tensor = bind("aten::unsqueeze");
/** `aten::unsqueeze_(Tensor(a!) self, int dim) -> Tensor(a!)` */
export const unsqueeze_: (self: Tensor, dim: number) => Tensor = bind("aten::unsqueeze_");
/** `aten::view`: the overload that the arguments fit. */
export const view: {
  /** `aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)` */
  (self: Tensor, size: readonly number[]): Tensor;
  /** `aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)` */
  (self: Tensor, dtype: DType): Tensor;
} = bind("aten::view", "aten::view.dtype");
/** `aten::where`: the overload that the arguments fit. */
export const where: {
  /** `aten::where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor` */
  (condition: Tensor, self: Tensor, other: Scalar): Tensor;
  /** `aten::where.self(Tensor condition, Tensor self, Tensor other) -> Tensor` */
  (condition: Tensor, self: Tensor, other: Tensor): Tensor;
} = bind("aten::where.ScalarOther", "aten::where.self");
/** `aten::zero_(Tensor(a!) self) -> Tensor(a!)` */
export const zero_: (self: Tensor) => Tensor = bind("aten::zero_");
/** `aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` */
export const zeros: (size: readonly number[], options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null }) => Tensor = bind("aten::zeros");
/** `aten::zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` */
export const zerosLike: (self: Tensor, options?: { dtype?: DType | null; layout?: number | null; device?: string | null; pinMemory?: boolean | null; memoryFormat?: number | null }) => Tensor = bind("aten::zeros_like");
/** `preftune::adamw_8bit_(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] state1, Tensor(c!)[] absmax1, Tensor(d!)[] state2, Tensor(e!)[] absmax2, Tensor[] state_steps, Tensor code1, Tensor code2, *, float lr, float beta1, float beta2, float weight_decay, float eps) -> ()` */
export const adamw8bit_: (self: readonly Tensor[], grads: readonly Tensor[], state1: readonly Tensor[], absmax1: readonly Tensor[], state2: readonly Tensor[], absmax2: readonly Tensor[], stateSteps: readonly Tensor[], code1: Tensor, code2: Tensor, options: { lr: number; beta1: number; beta2: number; weightDecay: number; eps: number }) => void = bind("preftune::adamw_8bit_");
/** `preftune::adamw_bf16_(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, Tensor[] state_steps, int[] tensors, *, float lr, float beta1, float beta2, float weight_decay, float eps, Tensor? found_inf=None, bool plain=False, int stretch=4194304) -> ()` */
export const adamwBf16_: (self: readonly Tensor[], grads: readonly Tensor[], expAvgs: readonly Tensor[], expAvgSqs: readonly Tensor[], stateSteps: readonly Tensor[], tensors: readonly number[], options: { lr: number; beta1: number; beta2: number; weightDecay: number; eps: number; foundInf?: Tensor | null; plain?: boolean; stretch?: number }) => void = bind("preftune::adamw_bf16_");
/** `preftune::add_product_(Tensor(a!) sum, Tensor a, Tensor b) -> ()` */
export const addProduct_: (sum: Tensor, a: Tensor, b: Tensor) => void = bind("preftune::add_product_");
/** `preftune::address_towards(str host, int port) -> str` */
export const addressTowards: (host: string, port: number) => string = bind("preftune::address_towards");
/** `preftune::beats_begin(str host, int port, str prefix, int rank, int size, str self, bool is_store_ours, int limit_ms) -> int` */
export const beatsBegin: (host: string, port: number, prefix: string, rank: number, size: number, self: string, isStoreOurs: boolean, limitMs: number) => number = bind("preftune::beats_begin");
/** `preftune::beats_end(int beats) -> ()` */
export const beatsEnd: (beats: number) => void = bind("preftune::beats_end");
/** `preftune::beats_end_process(int beats, int status, str ending) -> ()` */
export const beatsEndProcess: (beats: number, status: number, ending: string) => void = bind("preftune::beats_end_process");
/** `preftune::beats_fail(int beats, str error) -> ()` */
export const beatsFail: (beats: number, error: string) => void = bind("preftune::beats_fail");
/** `preftune::beats_note(int beats, str what) -> ()` */
export const beatsNote: (beats: number, what: string) => void = bind("preftune::beats_note");
/** `preftune::beats_verdict(int beats) -> str` */
export const beatsVerdict: (beats: number) => string = bind("preftune::beats_verdict");
/** `preftune::dequantise(Tensor[] stored, int[] shape, int block_size, *, ScalarType dtype, str kernel="auto") -> Tensor` */
export const dequantise: (stored: readonly Tensor[], shape: readonly number[], blockSize: number, options: { dtype: DType; kernel?: string }) => Tensor = bind("preftune::dequantise");
/** `preftune::dropped_product(Tensor x, Tensor keys, Tensor a, int module, float p) -> Tensor` */
export const droppedProduct: (x: Tensor, keys: Tensor, a: Tensor, module: number, p: number) => Tensor = bind("preftune::dropped_product");
/** `preftune::exact_product(Tensor a, Tensor b) -> Tensor` */
export const exactProduct: (a: Tensor, b: Tensor) => Tensor = bind("preftune::exact_product");
/** `preftune::exp_rows_(Tensor(a!) logits, Tensor? least=None) -> (Tensor, Tensor)` */
export const expRows_: (logits: Tensor, least?: Tensor | null) => [Tensor, Tensor] = bind("preftune::exp_rows_");
/** `preftune::gated(Tensor gate, Tensor up, str activation) -> Tensor` */
export const gated: (gate: Tensor, up: Tensor, activation: string) => Tensor = bind("preftune::gated");
/** `preftune::gated_linear(Tensor gate, Tensor up, Tensor weight, str activation) -> Tensor` */
export const gatedLinear: (gate: Tensor, up: Tensor, weight: Tensor, activation: string) => Tensor = bind("preftune::gated_linear");
/** `preftune::greatest(Tensor logits) -> Tensor` */
export const greatest: (logits: Tensor) => Tensor = bind("preftune::greatest");
/** `preftune::group_all_gather(Tensor output, Tensor input, int group) -> int` */
export const groupAllGather: (output: Tensor, input: Tensor, group: number) => number = bind("preftune::group_all_gather");
/** `preftune::group_all_reduce(Tensor values, int group) -> int` */
export const groupAllReduce: (values: Tensor, group: number) => number = bind("preftune::group_all_reduce");
/** `preftune::group_barrier(int group) -> int` */
export const groupBarrier: (group: number) => number = bind("preftune::group_barrier");
/** `preftune::group_broadcast(Tensor values, int from, int group) -> int` */
export const groupBroadcast: (values: Tensor, from: number, group: number) => number = bind("preftune::group_broadcast");
/** `preftune::group_exchange(Tensor output, Tensor input, int[] counts, int group) -> int` */
export const groupExchange: (output: Tensor, input: Tensor, counts: readonly number[], group: number) => number = bind("preftune::group_exchange");
/** `preftune::group_join(int store, str name, int rank, int size, str address, int timeout_ms, int beats) -> int` */
export const groupJoin: (store: number, name: string, rank: number, size: number, address: string, timeoutMs: number, beats: number) => number = bind("preftune::group_join");
/** `preftune::group_join_gpu(int group, int store, str name, int beats) -> int` */
export const groupJoinGpu: (group: number, store: number, name: string, beats: number) => number = bind("preftune::group_join_gpu");
/** `preftune::group_leave(int group) -> ()` */
export const groupLeave: (group: number) => void = bind("preftune::group_leave");
/** `preftune::group_load_gpu(str library) -> ()` */
export const groupLoadGpu: (library: string) => void = bind("preftune::group_load_gpu");
/** `preftune::group_wait(int collective, int beats) -> ()` */
export const groupWait: (collective: number, beats: number) => void = bind("preftune::group_wait");
/** `preftune::group_watch_next(int group, int beats) -> ()` */
export const groupWatchNext: (group: number, beats: number) => void = bind("preftune::group_watch_next");
/** `preftune::half_copy(Tensor weight, Tensor copy) -> Tensor` */
export const halfCopy: (weight: Tensor, copy: Tensor) => Tensor = bind("preftune::half_copy");
/** `preftune::lora_linear(Tensor x, Tensor weight, Tensor a, Tensor b, float scale) -> Tensor` */
export const loraLinear: (x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: number) => Tensor = bind("preftune::lora_linear");
/** `preftune::lora_linear_half(Tensor x, Tensor? dropped, Tensor weight, Tensor a, Tensor b, Tensor ah, Tensor bh, float scale) -> Tensor` */
export const loraLinearHalf: (x: Tensor, dropped: Tensor | null, weight: Tensor, a: Tensor, b: Tensor, ah: Tensor, bh: Tensor, scale: number) => Tensor = bind("preftune::lora_linear_half");
/** `preftune::paged_attention(Tensor q, Tensor k, Tensor v, Tensor(a!) keys, Tensor(b!) values, Tensor table, int sequences, float scale, int window) -> Tensor` */
export const pagedAttention: (q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, table: Tensor, sequences: number, scale: number, window: number) => Tensor = bind("preftune::paged_attention");
/** `preftune::quantised_linear(Tensor x, Tensor[] stored, int[] shape, int block_size, Tensor? bias=None) -> Tensor` */
export const quantisedLinear: (x: Tensor, stored: readonly Tensor[], shape: readonly number[], blockSize: number, bias?: Tensor | null) => Tensor = bind("preftune::quantised_linear");
/** `preftune::read_alone(Tensor bytes) -> ()` */
export const readAlone: (bytes: Tensor) => void = bind("preftune::read_alone");
/** `preftune::rms_norm(Tensor x, Tensor weight, float eps) -> Tensor` */
export const rmsNorm: (x: Tensor, weight: Tensor, eps: number) => Tensor = bind("preftune::rms_norm");
/** `preftune::rotate_heads(Tensor x, Tensor? weight, float eps, Tensor cos, Tensor sin) -> Tensor` */
export const rotateHeads: (x: Tensor, weight: Tensor | null, eps: number, cos: Tensor, sin: Tensor) => Tensor = bind("preftune::rotate_heads");
/** `preftune::segment_attention(Tensor q, Tensor k, Tensor v, int[] segments, float scale, int window) -> Tensor` */
export const segmentAttention: (q: Tensor, k: Tensor, v: Tensor, segments: readonly number[], scale: number, window: number) => Tensor = bind("preftune::segment_attention");
/** `preftune::storage_resize(Tensor values, int bytes) -> ()` */
export const storageResize: (values: Tensor, bytes: number) => void = bind("preftune::storage_resize");
/** `preftune::store_add(int store, str key, int count) -> int` */
export const storeAdd: (store: number, key: string, count: number) => number = bind("preftune::store_add");
/** `preftune::store_close(int store) -> ()` */
export const storeClose: (store: number) => void = bind("preftune::store_close");
/** `preftune::store_get(int store, str key) -> str` */
export const storeGet: (store: number, key: string) => string = bind("preftune::store_get");
/** `preftune::store_open(str host, int port, bool serves, bool is_one_host, int timeout_ms) -> int` */
export const storeOpen: (host: string, port: number, serves: boolean, isOneHost: boolean, timeoutMs: number) => number = bind("preftune::store_open");
/** `preftune::store_set(int store, str key, str value) -> ()` */
export const storeSet: (store: number, key: string, value: string) => void = bind("preftune::store_set");
/** `preftune::sum_squares(Tensor[] tensors) -> Tensor` */
export const sumSquares: (tensors: readonly Tensor[]) => Tensor = bind("preftune::sum_squares");
/** `preftune::token_dropout(Tensor x, Tensor keys, int module, float p) -> Tensor` */
export const tokenDropout: (x: Tensor, keys: Tensor, module: number, p: number) => Tensor = bind("preftune::token_dropout");
