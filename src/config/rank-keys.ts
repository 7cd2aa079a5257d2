/** Configuration keys of runs on several processes (a table). */

/** Keys of ranks: how they meet. */
export const RANK_KEYS = {
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
