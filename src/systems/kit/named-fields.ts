/** Rows whose fields are named by the configuration; vendors and their releases differ in names, and in case. */
import type { z } from 'zod'

/** A field of a row, whatever the case of its name; `undefined` where there is none. */
export function field(row: unknown, name: string | null): unknown {
  if (name === null || typeof row !== 'object' || row === null) return undefined
  if (Object.hasOwn(row, name)) return (row as Record<string, unknown>)[name]
  const wanted = name.toLowerCase()
  return Object.entries(row).find(([other]) => other.toLowerCase() === wanted)?.[1]
}

export function fieldText(row: unknown, name: string | null): string | null {
  const value = field(row, name)
  return typeof value === 'string' && value !== '' ? value : null
}

/** The list of that name; where an interface names its list otherwise, the only one that there is. */
export function listIn(data: Readonly<Record<string, unknown>>, name: string): unknown {
  const lists = Object.values(data).filter((value) => Array.isArray(value))
  return data[name] ?? (lists.length === 1 ? lists[0] : undefined)
}

/** Picks the fields of a schema out of a row, each under the name that the configuration gives. */
export function pick<S extends z.ZodObject>(
  schema: S,
  names: { readonly [F in keyof S['shape']]?: string | null },
  row: unknown,
): z.ZodSafeParseResult<z.output<S>> {
  if (typeof row !== 'object' || row === null)
    return schema.safeParse(row) as z.ZodSafeParseResult<z.output<S>>
  const picked = Object.keys(schema.shape).map((own) => {
    const name = names[own as keyof typeof names]
    return [own, field(row, name === undefined ? own : name)]
  })
  return schema.safeParse(Object.fromEntries(picked)) as z.ZodSafeParseResult<z.output<S>>
}
