/** Called with the progress of a long phase: how much of what is done; `total` is null when unknown. */
export type PhaseListener = (label: string, done: number, total: number | null, note?: string) => void;
