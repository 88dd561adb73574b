/** Invoices as they change, and as they fall due. */
import type { ChangeEvent } from '../../src/events/event.ts'
import { portOf } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { identityOf, keysIn, type Located, located, lookupAll, systemOf } from '../kit/records.ts'
import { INITIAL, present, presentOne, recordOf, type WatchArguments, watchLog } from '../kit/watch.ts'

interface InvoiceChangedArguments extends WatchArguments {
  readonly id?: string | null
  readonly customerId?: string | null
  readonly status?: readonly string[] | null
  readonly system?: string | null
}

export function invoiceSubscriptions(rooms: Rooms) {
  const { systems } = rooms
  return {
    invoiceChanged: {
      async subscribe(_: unknown, args: InvoiceChangedArguments, context: SubgraphContext) {
        const one = args.id == null ? null : located(systems, 'invoice', args.id)
        const customer =
          args.customerId == null ? null : await identityOf(systems, context, 'customer', args.customerId)
        if (args.system != null) systemOf(systems, args.system)
        const status = args.status == null ? null : new Set<string | null | undefined>(args.status)

        const matches = ({ system, key, data }: ChangeEvent) =>
          (args.system == null || system === args.system) &&
          (!one || (one.system.id === system && one.key === key)) &&
          (!status || status.has(data.facts.status)) &&
          (!customer ||
            customer.keys.some((known) => known.system === system && known.key === data.facts.customer))

        const candidates = async (): Promise<(Located<'invoice'> | Error)[]> => {
          if (one) return presentOne(context, one.system, 'invoice', one.key)
          if (!customer) return present(rooms, context, 'invoice', args.system)
          const places = keysIn(systems, customer, 'invoice').filter(
            ({ system }) => portOf(system, 'invoice')?.lookups?.byCustomer,
          )
          return lookupAll(context, 'invoice', 'byCustomer', places)
        }

        return watchLog(rooms, context, args, {
          field: 'invoiceChanged',
          filter: { record: 'invoice', matches },
          of: async (event) => ({
            statusBefore: event.data.before?.status ?? null,
            statusAfter: event.type === 'invoice.deleted' ? null : (event.data.facts.status ?? null),
            invoice: await recordOf(rooms, context, 'invoice', event),
          }),
          now: async () =>
            (await candidates())
              .filter(
                (invoice) =>
                  invoice instanceof Error ||
                  ((!status || status.has(invoice.record.status)) &&
                    (args.system == null || invoice.system.id === args.system)),
              )
              .slice(0, INITIAL)
              .map((invoice) => ({
                statusAfter: invoice instanceof Error ? null : invoice.record.status,
                invoice,
              })),
        })
      },
    },
  }
}
