/** Invoices, payments and what customers owe, in every system that keeps such books. */
import type { Identity } from '../../src/identity/registry.ts'
import { ok } from '../../src/systems/failure.ts'
import type { Money, PaymentApplication } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { type ListArguments, newestOfCustomer, pageOver } from '../kit/lists.ts'
import { numbersOf, placesNaming } from '../kit/numbers.ts'
import {
  gathered,
  identityOf,
  keysIn,
  type Located,
  loadById,
  loadByKey,
  located,
  lookupAll,
  pageSize,
  recordFields,
} from '../kit/records.ts'
import {
  type CustomFieldInput,
  chooseTarget,
  customInput,
  given,
  type How,
  requireLines,
  requirePositive,
  write,
} from '../kit/writes.ts'
import { invoiceSubscriptions } from './subscriptions.ts'

interface CustomerNode {
  readonly identity: Identity
}

interface OrderNode {
  readonly system: { readonly id: string }
  readonly number: string
}

interface ApplicationNode {
  readonly system: System
  readonly application: PaymentApplication
}

interface AccountInput {
  readonly idempotencyKey: string
  readonly customerId: string
  readonly system?: string | null
  readonly company?: string | null
  readonly account?: string | null
}

interface CreateInvoiceInput extends AccountInput {
  readonly orderNumbers?: readonly string[] | null
  readonly issueDate: string
  readonly dueDate?: string | null
  readonly gross: Money
  readonly net?: string | null
  readonly tax?: string | null
  readonly comments?: string | null
  readonly customFields?: readonly CustomFieldInput[] | null
  readonly lines?: readonly { readonly quantity: string }[] | null
}

interface RecordPaymentInput extends AccountInput {
  readonly date: string
  readonly amount: Money
  readonly method?: string | null
  readonly reference?: string | null
  readonly customFields?: readonly CustomFieldInput[] | null
  readonly applications?:
    | readonly { readonly invoiceId: string; readonly amount: string; readonly discount?: string | null }[]
    | null
}

export function financeResolvers(rooms: Rooms) {
  const { systems } = rooms

  const customerRef = async (
    context: SubgraphContext,
    system: System,
    key: string,
  ): Promise<CustomerNode> => ({
    identity: await context.identities.byKey('customer', system.id, key),
  })

  const chooseAccount = async (
    context: SubgraphContext,
    record: 'payment' | 'invoice',
    input: AccountInput,
  ) => {
    const identity = await identityOf(systems, context, 'customer', input.customerId)
    const able = keysIn(systems, identity, 'customer').filter(({ system }) => portOf(system, record)?.create)
    return chooseTarget(systems, able, {
      record,
      what: 'accounts of this customer',
      asked: input,
      none: `No system that takes ${record}s knows this customer. Open an account there, or link it with linkExternalId.`,
    })
  }

  return {
    Query: {
      invoice: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'invoice', id),
      payment: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'payment', id),
      invoices: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'invoice', args),
      payments: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'payment', args),
    },

    Mutation: {
      async recordPayment(
        _: unknown,
        { input, ...how }: { input: RecordPaymentInput } & How,
        context: SubgraphContext,
      ) {
        requirePositive(input.amount.amount, 'amount.amount')
        const { system, key } = await chooseAccount(context, 'payment', input)
        const applications = (input.applications ?? []).map(({ invoiceId, amount, discount }, index) => {
          const place = `applications[${index}]`
          requirePositive(amount, `${place}.amount`)
          const invoice = located(systems, 'invoice', invoiceId)
          if (invoice.system.id === system.id) return { invoice: invoice.key, amount, ...given({ discount }) }
          throw badInput(
            `"${place}.invoiceId" is an invoice of "${invoice.system.id}", the payment is recorded in "${system.id}".`,
            `${place}.invoiceId`,
          )
        })
        const { date, amount, method, reference } = input
        const { writeback, record } = await write(rooms, context, {
          mutation: 'recordPayment',
          input,
          system,
          record: 'payment',
          action: 'create',
          adapterInput: {
            customer: key,
            date,
            amount,
            ...given({ method, reference }),
            ...customInput(input.customFields),
            applications,
          },
          ...how,
        })
        return { writeback, payment: record }
      },

      async createInvoice(
        _: unknown,
        { input, ...how }: { input: CreateInvoiceInput } & How,
        context: SubgraphContext,
      ) {
        requirePositive(input.gross.amount, 'gross.amount')
        const { system, key } = await chooseAccount(context, 'invoice', input)
        const { orderNumbers, issueDate, gross, dueDate, net, tax, comments } = input
        const lines = input.lines?.map((line, index) => {
          requirePositive(line.quantity, `lines[${index}].quantity`)
          return given(line)
        })
        if (lines) requireLines(lines)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'createInvoice',
          input,
          system,
          record: 'invoice',
          action: 'create',
          adapterInput: {
            customer: key,
            orderNumbers: orderNumbers ?? [],
            issueDate,
            gross,
            ...given({ dueDate, net, tax, comments, lines }),
            ...customInput(input.customFields),
          },
          ...how,
        })
        return { writeback, invoice: record }
      },

      async cancelInvoice(
        _: unknown,
        { input, ...how }: { input: { idempotencyKey: string; id: string; expectedVersion?: string } } & How,
        context: SubgraphContext,
      ) {
        const { system, key } = located(systems, 'invoice', input.id)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'cancelInvoice',
          input,
          system,
          record: 'invoice',
          action: 'cancel',
          adapterInput: { key, ...given({ expectedVersion: input.expectedVersion }) },
          ...how,
        })
        return { writeback, invoice: record }
      },
    },

    Subscription: invoiceSubscriptions(rooms),

    Customer: {
      async __resolveReference({ id }: { id: string }, context: SubgraphContext): Promise<CustomerNode> {
        return { identity: await identityOf(systems, context, 'customer', id) }
      },
      id: (node: CustomerNode) => node.identity.id,

      async balances(node: CustomerNode, _: unknown, context: SubgraphContext) {
        const answers = await Promise.all(
          keysIn(systems, node.identity, 'receivable').map(async ({ system, key }) => {
            const outcome = await context.reader.load(system, 'receivable', key)
            if (!outcome.ok) return { system, outcome }
            const balances = outcome.value?.balances ?? []
            return {
              system,
              outcome: ok(balances.map((balance) => ({ system, asOf: outcome.value?.asOf, ...balance }))),
            }
          }),
        )
        return gathered(answers)
      },

      invoices: (node: CustomerNode, args: { first?: number }, context: SubgraphContext) =>
        newestOfCustomer(
          context,
          'invoice',
          keysIn(systems, node.identity, 'invoice'),
          pageSize(args.first, 10),
        ),
    },

    Order: {
      invoices({ system, number }: OrderNode, _: unknown, context: SubgraphContext) {
        const named = { type: 'order', system: system.id, number } as const
        const places = placesNaming(systems, 'invoice', 'byOrderNumber', named)
        return lookupAll(context, 'invoice', 'byOrderNumber', places)
      },
    },

    Invoice: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'invoice', id),
      ...recordFields('invoice', [
        'number',
        'orderNumbers',
        'type',
        'issueDate',
        'dueDate',
        'status',
        'vendorStatus',
        'totals',
        'paid',
        'open',
        'lines',
        'taxInvoices',
        'key',
        'externalReference',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      customer: ({ system, record }: Located<'invoice'>, _: unknown, context: SubgraphContext) =>
        record.customer ? customerRef(context, system, record.customer) : null,
      orders({ system, record }: Located<'invoice'>): OrderNode[] {
        const orderSystem = numbersOf(systems, 'order', system)
        return orderSystem ? record.orderNumbers.map((number) => ({ system: orderSystem, number })) : []
      },
      payments: ({ system, record }: Located<'invoice'>, _: unknown, context: SubgraphContext) =>
        portOf(system, 'payment')?.lookups?.byInvoice
          ? lookupAll(context, 'payment', 'byInvoice', [{ system, key: record.key }])
          : null,
    },

    Payment: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'payment', id),
      ...recordFields('payment', [
        'number',
        'date',
        'amount',
        'method',
        'reference',
        'status',
        'vendorStatus',
        'unapplied',
        'key',
        'externalReference',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      customer: ({ system, record }: Located<'payment'>, _: unknown, context: SubgraphContext) =>
        record.customer ? customerRef(context, system, record.customer) : null,
      applications: ({ system, record }: Located<'payment'>) =>
        record.applications.map((application): ApplicationNode => ({ system, application })),
    },

    PaymentApplication: {
      invoice: ({ system, application }: ApplicationNode, _: unknown, context: SubgraphContext) =>
        loadByKey(context, system, 'invoice', application.invoice),
      amount: ({ application }: ApplicationNode) => application.amount,
      discount: ({ application }: ApplicationNode) => application.discount ?? null,
    },
  }
}
