/** The studies' names: known to the command line without loading what they need. */
export const STUDY_NAMES = [
  "anchoring",
  "stabiliser",
  "margins",
  "ablation",
  "sensitivity",
  "transfer",
  "thumbs",
  "guarantees",
  "frontier",
  "geometry",
  "long",
  "online",
] as const;

/** Name of a study. */
export type StudyName = (typeof STUDY_NAMES)[number];
