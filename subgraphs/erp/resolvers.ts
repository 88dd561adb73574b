/** Products and orders, and a customer's standing in the systems that take orders. */
import type { Identity } from '../../src/identity/registry.ts'
import { ok } from '../../src/systems/failure.ts'
import type { OrderChanges, ShipTo } from '../../src/systems/port.ts'
import type { Account, OrderLine, Product, Reference } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { type ListArguments, newestOfCustomer, pageOver } from '../kit/lists.ts'
import {
  customFieldsOf,
  gathered,
  identityOf,
  idOf,
  keysIn,
  type Located,
  loadById,
  loadByKey,
  located,
  pageSize,
  provenanceOf,
  recordFields,
  systemOf,
  unwrap,
} from '../kit/records.ts'
import {
  type CustomFieldInput,
  chooseTarget,
  customInput,
  given,
  type How,
  productLine,
  requireLines,
  shipToInput,
  type TargetName,
  write,
} from '../kit/writes.ts'
import { orderSubscriptions } from './subscriptions.ts'

interface CustomerNode {
  readonly identity: Identity
}

/** A product is what it is in all systems; its data are read where it was met, else where it is found first. */
interface ProductNode {
  readonly identity: Identity
  data(): Promise<Located<'product'> | null>
}

interface LineNode {
  readonly system: System
  readonly line: OrderLine
}

interface AccountNode {
  readonly system: System
  readonly key: string
  readonly name: string
  readonly account: Account
}

interface CreateOrderInput {
  readonly target?: TargetName | null
  readonly idempotencyKey: string
  readonly customerId: string
  readonly system?: string | null
  readonly company?: string | null
  readonly account?: string | null
  readonly currency?: string | null
  readonly orderDate?: string | null
  readonly dueDate: string
  readonly customerReference?: string | null
  readonly comments?: string | null
  readonly shipTo?: ShipTo | null
  readonly paymentTerms?: string | null
  readonly paymentMethod?: string | null
  readonly precededBy?: readonly Reference[] | null
  readonly customFields?: readonly CustomFieldInput[] | null
  readonly lines: readonly {
    readonly productId: string
    readonly quantity: string
    readonly unitPrice?: string | null
    readonly discountPercent?: string | null
    readonly warehouse?: string | null
    readonly comments?: string | null
    readonly customFields?: readonly CustomFieldInput[] | null
  }[]
}

interface OrderActionInput {
  readonly idempotencyKey: string
  readonly id: string
  readonly expectedVersion?: string | null
}

/** What a product shows as its record has it. */
const PRODUCT_FIELDS = [
  'sku',
  'name',
  'foreignName',
  'barcode',
  'description',
  'unit',
  'units',
  'active',
  'status',
  'vendorStatus',
  'category',
  'specifications',
  'price',
  'cost',
  'taxRate',
  'minOrder',
  'maxOrder',
  'supplier',
  'images',
  'videos',
  'documents',
  'tags',
  'createdAt',
  'updatedAt',
  'version',
] as const satisfies readonly (keyof Product)[]

/** What a line shows as its record has it. */
const LINE_FIELDS = [
  'id',
  'lineNumber',
  'sku',
  'description',
  'ordered',
  'confirmed',
  'delivered',
  'invoiced',
  'returned',
  'open',
  'unitPrice',
  'discountPercent',
  'taxRate',
  'net',
  'tax',
  'gross',
  'status',
  'comments',
] as const satisfies readonly (keyof OrderLine)[]

/** The action that leads there, as adapters call it. */
const TO_STATUS = {
  CONFIRMED: 'confirm',
  IN_PROGRESS: 'process',
  SHIPPED: 'ship',
  DELIVERED: 'deliver',
  CLOSED: 'close',
  CANCELLED: 'cancel',
} as const

export function erpResolvers(rooms: Rooms) {
  const { systems } = rooms

  /** Keys under which the customer buys: those in systems that hold orders. */
  const accountsOf = (identity: Identity) =>
    keysIn(systems, identity, 'customer').filter(({ system }) => portOf(system, 'order'))

  const productOf = (
    context: SubgraphContext,
    identity: Identity,
    met?: { system: System; key: string },
  ): ProductNode => {
    let data: Promise<Located<'product'> | null> | undefined
    const read = async () => {
      // A shop's order management names products that it cannot show: another system may.
      const places = met && portOf(met.system, 'product') ? [met] : keysIn(systems, identity, 'product')
      for (const { system, key } of places) {
        const found = await loadByKey(context, system, 'product', key)
        if (found) return found
      }
      return null
    }
    return { identity, data: () => (data ??= read()) }
  }

  const findProduct = async (context: SubgraphContext, id: string): Promise<ProductNode | null> => {
    const identity = await identityOf(systems, context, 'product', id)
    const node = productOf(context, identity)
    return identity.keys.length > 1 || (await node.data()) ? node : null
  }

  const productByKey = async (context: SubgraphContext, system: System, key: string): Promise<ProductNode> =>
    productOf(context, await context.identities.byKey('product', system.id, key), { system, key })

  const customerByKey = async (
    context: SubgraphContext,
    system: System,
    key: string,
  ): Promise<CustomerNode> => ({
    identity: await context.identities.byKey('customer', system.id, key),
  })

  const productField =
    <F extends keyof Product>(field: F) =>
    async (node: ProductNode) =>
      (await node.data())?.record[field] ?? null

  const orderByNumber = async (context: SubgraphContext, system: System, number: string) => {
    const read = await context.reader.lookup(system, 'order', 'byNumber', number)
    const [record] = unwrap(system, read)
    return record && read.ok ? { system, record, from: read.from } : null
  }

  const chooseAccount = async (context: SubgraphContext, input: CreateOrderInput) => {
    const identity = await identityOf(systems, context, 'customer', input.customerId)
    // Shops know buyers and keep no accounts of them: the key alone is who buys there.
    const able = keysIn(systems, identity, 'order').filter(({ system }) => portOf(system, 'order')?.create)
    return chooseTarget(systems, able, {
      record: 'order',
      what: 'accounts of this customer',
      asked: input,
      none: 'This customer has no account in a system that takes orders. Open one there, or link it with linkExternalId.',
    })
  }

  const act = async (
    mutation: string,
    action: string,
    input: OrderActionInput,
    how: How,
    context: SubgraphContext,
  ) => {
    const { system, key } = located(systems, 'order', input.id)
    const { writeback, record } = await write(rooms, context, {
      mutation,
      input,
      system,
      record: 'order',
      action,
      adapterInput: { key, ...given({ expectedVersion: input.expectedVersion }) },
      ...how,
    })
    return { writeback, order: record }
  }
  const actionNamed =
    (mutation: string, action: string) =>
    (_: unknown, { input, ...how }: { input: OrderActionInput } & How, context: SubgraphContext) =>
      act(mutation, action, input, how, context)

  const lineInput = async (
    context: SubgraphContext,
    system: System,
    line: CreateOrderInput['lines'][number],
    index: number,
  ) => {
    const place = `lines[${index}]`
    if (line.unitPrice?.startsWith('-'))
      throw badInput(`"${place}.unitPrice" must not be negative.`, `${place}.unitPrice`)
    if (
      line.discountPercent != null &&
      !(Number(line.discountPercent) >= 0 && Number(line.discountPercent) <= 100)
    ) {
      throw badInput(`"${place}.discountPercent" must be between 0 and 100.`, `${place}.discountPercent`)
    }
    const { unitPrice, discountPercent, warehouse, comments, customFields } = line
    const known = await productLine(systems, context, system, line, place)
    return {
      ...known,
      ...given({ unitPrice, discountPercent, warehouse, comments }),
      ...customInput(customFields),
    }
  }

  return {
    Query: {
      order: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'order', id),

      orderByNumber: (_: unknown, args: { system: string; number: string }, context: SubgraphContext) =>
        orderByNumber(context, systemOf(systems, args.system), args.number),

      orders: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'order', args),

      product: (_: unknown, { id }: { id: string }, context: SubgraphContext) => findProduct(context, id),

      async products(_: unknown, args: ListArguments, context: SubgraphContext) {
        const page = await pageOver(systems, context, 'product', args)
        const nodes = await Promise.all(
          page.nodes.map(({ system, record }) => productByKey(context, system, record.key)),
        )
        return { ...page, nodes, edges: page.edges.map((edge, index) => ({ ...edge, node: nodes[index] })) }
      },
    },

    Mutation: {
      async createOrder(
        _: unknown,
        { input, ...how }: { input: CreateOrderInput } & How,
        context: SubgraphContext,
      ) {
        requireLines(input.lines)
        const { system, key } = await chooseAccount(context, input)
        const lines = await Promise.all(
          input.lines.map((line, index) => lineInput(context, system, line, index)),
        )
        const { currency, orderDate, customerReference, comments, dueDate } = input
        const { shipTo, paymentTerms, paymentMethod, precededBy } = input
        const { writeback, record } = await write(rooms, context, {
          mutation: 'createOrder',
          input,
          system,
          record: 'order',
          action: 'create',
          adapterInput: {
            customer: key,
            dueDate,
            ...given({ currency, orderDate, customerReference, comments }),
            ...given({ shipTo: shipToInput(shipTo), paymentTerms, paymentMethod, precededBy }),
            ...customInput(input.customFields),
            lines,
          },
          target: input.target,
          ...how,
        })
        return { writeback, order: record }
      },

      async updateOrder(
        _: unknown,
        {
          input,
          ...how
        }: {
          input: OrderActionInput &
            Omit<OrderChanges, 'customFields'> & { customFields?: readonly CustomFieldInput[] | null }
        } & How,
        context: SubgraphContext,
      ) {
        const { idempotencyKey, id, expectedVersion, customFields, shipTo, ...fields } = input
        const changes = {
          ...given({ ...fields, shipTo: shipToInput(shipTo) }),
          ...customInput(customFields),
        }
        if (Object.keys(changes).length === 0) throw badInput('Say at least one field to change.', 'input')
        const { system, key } = located(systems, 'order', id)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'updateOrder',
          input,
          system,
          record: 'order',
          action: 'update',
          adapterInput: { key, ...given({ expectedVersion }), changes },
          ...how,
        })
        return { writeback, order: record }
      },

      confirmOrder: actionNamed('confirmOrder', 'confirm'),
      closeOrder: actionNamed('closeOrder', 'close'),
      cancelOrder: actionNamed('cancelOrder', 'cancel'),
      changeOrderStatus: (
        _: unknown,
        { input, ...how }: { input: OrderActionInput & { status: keyof typeof TO_STATUS } } & How,
        context: SubgraphContext,
      ) => act('changeOrderStatus', TO_STATUS[input.status], input, how, context),
    },

    Subscription: orderSubscriptions(rooms),

    Customer: {
      async __resolveReference({ id }: { id: string }, context: SubgraphContext): Promise<CustomerNode> {
        return { identity: await identityOf(systems, context, 'customer', id) }
      },
      id: (node: CustomerNode) => node.identity.id,

      async accounts(node: CustomerNode, _: unknown, context: SubgraphContext) {
        const answers = await Promise.all(
          accountsOf(node.identity).map(async ({ system, key }) => {
            const outcome = await context.reader.load(system, 'customer', key)
            if (!outcome.ok) return { system, outcome }
            const { account, name } = outcome.value ?? {}
            const nodes: AccountNode[] = account && name !== undefined ? [{ system, key, name, account }] : []
            return { system, outcome: ok(nodes) }
          }),
        )
        return gathered(answers)
      },

      orders: (node: CustomerNode, args: { first?: number }, context: SubgraphContext) =>
        newestOfCustomer(context, 'order', accountsOf(node.identity), pageSize(args.first, 10)),
    },

    CustomerAccount: {
      company: ({ account }: AccountNode) => account.company ?? null,
      salesArea: ({ account }: AccountNode) => account.salesArea ?? null,
      currency: ({ account }: AccountNode) => account.currency,
      creditLimit: ({ account }: AccountNode) => account.creditLimit ?? null,
      paymentTerms: ({ account }: AccountNode) => account.paymentTerms ?? null,
      balance: ({ account }: AccountNode) => account.balance ?? null,
      blocked: ({ account }: AccountNode) => account.blocked ?? null,
    },

    Product: {
      /** Documents name it: it is something, also where no system has anything to say about it. */
      async __resolveReference({ id }: { id: string }, context: SubgraphContext): Promise<ProductNode> {
        return productOf(context, await identityOf(systems, context, 'product', id))
      },
      id: (node: ProductNode) => node.identity.id,
      externalIds: (node: ProductNode) => node.identity.keys,
      ...Object.fromEntries(PRODUCT_FIELDS.map((field) => [field, productField(field)])),
      customFields: async (node: ProductNode) => customFieldsOf((await node.data())?.record),
      system: async (node: ProductNode) => (await node.data())?.system ?? null,
      async provenance(node: ProductNode) {
        const data = await node.data()
        return data && provenanceOf(data)
      },
    },

    Order: {
      __resolveReference(
        ref: { id: string } | { system: { id: string }; number: string },
        context: SubgraphContext,
      ): Promise<Located<'order'> | null> {
        if ('id' in ref) return loadById(systems, context, 'order', ref.id)
        return orderByNumber(context, systemOf(systems, ref.system.id), ref.number)
      },
      ...recordFields('order', [
        'number',
        'key',
        'documentType',
        'company',
        'channel',
        'customerName',
        'shipTo',
        'billTo',
        'payer',
        'customerReference',
        'externalReference',
        'shop',
        'platformNumbers',
        'orderDate',
        'dueDate',
        'postingDate',
        'status',
        'vendorStatus',
        'statusSince',
        'approvalStatus',
        'fulfilmentStatus',
        'billingStatus',
        'holds',
        'deliveredOn',
        'trackingNumbers',
        'payment',
        'totals',
        'companyTotals',
        'exchangeRate',
        'comments',
        'timeline',
        'precededBy',
        'followedBy',
        'attachments',
        'createdBy',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      customer({ system, record }: Located<'order'>, _: unknown, context: SubgraphContext) {
        return record.customer ? customerByKey(context, system, record.customer) : null
      },
      lines: ({ system, record }: Located<'order'>) =>
        record.lines.map((line): LineNode => ({ system, line })),
    },

    OrderLine: {
      ...Object.fromEntries(LINE_FIELDS.map((field) => [field, ({ line }: LineNode) => line[field] ?? null])),
      product: ({ system, line }: LineNode, _: unknown, context: SubgraphContext) =>
        line.product ? productByKey(context, system, line.product) : null,
      warehouse: ({ system, line }: LineNode) =>
        line.warehouse ? { id: idOf('warehouse', system, line.warehouse) } : null,
      customFields: ({ line }: LineNode) => customFieldsOf(line),
    },
  }
}
