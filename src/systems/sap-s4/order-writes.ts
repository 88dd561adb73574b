/** What may be written to sales orders: create, update, confirm, cancel. */
import Big from 'big.js'
import { fail, failureText, type Outcome, ok, outcomeOf, type SourceFailure } from '../failure.ts'
import type { HttpAnswer } from '../kit/http.ts'
import { isDecimal } from '../kit/json.ts'
import type {
  ActionInput,
  CallContext,
  OrderChanges,
  OrderCreate,
  ShipTo,
  UpdateOf,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import { type CustomFields, type Key, type Order, splitKey } from '../records.ts'
import { entityOf, type Gateway, type WriteRequest } from './client.ts'
import type { SapS4Config } from './config.ts'
import { rowKey } from './mapping.ts'
import { allOf, dateJson, external, literal, type Query } from './odata.ts'

export const ORDER_SERVICE = 'API_SALES_ORDER_SRV'

export interface OrderWritesOptions {
  readonly client: Gateway
  readonly config: SapS4Config
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Order | null>>
}

type Result = Outcome<WriteResult<'order'>>
type Checked = Outcome<Verdict<'order'>>
type Update = UpdateOf<OrderChanges>

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  update: WriteAction<Update, 'order'>
  actions: Readonly<Record<string, WriteAction<ActionInput, 'order'>>>
} {
  return {
    create: createAction(options),
    update: updateAction(options),
    actions: {
      confirm: confirmAction(options),
      ...(options.config.rejectionReason === null
        ? {}
        : { cancel: cancelAction(options, options.config.rejectionReason) }),
    },
  }
}

/* ---- create ---- */

function createAction(options: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
  const { client, config, reread } = options
  const field = config.externalReferenceField
  const request = (input: OrderCreate, write: WriteContext): WriteRequest => ({
    service: ORDER_SERVICE,
    method: 'POST',
    path: 'A_SalesOrder',
    body: JSON.stringify(orderBody(config, input, write)),
  })

  return {
    takes: [
      ...(['shipTo', 'paymentTerms', 'paymentMethod', 'lines.customFields'] as const),
      ...(config.itemTextType === null ? [] : (['lines.comments'] as const)),
    ],
    preview: (input, write) => previewOf(client, request(input, write)),

    async send(input, write, context): Promise<Result> {
      const unstorable = cannotStore(config, input)
      if (unstorable) return fail(unstorable)
      const sent = await outcomeOf(() => client.write(request(input, write), context))
      if (!sent.ok) return sent
      if (sent.value.status >= 300) return fail(client.writeFailure(sent.value))
      const entity = entityOf(sent.value, 'A_SalesOrder')
      if (!entity.ok) return entity
      const key = rowKey(entity.value, 'SalesOrder')
      if (key === undefined) return fail(illegible('the answer does not name the order'))
      return ok(await resultOf(key, reread, context, client.warnings(sent.value)))
    },

    /** The vendor keeps no reference unique, and a commit may still be on its way: "none" is never proof. */
    async verify(input, write, context): Promise<Checked> {
      const query: Query = {
        service: ORDER_SERVICE,
        set: 'A_SalesOrder',
        select: ['SalesOrder'],
        filter: allOf([
          `SoldToParty eq ${literal(external(input.customer))}`,
          `${field} eq ${literal(write.externalReference)}`,
        ]),
        orderby: 'SalesOrder asc',
      }
      const rows = await outcomeOf(() => client.rows(query, context))
      if (!rows.ok) return rows
      const key = rows.value.map((row) => rowKey(row, 'SalesOrder')).find((one) => one !== undefined)
      if (key !== undefined) return ok({ effect: 'done', result: await resultOf(key, reread, context) })
      return nothingDone(`no order of ${input.customer} has ${field} = ${write.externalReference}`, false)
    },
  }
}

/** A deep create: items with their prices, and the text. Decimals are texts in the vendor's JSON. */
function orderBody(config: SapS4Config, input: OrderCreate, write: WriteContext): Record<string, unknown> {
  const { salesArea, defaults } = config
  return {
    SalesOrderType: defaults.orderType,
    SalesOrganization: salesArea.organization,
    DistributionChannel: salesArea.channel,
    OrganizationDivision: salesArea.division,
    SoldToParty: input.customer,
    ...(input.customerReference === undefined ? {} : { PurchaseOrderByCustomer: input.customerReference }),
    ...(input.orderDate === undefined ? {} : { SalesOrderDate: dateJson(input.orderDate) }),
    RequestedDeliveryDate: dateJson(input.dueDate),
    ...(input.currency === undefined ? {} : { TransactionCurrency: vendorCurrency(config, input.currency) }),
    ...(input.paymentTerms === undefined ? {} : { CustomerPaymentTerms: input.paymentTerms }),
    ...(input.paymentMethod === undefined ? {} : { PaymentMethod: input.paymentMethod }),
    ...customBody(config.customFields.order, input.customFields),
    ...(config.onBehalfOfField === null ? {} : { [config.onBehalfOfField]: write.onBehalfOf }),
    [config.externalReferenceField]: write.externalReference,
    ...(input.comments === undefined ? {} : { to_Text: [textBody(config, config.textType, input.comments)] }),
    ...(input.shipTo === undefined ? {} : { to_Partner: [shipToBody(input.customer, input.shipTo)] }),
    to_Item: input.lines.map((line) => {
      const place =
        line.warehouse === undefined ? [defaults.plant, defaults.storageLocation] : splitKey(line.warehouse)
      const [plant, location] = place
      const conditions = conditionsOf(config, line, input.currency)
      return {
        Material: line.product,
        RequestedQuantity: line.quantity,
        ...(defaults.unit === undefined ? {} : { RequestedQuantityUnit: defaults.unit }),
        ...(plant ? { ProductionPlant: plant } : {}),
        ...(plant && location ? { StorageLocation: location } : {}),
        ...customBody(config.customFields.orderLine, line.customFields),
        ...(conditions.length === 0 ? {} : { to_PricingElement: conditions }),
        ...(line.comments === undefined || config.itemTextType === null
          ? {}
          : { to_Text: [textBody(config, config.itemTextType, line.comments)] }),
      }
    }),
  }
}

function conditionsOf(
  config: SapS4Config,
  line: OrderCreate['lines'][number],
  currency: string | undefined,
): Record<string, string>[] {
  const conditions: Record<string, string>[] = []
  if (line.unitPrice !== undefined) {
    conditions.push({
      ConditionType: config.priceCondition,
      ConditionRateValue: line.unitPrice,
      ...(currency === undefined ? {} : { ConditionCurrency: vendorCurrency(config, currency) }),
      ConditionQuantity: '1',
    })
  }
  if (line.discountPercent !== undefined && config.discountCondition !== null) {
    const rate = new Big(line.discountPercent).times(-1).toString()
    conditions.push({ ConditionType: config.discountCondition, ConditionRateValue: rate })
  }
  return conditions
}

const vendorCurrency = (config: SapS4Config, iso: string): string =>
  Object.entries(config.currencyCodes).find(([, code]) => code === iso)?.[0] ?? iso

const textBody = (config: SapS4Config, type: string, text: string) => ({
  Language: config.textLanguage,
  LongTextID: type,
  LongText: text,
})

/** The customer as whom the goods go to, at an address of this order's own. */
function shipToBody(customer: Key, { name, phone, address }: ShipTo): Record<string, unknown> {
  const { street, city, province, postalCode, country } = address
  const fields = {
    OrganizationName1: name,
    StreetName: street,
    CityName: city,
    PostalCode: postalCode,
    Region: province,
    Country: country,
    PhoneNumber: phone,
  }
  const given = Object.entries(fields).filter(([, value]) => value)
  return {
    PartnerFunction: 'SH',
    Customer: customer,
    // Without a script of its own: the address itself.
    to_Address: [{ AddressRepresentationCode: '', ...Object.fromEntries(given) }],
  }
}

function customBody(
  fields: Readonly<Record<string, string>>,
  values: CustomFields | undefined,
): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([name, value]) => [fields[name] ?? name, value]),
  )
}

/** What this configuration has no place for: dropping it silently would be worse than no. */
function cannotStore(
  config: SapS4Config,
  input: OrderChanges & Partial<OrderCreate>,
): SourceFailure | undefined {
  const unsupported = (message: string): SourceFailure => ({ kind: 'unsupported', message })
  if (config.externalReferenceField === 'PurchaseOrderByCustomer' && input.customerReference !== undefined) {
    return unsupported(
      'This system keeps the reference of the gateway where the customer’s own reference would stand.',
    )
  }
  const region = input.shipTo?.address.province
  if (region && !/^[A-Z0-9]{1,3}$/.test(region)) {
    return unsupported(`Regions are codes of up to three characters in this system, and "${region}" is none.`)
  }
  const unknown = Object.keys(input.customFields ?? {}).find(
    (name) => !Object.hasOwn(config.customFields.order, name),
  )
  if (unknown !== undefined) return unsupported(`Orders of this system have no custom field "${unknown}".`)
  for (const [at, line] of (input.lines ?? []).entries()) {
    const strange = Object.keys(line.customFields ?? {}).find(
      (name) => !Object.hasOwn(config.customFields.orderLine, name),
    )
    if (strange !== undefined)
      return unsupported(`Items of this system's orders have no custom field "${strange}".`)
    const numbers = [line.quantity, line.unitPrice, line.discountPercent]
    if (!numbers.every((value) => value === undefined || isDecimal(value))) {
      const message = 'A quantity, price or discount is no plain decimal.'
      return { kind: 'rejected', code: 'DECIMAL', message, line: String(at + 1) }
    }
    if (line.discountPercent !== undefined && config.discountCondition === null) {
      return unsupported('No condition type for discounts is configured for this system.')
    }
    if (line.warehouse !== undefined && splitKey(line.warehouse).length !== 2) {
      const message = `"${line.warehouse}" is no plant and storage location.`
      return { kind: 'rejected', code: 'WAREHOUSE', message, line: String(at + 1), field: 'warehouse' }
    }
  }
  return undefined
}

/* ---- update ---- */

function updateAction({ client, config, reread }: OrderWritesOptions): WriteAction<Update, 'order'> {
  const headRequest = (input: Update): WriteRequest => ({
    service: ORDER_SERVICE,
    method: 'PATCH',
    path: `A_SalesOrder(${literal(external(input.key))})`,
    headers: { 'if-match': input.expectedVersion ?? '*' },
    body: JSON.stringify(headChanges(config, input.changes)),
  })
  /** The text is an entity of its own, which has to be made where there is none yet. */
  const textRequest = (input: Update, exists: boolean): WriteRequest => {
    const { Language, LongTextID, LongText } = textBody(config, config.textType, input.changes.comments ?? '')
    const order = literal(external(input.key))
    const key = `SalesOrder=${order},Language=${literal(Language)},LongTextID=${literal(LongTextID)}`
    return exists
      ? {
          service: ORDER_SERVICE,
          method: 'PATCH',
          path: `A_SalesOrderText(${key})`,
          headers: { 'if-match': '*' },
          body: JSON.stringify({ LongText }),
        }
      : {
          service: ORDER_SERVICE,
          method: 'POST',
          path: `A_SalesOrder(${order})/to_Text`,
          body: JSON.stringify({ Language, LongTextID, LongText }),
        }
  }
  const isHead = ({ changes }: Update) => Object.keys(headChanges(config, changes)).length > 0

  /**
   * The head, under the version that the caller knows, then the text. Where an earlier attempt did not get to the text,
   * or somebody else made the same change, the head is as it shall be, and its version no longer the caller's.
   */
  const sendBoth = async (input: Update, context: CallContext): Promise<Result> => {
    const { comments, ...head } = input.changes
    const order = await reread(input.key, context)
    if (!order.ok) return order
    if (order.value === null) return fail(noOrder(input.key))
    const isChanged = missingChanges(order.value, head).length === 0
    const { version, number } = order.value
    if (isChanged && input.expectedVersion !== undefined && input.expectedVersion !== version) {
      const message = `Order ${number} has been changed since it was read: it is as asked for but for the comments.`
      return fail({ kind: 'conflict', message, ...(version ? { currentVersion: version } : {}) })
    }
    const changed = isChanged ? null : await finish(input.key, headRequest(input), client, reread, context)
    if (changed && !changed.ok) return changed
    const present = order.value.comments ?? ''
    if (comments === present) {
      return changed ?? ok({ key: order.value.key, record: order.value, reached: 'effective' })
    }
    const noted = await finish(input.key, textRequest(input, present !== ''), client, reread, context)
    if (noted.ok) return noted
    const { failure } = noted
    // Half of it is done, which the look afterwards tells.
    if (changed) return fail(illegible(`all but the comments is changed; ${failureText(failure)}`))
    return failure.kind === 'rejected'
      ? fail({ ...failure, message: `All but the comments is as asked for: ${failure.message}` })
      : noted
  }

  return {
    takes: ['paymentTerms'],
    preview: (input) => previewOf(client, isHead(input) ? headRequest(input) : textRequest(input, true)),

    async send(input, _write, context): Promise<Result> {
      const unstorable = cannotStore(config, input.changes)
      if (unstorable) return fail(unstorable)
      if (!isOrderKey(input.key)) return fail(noOrder(input.key))
      const unlike = noVersion(input)
      if (unlike) return fail(unlike)
      if (isHead(input) && input.changes.comments !== undefined) return sendBoth(input, context)
      if (isHead(input)) return finish(input.key, headRequest(input), client, reread, context)
      const before = await unchanged(input, reread, context)
      if (!before.ok) return before
      // The vendor refuses a change of nothing.
      if (input.changes.comments === undefined) {
        return ok({ key: before.value.key, record: before.value, reached: 'effective' })
      }
      const exists = Boolean(before.value.comments)
      return finish(input.key, textRequest(input, exists), client, reread, context)
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      const missing = missingChanges(order.value, input.changes)
      if (missing.length > 0) return nothingDone(`${missing.join(', ')} are not as asked for`, false)
      return ok({
        effect: 'done',
        result: { key: order.value.key, record: order.value, reached: 'effective' },
      })
    },
  }
}

function headChanges(config: SapS4Config, changes: OrderChanges): Record<string, string | null> {
  return {
    ...(changes.dueDate === undefined ? {} : { RequestedDeliveryDate: dateJson(changes.dueDate) }),
    ...(changes.customerReference === undefined
      ? {}
      : { PurchaseOrderByCustomer: changes.customerReference }),
    ...(changes.paymentTerms === undefined ? {} : { CustomerPaymentTerms: changes.paymentTerms }),
    ...customBody(config.customFields.order, changes.customFields),
  }
}

/** Which of the wished changes an order does not show; an empty text and none are the same to the vendor. */
function missingChanges(order: Order, changes: OrderChanges): string[] {
  const pairs: (readonly [string, string | null | undefined, string | null | undefined])[] = [
    ['RequestedDeliveryDate', changes.dueDate, order.dueDate],
    ['PurchaseOrderByCustomer', changes.customerReference, order.customerReference],
    ['CustomerPaymentTerms', changes.paymentTerms, order.payment?.terms],
    ['LongText', changes.comments, order.comments],
    ...Object.entries(changes.customFields ?? {}).map(
      ([name, value]) => [name, value, order.customFields?.[name]] as const,
    ),
  ]
  return pairs.flatMap(([name, wished, found]) =>
    wished === undefined || (wished || null) === (found || null) ? [] : [name],
  )
}

/* ---- confirm ---- */

/** Releases an order that waits in the vendor's approval workflow. */
function confirmAction({ client, reread }: OrderWritesOptions): WriteAction<ActionInput, 'order'> {
  const request = (input: ActionInput): WriteRequest => ({
    service: ORDER_SERVICE,
    method: 'POST',
    path: `releaseApprovalRequest?SalesOrder=${encodeURIComponent(literal(external(input.key)))}`,
    headers: { 'if-match': input.expectedVersion ?? '*' },
  })
  return {
    preview: (input) => previewOf(client, request(input)),
    async send(input, _write, context): Promise<Result> {
      if (!isOrderKey(input.key)) return fail(noOrder(input.key))
      const unlike = noVersion(input)
      if (unlike) return fail(unlike)
      return finish(input.key, request(input), client, reread, context)
    },
    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      if (order.value.status === 'PENDING_APPROVAL') return nothingDone('the order waits for approval', false)
      return ok({
        effect: 'done',
        result: { key: order.value.key, record: order.value, reached: 'effective' },
      })
    },
  }
}

/* ---- cancel ---- */

/**
 * Orders are not cancelled but rejected, item by item. The service takes one change per changeset, so that they go
 * in one `$batch` and still succeed or fail one by one.
 * @see KBA 3474176
 */
function cancelAction(
  { client, reread }: OrderWritesOptions,
  reason: string,
): WriteAction<ActionInput, 'order'> {
  const requests = (key: Key, lines: readonly { id: string }[], version: string): WriteRequest[] =>
    lines.map((line, at) => ({
      service: ORDER_SERVICE,
      method: 'PATCH',
      path: `A_SalesOrderItem(SalesOrder=${literal(external(key))},SalesOrderItem=${literal(line.id)})`,
      // The first change moves the version that the others would be compared with.
      headers: { 'if-match': at === 0 ? version : '*' },
      body: JSON.stringify({ SalesDocumentRjcnReason: reason }),
    }))

  return {
    /** Of the first item: how many there are is known only when the order is read. */
    preview: (input) => {
      const [first] = requests(input.key, [{ id: '10' }], input.expectedVersion ?? '*')
      return previewOf(client, first as WriteRequest)
    },

    async send(input, _write, context): Promise<Result> {
      const before = await unchanged(input, reread, context)
      if (!before.ok) return before
      const order = before.value
      if (order.status === 'CANCELLED') {
        const message = `Order ${order.number} is rejected already.`
        return fail({ kind: 'rejected', code: 'REJECTED', message })
      }
      const open = order.lines.filter((line) => line.status !== 'CLOSED')
      if (open.length === 0) {
        const message = `Order ${order.number} has no item left that could be rejected.`
        return fail({ kind: 'rejected', code: 'COMPLETE', message })
      }
      const parts = requests(order.key, open, input.expectedVersion ?? '*')
      let done = 0
      // In a batch the others would go on without the one whose version is refused: it goes ahead alone.
      const [first, ...others] = parts
      if (first && input.expectedVersion !== undefined && others.length > 0) {
        const ahead = await outcomeOf(() => client.write(first, context))
        if (!ahead.ok) return ahead
        if (ahead.value.status >= 300) return fail(client.writeFailure(ahead.value))
        done = 1
      }
      const sent = await outcomeOf(() => client.writeAll(parts.slice(done), context))
      const isPart = `of ${parts.length} items are rejected, the others are not`
      if (!sent.ok) return done === 0 ? sent : fail(illegible(`${done} ${isPart}`))
      const failed = sent.value.find((answer) => answer.status >= 300)
      if (!failed) return ok(await resultOf(order.key, reread, context))
      done += sent.value.filter((answer) => answer.status < 300).length
      return fail(done === 0 ? client.writeFailure(failed) : illegible(`${done} ${isPart}`))
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      if (order.value.status !== 'CANCELLED') return nothingDone('not all items are rejected', false)
      return ok({
        effect: 'done',
        result: { key: order.value.key, record: order.value, reached: 'effective' },
      })
    },
  }
}

/* ---- all of them ---- */

/** Reads the order and compares its version with the one that the caller knows. */
async function unchanged(
  input: ActionInput,
  reread: OrderWritesOptions['reread'],
  context: CallContext,
): Promise<Outcome<Order>> {
  if (!isOrderKey(input.key)) return fail(noOrder(input.key))
  const order = await reread(input.key, context)
  if (!order.ok) return order
  if (order.value === null) return fail(noOrder(input.key))
  const { version, number } = order.value
  if (input.expectedVersion === undefined || input.expectedVersion === version) return ok(order.value)
  return fail({
    kind: 'conflict',
    message: `Order ${number} has been changed since it was read.`,
    ...(version ? { currentVersion: version } : {}),
  })
}

async function finish(
  key: Key,
  request: WriteRequest,
  client: Gateway,
  reread: OrderWritesOptions['reread'],
  context: CallContext,
): Promise<Result> {
  const sent = await outcomeOf(() => client.write(request, context))
  if (!sent.ok) return sent
  if (sent.value.status >= 300) return fail(client.writeFailure(sent.value))
  if (!isYes(sent.value)) return fail(illegible(`HTTP ${sent.value.status} with something else`))
  return ok(await resultOf(external(key), reread, context, client.warnings(sent.value)))
}

/** No content, or an entity; a page from a proxy in between is neither. */
const isYes = (answer: HttpAnswer): boolean => answer.status === 204 || entityOf(answer, 'write').ok

/** What was written, read again: the vendor answers a write with less than a read, or with nothing. */
async function resultOf(
  key: Key,
  reread: OrderWritesOptions['reread'],
  context: CallContext,
  note?: string,
): Promise<WriteResult<'order'>> {
  const order = await reread(key, context)
  const record = order.ok ? order.value : null
  return {
    key,
    reached: record?.status === 'PENDING_APPROVAL' ? 'submitted' : 'effective',
    ...(record ? { record } : {}),
    ...(note === undefined ? {} : { note }),
  }
}

const isOrderKey = (key: Key): boolean => /^\w{1,10}$/.test(key)

const noOrder = (key: Key): SourceFailure => ({
  kind: 'not-found',
  message: `There is no order with the key ${key}.`,
})

/** What is no ETag is no version of this order, and might not even pass as a header; `*` would override. */
function noVersion({ key, expectedVersion }: ActionInput): SourceFailure | undefined {
  if (expectedVersion === undefined || /^(W\/)?"[\x21\x23-\x7e]*"$/.test(expectedVersion)) return undefined
  return { kind: 'conflict', message: `Order ${key} has been changed since it was read.` }
}

const nothingDone = (evidence: string, proven: boolean): Checked => ok({ effect: 'none', proven, evidence })

const illegible = (detail: string): SourceFailure => ({ kind: 'unknown-outcome', detail })

function previewOf(client: Gateway, { service, method, path, headers, body }: WriteRequest): VendorRequest {
  return {
    method,
    path: client.pathOf(service, path),
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body }),
  }
}
