/** Where a list of changes stands, as text that whoever follows it keeps. */
import type { z } from 'zod'
import { SourceError } from '../failure.ts'

/** @throws SourceError `unsupported`: kept by another kind, or by another release of this one. */
export function readCheckpoint<C>(schema: z.ZodType<C>, text: string): C {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const checkpoint = schema.safeParse(json)
  if (checkpoint.success) return checkpoint.data
  throw new SourceError({ kind: 'unsupported', message: 'The checkpoint is not one that this kind gave.' })
}
