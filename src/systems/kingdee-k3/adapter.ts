/** The ports of one organisation in a K/3 Cloud data centre. */

import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { chunks } from '../kit/keyset.ts'
import type { Adapter, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import {
  type Customer,
  type Delivery,
  type InventoryLevel,
  type Invoice,
  joinKey,
  type Key,
  type Order,
  type Product,
  type RecordType,
  type RecordTypes,
  splitKey,
  type Warehouse,
} from '../records.ts'
import { createWebApi, literal } from './client.ts'
import type { KingdeeK3Config } from './config.ts'
import { FORMS, type FormName } from './fields.ts'
import {
  createForm,
  createMapping,
  documentsOf,
  type Form,
  type Mapping,
  type Row,
  receivableOf,
} from './mapping.ts'
import { orderWrites } from './order-writes.ts'
import {
  allOf,
  createReader,
  ENTRIES,
  isOf,
  known,
  oneOf,
  type Reader,
  type Related,
  readAll,
  type Source,
  unknownField,
} from './reading.ts'

export const createKingdeeK3: CreateAdapter<KingdeeK3Config> = (config, context): Adapter => {
  const client = createWebApi(config, context)
  const clock = createClock(config.timeZone)
  const map = createMapping(config, clock)
  const source: Source = {
    client,
    config,
    skip: (failure) =>
      context.log.warn({ system: context.systemId, failure }, 'left out a record that cannot be read'),
    lacking: (of, field) =>
      context.log.warn({ system: context.systemId, form: of, field }, 'this data centre has no such field'),
  }
  // One of each: what one port learns that the data centre lacks, no other asks for again.
  const forms = new Map<FormName, Form>()
  const form = (name: FormName): Form => {
    const known = forms.get(name) ?? createForm(config, name)
    forms.set(name, known)
    return known
  }

  const customers = createReader<Customer>(source, form('customer'), map.customer)
  const products = createReader<Product>(
    source,
    form('product'),
    map.product,
    config.priceList === null ? [] : [listPrices(config.priceList, form('price'))],
  )
  const warehouses = createReader<Warehouse>(source, form('warehouse'), map.warehouse)
  const orders = createReader<Order>(source, form('order'), map.order)
  const deliveries = createReader<Delivery>(source, form('delivery'), map.delivery)
  const invoices = createReader<Invoice>(source, form('invoice'), map.invoice, [
    {
      part: 'lines',
      forms: [form('invoiceLine')],
      by: 'number',
      filter: (lines) => isOf(lines, 'organization', [config.organization]),
    },
    ...(config.taxInvoiceForms.length === 0
      ? []
      : [
          {
            part: 'taxInvoices',
            forms: config.taxInvoiceForms.map((id) => createForm(config, 'taxInvoice', id)),
            by: 'source',
          },
        ]),
  ])

  return {
    kind: 'kingdee-k3',
    concurrency: config.maxConnections,
    ports: {
      customer: readable<'customer'>(customers),
      product: { ...readable<'product'>(products), parts: { price: ['price'] } },
      warehouse: readable<'warehouse'>(warehouses),
      inventoryLevel: inventoryPort(source, form('inventoryLevel'), map),
      order: {
        ...readable<'order'>(orders),
        // How far an order has come is told by its entries.
        parts: {
          [ENTRIES]: [
            'lines',
            'fulfilmentStatus',
            'billingStatus',
            'status',
            'statusSince',
            'dueDate',
            'holds',
            'precededBy',
          ],
        },
        lookups: {
          byNumber: { batchLimit: orders.batchLimit, read: listsOf(orders) },
          byCustomer: orders.lookup('customer'),
        },
        ...orderWrites({
          source,
          clock,
          form: form('order'),
          reread: orders.readOne,
          log: (failure, step) =>
            context.log.warn({ system: context.systemId, failure, step }, 'an order stopped on its way'),
        }),
      },
      delivery: {
        ...readable<'delivery'>(deliveries),
        parts: { [ENTRIES]: ['lines', 'orders'] },
        lookups: { byOrder: deliveriesByOrder(source, form('delivery'), deliveries) },
      },
      invoice: {
        ...readable<'invoice'>(invoices),
        parts: {
          [ENTRIES]: ['open'],
          lines: ['lines', 'orderNumbers'],
          taxInvoices: ['taxInvoices'],
        },
        lookups: {
          byNumber: { batchLimit: invoices.batchLimit, read: listsOf(invoices) },
          byCustomer: invoices.lookup('customer'),
        },
      },
      receivable: receivablePort(source, form('invoice'), customers, invoices, clock.today),
    },
    health(call) {
      return outcomeOf(async () => {
        const bare = form('customer').columns.slice(0, 2)
        const fields = bare.map((column) => column.field)
        const order = `${fields[0]} ASC`
        await client.query({ form: FORMS.customer, fields, filter: '', order, limit: 1 }, call)
        const { accountId } = config.login
        return { detail: `K/3 Cloud, data centre ${accountId}, organisation ${config.organization}` }
      })
    },
    async checkConfiguration(call) {
      const sentences: string[] = []
      const isUsed = (name: FormName) =>
        name === 'taxInvoice'
          ? config.taxInvoiceForms.length > 0
          : name !== 'price' || config.priceList !== null
      for (const name of (Object.keys(FORMS) as FormName[]).filter(isUsed)) {
        const of = createForm(config, name)
        const spared: string[] = []
        // The vendor names one field at a time: asked again without it, it names the next.
        for (let fields = of.columns.map((column) => column.field); fields.length > 0; ) {
          const asked = { form: of.form, fields, filter: '', order: `${fields[0]} ASC`, limit: 1 }
          const outcome = await outcomeOf(() => client.query(asked, call))
          if (outcome.ok) break
          if (outcome.failure.kind === 'unavailable') return outcome
          const unknown = unknownField(outcome.failure)
          const isSpared = unknown !== undefined && of.lacks(unknown)
          if (isSpared) spared.push(unknown)
          else sentences.push(`${of.form}: ${failureText(outcome.failure)}`)
          const left = new Set(of.columns.map((column) => column.field))
          const rest = fields.filter((field) =>
            isSpared ? left.has(field) : !`${field}.`.toLowerCase().startsWith(`${unknown?.toLowerCase()}.`),
          )
          if (rest.length === fields.length) break
          fields = rest
        }
        if (spared.length > 0) {
          sentences.push(
            `${of.form}: read without ${spared.join(', ')}, which this data centre does not have; under fields.${name} they can be renamed, or set to null`,
          )
        }
      }
      return ok(sentences)
    },
    connect: (call) => outcomeOf(() => client.connect(call)),
    close: () => client.close(),
  }
}

function readable<T extends RecordType>(of: Reader<RecordTypes[T]>) {
  return {
    batchLimit: of.batchLimit,
    readMany: of.readMany,
    list: of.list,
    changes: of.changes,
  } satisfies Partial<RecordPort<T>>
}

/** What a price list says of products; without it they have none. */
const listPrices = (number: string, form: Form): Related => ({
  part: 'price',
  forms: [form],
  by: 'product',
  filter: () => isOf(form, 'number', [number]),
})

/** Keys are the numbers that people use. */
function listsOf<R>(reader: Reader<R>) {
  return async (keys: readonly Key[], context: Parameters<Reader<R>['readMany']>[1]) => {
    const read = await reader.readMany(keys, context)
    return read.map(
      (one): Outcome<readonly R[]> => (one.ok ? ok(one.value === null ? [] : [one.value]) : one),
    )
  }
}

/* ---- stock ---- */

/**
 * The vendor keeps stock by product, warehouse, lot, place, status and owner; a level is what one owner has of one
 * status in one warehouse, all lots together.
 */
function inventoryPort(source: Source, form: Form, map: Mapping): RecordPort<'inventoryLevel'> {
  const { client, config, skip } = source
  const productField = form.of('product') as string
  const warehouseField = form.of('warehouse') as string
  // Lots and places are added up: what knows neither status nor owner has goods of one sort only.
  const mine = () =>
    allOf([
      isOf(form, 'organization', [config.organization]),
      isOf(form, 'owner', [config.stockOwner ?? config.organization]),
      config.stockStatus === null ? undefined : isOf(form, 'status', [config.stockStatus]),
    ])
  const placeOf = (row: Row): string => joinKey([String(row.product ?? ''), String(row.warehouse ?? '')])

  /** Levels by key, in the order in which their first rows came. */
  const levelsOf = (rows: readonly Row[]) => {
    const groups = new Map<string, Row[]>()
    for (const row of rows) {
      const group = groups.get(placeOf(row))
      if (group) group.push(row)
      else groups.set(placeOf(row), [row])
    }
    return new Map([...groups].map(([place, group]) => [place, map.inventoryLevel(group)]))
  }

  const read = async (
    products: readonly string[],
    context: Parameters<Lookup<'inventoryLevel'>['read']>[1],
  ) => {
    const found = new Map<string, Outcome<Map<string, Outcome<InventoryLevel>>>>()
    const wanted = [...new Set(products)].filter((product) => product.trim() !== '')
    for (const batch of chunks(wanted, config.batchLimit)) {
      const rows = await outcomeOf(async () => {
        const filter = () => allOf([mine(), oneOf(productField, batch)])
        const documents = await readAll(source, form, () => form.columns, filter, context)
        return documents.flatMap((document) => document.rows)
      })
      for (const product of batch) {
        found.set(product, rows.ok ? ok(levelsOf(rows.value.filter((row) => row.product === product))) : rows)
      }
    }
    return found
  }

  return {
    batchLimit: config.batchLimit,

    async readMany(keys, context) {
      const parts = keys.map((key) => splitKey(key))
      const found = await read(
        parts.map(([product = '']) => product),
        context,
      )
      return keys.map((key, at) => {
        const levels = found.get(parts[at]?.[0] ?? '') ?? ok(new Map<string, Outcome<InventoryLevel>>())
        return levels.ok ? (levels.value.get(key) ?? ok(null)) : levels
      })
    },

    lookups: {
      byProduct: {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const found = await read(keys, context)
          return keys.map((key): Outcome<readonly InventoryLevel[]> => {
            const levels = found.get(key)
            if (!levels) return ok([])
            if (!levels.ok) return levels
            const list: InventoryLevel[] = []
            for (const level of levels.value.values()) {
              if (!level.ok) return level
              list.push(level.value)
            }
            return ok(list.sort((a, b) => (a.warehouse < b.warehouse ? -1 : 1)))
          })
        },
      },
    },

    /** Product by product, warehouse by warehouse. The last level of a full page may go on behind it. */
    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (filter?.customer !== undefined || filter?.search !== undefined) {
          throw new SourceError({ kind: 'unsupported', message: 'Stock can be listed, but not searched.' })
        }
        const levels: [string, Outcome<InventoryLevel>][] = []
        let from = after
        let limit = Math.min(first + 20, config.pageLimit)
        for (;;) {
          const [product = '', warehouse = ''] = from === undefined ? [] : splitKey(from)
          const rest =
            from === undefined
              ? undefined
              : `(${productField} > ${literal(product)} or (${productField} = ${literal(product)} and ${warehouseField} > ${literal(warehouse)}))`
          const { rows, isFull } = await known(source, form, async () => {
            const { columns } = form
            const order = [productField, warehouseField, form.of('id')]
              .flatMap((field) => (field === undefined ? [] : `${field} ASC`))
              .join(',')
            const fields = columns.map((column) => column.field)
            const filter = allOf([mine(), rest])
            const cells = await client.query({ form: form.form, fields, filter, order, limit }, context)
            const documents = documentsOf(columns, cells)
            return { rows: documents.flatMap((document) => document.rows), isFull: cells.length === limit }
          })
          const page = [...levelsOf(rows)]
          if (isFull) page.pop()
          levels.push(...page)
          from = page.at(-1)?.[0] ?? from
          if (!isFull || levels.length > first) break
          if (page.length === 0) limit *= 2
        }
        // Levels of a page that cannot be read are left out; positions come from those that can.
        const items = levels.slice(0, first).flatMap(([position, level]) => {
          if (!level.ok) skip(level.failure)
          return level.ok ? [{ record: level.value, position }] : []
        })
        return { items, hasMore: levels.length > first }
      })
    },
  }
}

/* ---- deliveries of an order ---- */

/** Only a delivery's entries name the order: one call tells which, a second reads them whole. */
function deliveriesByOrder(source: Source, form: Form, deliveries: Reader<Delivery>): Lookup<'delivery'> {
  const { config } = source
  const columns = () =>
    ['id', 'number', 'entry', 'order'].flatMap((name) =>
      form.columns.filter((column) => column.name === name),
    )
  return {
    batchLimit: config.batchLimit,
    async read(keys, context) {
      const found = new Map<Key, Outcome<readonly Delivery[]>>()
      const wanted = [...new Set(keys)].filter((key) => key.trim() !== '')
      for (const batch of chunks(wanted, config.batchLimit)) {
        const links = await outcomeOf(async () => {
          const filter = () => {
            const orderField = form.of('order')
            if (orderField !== undefined) {
              return allOf([isOf(form, 'organization', [config.organization]), oneOf(orderField, batch)])
            }
            // None would be an answer, too, and a wrong one.
            const message = `${form.form} does not tell the order here: deliveries are not found by it.`
            throw new SourceError({ kind: 'unsupported', message })
          }
          const documents = await readAll(source, form, columns, filter, context)
          return documents.flatMap((document) => document.rows)
        })
        if (!links.ok) {
          for (const key of batch) found.set(key, links)
          continue
        }
        const numbers = [...new Set(links.value.map((row) => String(row.number ?? '')))]
        const read = await deliveries.readMany(numbers, context)
        const byNumber = new Map(read.map((delivery, at) => [numbers[at], delivery]))
        for (const key of batch) {
          const mine = new Set(
            links.value.filter((row) => row.order === key).map((row) => String(row.number)),
          )
          found.set(key, all([...mine].map((number) => byNumber.get(number) ?? ok(null))))
        }
      }
      return keys.map((key) => found.get(key) ?? ok([]))
    },
  }
}

function all<R>(outcomes: readonly Outcome<R | null>[]): Outcome<readonly R[]> {
  const records: R[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    if (outcome.value !== null) records.push(outcome.value)
  }
  return ok(records)
}

/* ---- what customers owe ---- */

/** Open, approved receivables of each customer, added up by currency: the vendor keeps no balance to read. */
function receivablePort(
  { config }: Source,
  form: Form,
  customers: Reader<Customer>,
  invoices: Reader<Invoice>,
  today: () => string,
): RecordPort<'receivable'> {
  const term = (name: string, comparison: string) => {
    const field = form.of(name)
    return field && `${field} ${comparison}`
  }
  const open = () =>
    allOf([term('documentStatus', "= 'C'"), term('cancelStatus', "= 'A'"), term('writtenOff', "<> 'C'")])
  const owed = invoices.lookup('customer', open)
  return {
    batchLimit: config.batchLimit,
    async readMany(keys, context) {
      const known = await customers.readMany(keys, context)
      const lists = await owed.read(keys, context)
      return keys.map((key, at) => {
        const customer = known[at] ?? ok(null)
        if (!customer.ok) return customer
        if (customer.value === null) return ok(null)
        const list = lists[at] ?? ok([])
        if (list.ok && form.of('open') === undefined) {
          const message = `${form.form} does not tell what is open here: nobody's debts can be added up.`
          return fail({ kind: 'unsupported', message })
        }
        return list.ok ? ok(receivableOf(key, list.value, today())) : list
      })
    },
  }
}
