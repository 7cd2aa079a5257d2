/** Configuration keys of runs on several processes (a table). */

/** Keys of ranks: how they share the model, and how they meet. */
export const RANK_KEYS = {
  shard: {
    schema: { enum: ["auto", "none", "node", "all"], default: "auto" },
    doc: "On several ranks: who holds the model. none: each rank all of it, gradients added up once a step; node: the ranks of a host share it, gradients are added up across hosts; all: all ranks share it. auto: the fastest that fits, by the planner.",
    freeOnResume: true,
  },
  keep_gathered: {
    schema: { anyOf: [{ enum: ["auto"] }, { type: "boolean" }], default: "auto" },
    doc: "Where ranks share the model: keep a block from its forward to its backward pass in place of gathering it twice. A third fewer bytes are sent, and each rank holds the whole model, in the activations' type, at the peak. auto: where it fits.",
    source: "FSDP's reshard_after_forward: false",
    freeOnResume: true,
  },
  rank_start_timeout: {
    schema: { type: "number", exclusiveMinimum: 0, default: 60 },
    doc: "On several ranks: seconds in which all of them have to come; those that are missing are named.",
    freeOnResume: true,
  },
  rank_timeout: {
    schema: { type: "number", minimum: 3, default: 10 },
    doc: "On several ranks: seconds without a sign of life after which a rank counts as lost and the run ends. A separate thread gives signs, each 0.4 s, whatever the rank computes.",
    freeOnResume: true,
  },
} as const;
