/** How long lists are sent to a page. */

/** Rows of a page of a list. */
export const pageRows = 50;
