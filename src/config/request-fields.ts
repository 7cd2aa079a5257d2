/** Fields that are added to the body of a request to an endpoint. They stand in reports and records. */

const keyName = /(^|[_-])(api[_-]?key|secret|password|authorization|(auth|access)[_-]token)$/i;

/** The name of a field that is a key or password, which must not stand there; undefined: none is. */
export function secretAmong(fields: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(fields).find((name) => keyName.test(name));
}
