/** An item of a list, checked. */

/**
 * `items[index]`, where the compiler cannot know that there is one. Not for loops over bytes, tokens or logits: it is called
 * with lists of every kind, which costs some nanoseconds an item.
 *
 * @throws {RangeError} with index and length, when there is none
 */
export function at<T>(items: ArrayLike<T>, index: number): T {
  const item = items[index];
  if (item === undefined && !Object.hasOwn(items, index)) {
    throw new RangeError(`expected an index below ${items.length}, the length of the list, got ${index}`);
  }
  return item as T;
}
