/**
 * What of a record is wanted, and what was left out of it. Adapters name the parts that cost extra (`RecordPort.parts`);
 * everything here speaks of what a value *lacks*, so that nothing lacking is the whole record. Pure.
 */
import type { RecordType } from '../systems/records.ts'

/** By record type, the fields that a request shows. A type that is not here is not shown at all. */
export type Wants = ReadonlyMap<RecordType, ReadonlySet<string>>

/** Names of parts, sorted. */
export type Lacks = readonly string[]

type PartsOfAny = Readonly<Record<string, readonly string[]>>

export const WHOLE: Lacks = []

/** @param wants Not given: all of it. */
export function leftOut(parts: PartsOfAny | undefined, type: RecordType, wants: Wants | undefined): Lacks {
  if (!parts || !wants) return WHOLE
  const shown = wants.get(type)
  const names = Object.entries(parts).flatMap(([name, fields]) =>
    fields.some((field) => shown?.has(field)) ? [] : [name],
  )
  return names.length === 0 ? WHOLE : names.sort()
}

/** Whether a value that lacks this much is enough for one who can do without that much. */
export const isEnough = (lacks: Lacks, mayLack: Lacks): boolean =>
  lacks.length === 0 || lacks.every((part) => mayLack.includes(part))

/** What may be left out where both are to be content. */
export const common = (one: Lacks, other: Lacks): Lacks =>
  one.length === 0 || other.length === 0 ? WHOLE : one.filter((part) => other.includes(part))

/** A record that says so when what was left out of it is looked at: "no lines" must never mean "lines not read". */
export function without<R extends object>(record: R, parts: PartsOfAny | undefined, lacks: Lacks): R {
  if (lacks.length === 0) return record
  const rest = { ...record }
  for (const part of lacks) {
    for (const field of parts?.[part] ?? []) {
      Object.defineProperty(rest, field, {
        enumerable: false,
        get() {
          throw new Error(`"${field}" was left out of this record: nobody had said that it is wanted`)
        },
      })
    }
  }
  return rest
}

/** For who can do without the field where it was not read. */
export const isLeftOut = (record: object, field: string): boolean =>
  Object.getOwnPropertyDescriptor(record, field)?.get !== undefined
