/** A function that cannot be loaded. */

/** The message is for the user. */
export class LoadFailure extends Error {}
