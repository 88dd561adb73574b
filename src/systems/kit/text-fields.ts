/** Fields of vendors that write numbers as text, or as JSON numbers that are text after `parseJson`, and '' for none. */
import { z } from 'zod'
import { fail, type Outcome } from '../failure.ts'
import { isDecimal } from './json.ts'
import { fieldText } from './named-fields.ts'

export const id = z.string().min(1)
export const text = z
  .string()
  .nullish()
  .transform((value) => value || null)
export const decimal = text.refine((value) => value === null || isDecimal(value), 'is no number')
/** A number that must be there. */
export const given = z.string().refine(isDecimal, 'is no number')

/** A row that breaks its schema fails alone, and says which one it is. */
export function broken(what: string, row: unknown, keyField: string, error: z.ZodError): Outcome<never> {
  const [issue] = error.issues
  const where = issue ? `${issue.path.join('.')}: ${issue.message}` : ''
  const key = fieldText(row, keyField) ?? 'without a key'
  return fail({ kind: 'invalid-response', detail: `${what} ${key}: ${where}` })
}
