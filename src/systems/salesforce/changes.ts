/**
 * What changed since, by `SystemModstamp`: changes that the system makes by itself move only that one. Rows of the
 * recycle bin come too, so that what was deleted is told. A changed contact is a changed customer.
 */
import { z } from 'zod'
import { outcomeOf, SourceError } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import type { CallContext, ChangePage } from '../port.ts'
import type { Key, RecordTypes } from '../records.ts'
import type { Row } from './client.ts'
import { longId, type ObjectName } from './ids.ts'
import { type Held, idOf, OBJECTS, placeOf, type Reading, type Tools } from './reading.ts'
import { behind, soql } from './soql.ts'

/** Everything since a time, and inside one sweep the place in it. */
const positionSchema = z.strictObject({
  since: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  after: z.strictObject({ at: z.string(), id: z.string() }).optional(),
})
type Position = z.infer<typeof positionSchema>
const checkpointSchema = z.record(z.string(), positionSchema)

const BEGINNING = '1970-01-01T00:00:00.000Z'

export function createChanges(tools: Tools, reading: Reading) {
  const { config, client, mapping } = tools
  const size = config.pageLimit

  /** The newest stamp that there is. */
  const now = async (
    objects: readonly ObjectName[],
    context: CallContext,
  ): Promise<Record<string, Position>> => {
    const queries = objects.map((object) =>
      soql({ object, fields: ['Id', 'SystemModstamp'], order: 'SystemModstamp DESC', limit: 1 }),
    )
    const found = await client.query(queries, context, true)
    return Object.fromEntries(
      objects.map((object, at) => {
        const row = found[at]?.[0]
        return [object, { since: row ? placeOf(row, 'SystemModstamp', object).at : BEGINNING }]
      }),
    )
  }

  const queryFor = (object: ObjectName, fields: readonly string[], { since, after }: Position): string => {
    const from = new Date(Date.parse(since) - config.overlapSeconds * 1000).toISOString()
    return soql({
      object,
      fields: [...fields, 'Id', 'IsDeleted', 'SystemModstamp'],
      where: [after ? behind('SystemModstamp', after, '>') : `SystemModstamp >= ${from}`],
      order: 'SystemModstamp, Id',
      limit: size,
    })
  }

  const moved = (object: ObjectName, { since, after }: Position, rows: readonly Row[]): Position => {
    const last = rows.at(-1)
    if (!last) return { since: after && after.at > since ? after.at : since }
    const place = placeOf(last, 'SystemModstamp', object)
    if (rows.length === size) return { since, after: place }
    return { since: place.at > since ? place.at : since }
  }

  const readPage = async <T extends Held>(
    type: T,
    checkpoint: string | null,
    context: CallContext,
  ): Promise<ChangePage<T>> => {
    const objects: readonly ObjectName[] = type === 'customer' ? ['Account', 'Contact'] : ['Opportunity']
    if (checkpoint === null) {
      return { records: [], checkpoint: JSON.stringify(await now(objects, context)), hasMore: false }
    }
    const known = readCheckpoint(checkpointSchema, checkpoint)
    const positions = objects.map((object) => known[object] ?? { since: BEGINNING })
    const fieldsOf = (object: ObjectName) => {
      if (object === 'Contact') return ['AccountId']
      return object === 'Account' ? mapping.accountFields : mapping.opportunityFields
    }
    const found = await client.query(
      objects.map((object, at) => queryFor(object, fieldsOf(object), positions[at] as Position)),
      context,
      true,
    )
    const rows = found[0] ?? []
    const alive = rows.filter((row) => row.IsDeleted !== true)
    const deleted = rows
      .filter((row) => row.IsDeleted === true)
      .map((row) => idOf(row, OBJECTS[type]))
      .filter((id) => id !== null)
    const records = await reading.toRecords(type, alive, context)
    const values = reading.readable(type, records).filter((value) => value !== null)
    const told = new Set<Key>([...values.map(({ key }) => key), ...deleted])
    const next = objects.map(
      (object, at) => [object, moved(object, positions[at] as Position, found[at] ?? [])] as const,
    )
    return {
      records: [...values, ...(await customersOfContacts(found[1] ?? [], told, context))] as RecordTypes[T][],
      deleted,
      checkpoint: JSON.stringify(Object.fromEntries(next)),
      hasMore: next.some(([, position]) => position.after !== undefined),
    }
  }

  /** Customers one of whose contacts has changed or gone. */
  const customersOfContacts = async (
    contacts: readonly Row[],
    told: ReadonlySet<Key>,
    context: CallContext,
  ): Promise<RecordTypes['customer'][]> => {
    const keys = contacts
      .map((row) => longId(String(row.AccountId ?? ''), 'Account'))
      .filter((key) => key !== null && !told.has(key)) as Key[]
    const outcomes = await reading.readMany('customer', [...new Set(keys)], context)
    for (const outcome of outcomes) {
      // Going on without these would lose their change.
      if (!outcome.ok && outcome.failure.kind !== 'invalid-response') throw new SourceError(outcome.failure)
    }
    return outcomes.flatMap((outcome) => (outcome.ok && outcome.value ? [outcome.value] : []))
  }

  return <T extends Held>(type: T) =>
    (checkpoint: string | null, context: CallContext) =>
      outcomeOf(() => readPage(type, checkpoint, context))
}
