/**
 * Reading and writing objects whose keys clients choose: `constructor` and `__proto__` are valid aliases, and
 * parsed JSON inherits from Object.prototype.
 */
export type Json = Record<string, unknown>

export function get(object: Json, key: string): unknown {
  const value = object[key]
  return value !== undefined && key in Object.prototype && !Object.hasOwn(object, key) ? undefined : value
}

export function set(object: Json, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  } else object[key] = value
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
