/** From the wire's snake case to the camel case that callers see. */

/** `a_b` as `aB`, at the level of types. */
type CamelName<S extends string> = S extends `${infer A}_${infer B}`
  ? `${A}${Capitalize<CamelName<B>>}`
  : S;

export type Camel<T> = T extends Uint8Array
  ? T
  : T extends (infer Item)[]
    ? Camel<Item>[]
    : T extends object
      ? { [K in keyof T as K extends string ? CamelName<K> : K]: Camel<T[K]> }
      : T;

/** A copy of `value` whose fields are in camel case, all the way down. */
export function camel<T>(value: T): Camel<T> {
  if (Array.isArray(value)) return value.map((item: unknown) => camel(item)) as Camel<T>;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    return value as Camel<T>;
  }
  const fields = Object.entries(value).map(([key, field]: [string, unknown]) => [
    key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    camel(field),
  ]);
  return Object.fromEntries(fields) as Camel<T>;
}
