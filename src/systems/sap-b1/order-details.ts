/** What other entities say of orders: numbers of quotations, names of attached files. */
import { z } from 'zod'
import { outcomeOf, SourceError } from '../failure.ts'
import type { CallContext } from '../port.ts'
import type { Attachment, Order } from '../records.ts'
import type { Query } from './client.ts'
import { batches, type Source } from './entities.ts'
import { bareOrder, entry, type RawOrder, rowKey, text } from './mapping.ts'

const attachmentsSchema = z.object({
  AbsoluteEntry: entry,
  Attachments2_Lines: z
    .array(z.object({ FileName: text, FileExtension: text }))
    .nullish()
    .transform((lines) => lines ?? []),
})

/** @returns For each order the same with what it is made from, and with its files; null where nobody may see them. */
export function orderDetails({ client, config, skip }: Source) {
  const rowsOf = async (
    entries: readonly string[],
    key: string,
    query: Pick<Query, 'entity' | 'select'>,
    context: CallContext,
  ): Promise<unknown[] | null> => {
    const wanted = [...new Set(entries)]
    if (wanted.length === 0) return []
    const read = await outcomeOf(async () => {
      const queries = [...batches(wanted, (one) => `${key} eq ${one}`, config, 200)].map(
        ({ keys, terms }) => ({
          ...query,
          filter: terms.join(' or '),
          orderby: `${key} asc`,
          pageSize: keys.length,
        }),
      )
      const found: unknown[] = []
      for (const rows of await client.manyRows(queries, context)) {
        if (!rows.ok) throw new SourceError(rows.failure)
        found.push(...rows.value)
      }
      return found
    })
    if (read.ok) return read.value
    // An order without them is better than none, where a right is missing.
    if (read.failure.kind === 'unavailable') throw new SourceError(read.failure)
    skip(read.failure)
    return null
  }

  return async (orders: readonly RawOrder[], context: CallContext): Promise<Order[]> => {
    const [quotations, files] = await Promise.all([
      rowsOf(
        orders.flatMap((order) => order.quotations),
        'DocEntry',
        { entity: 'Quotations', select: ['DocEntry', 'DocNum'] },
        context,
      ),
      rowsOf(
        context.without?.has('attachments') ? [] : orders.flatMap((order) => order.attachmentEntry ?? []),
        'AbsoluteEntry',
        { entity: 'Attachments2', select: Object.keys(attachmentsSchema.shape) },
        context,
      ),
    ])
    const numbers = new Map(
      quotations?.map((row) => [rowKey(row, 'DocEntry') ?? '', rowKey(row, 'DocNum') ?? '']),
    )
    const attached = new Map<string, readonly Attachment[]>()
    for (const row of files ?? []) {
      const parsed = attachmentsSchema.safeParse(row)
      if (!parsed.success) continue
      const { AbsoluteEntry: key, Attachments2_Lines: lines } = parsed.data
      const nameOf = (line: (typeof lines)[number]) =>
        [line.FileName, line.FileExtension].filter(Boolean).join('.')
      attached.set(
        key,
        lines.map((line) => ({ name: nameOf(line), url: null })),
      )
    }
    return orders.map((order) => ({
      ...bareOrder(order),
      precededBy:
        quotations &&
        order.quotations.flatMap((key) => {
          const number = numbers.get(key)
          return number === undefined
            ? []
            : [{ type: 'QUOTATION' as const, number, vendorType: 'oQuotations' }]
        }),
      attachments:
        files && (order.attachmentEntry === null ? [] : (attached.get(order.attachmentEntry) ?? null)),
    }))
  }
}
