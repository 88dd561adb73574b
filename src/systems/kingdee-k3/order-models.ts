/** Orders as the vendor wants them sent: the usual form with its entries, and the flat one of the profile `galaxy`. */
import Big from 'big.js'
import { z } from 'zod'
import type { SourceFailure } from '../failure.ts'
import { isDecimal } from '../kit/json.ts'
import type { OrderChanges, OrderCreate, WriteContext } from '../port.ts'
import type { Order } from '../records.ts'
import { number } from './client.ts'
import type { KingdeeK3Config } from './config.ts'
import { versionOf } from './mapping.ts'
import { billNumberOf } from './references.ts'

const byNumber = (value: string) => ({ FNumber: value })

/** Custom fields by the vendor's names; a reference to basic data, `X.FNumber`, is sent as an object. */
function customModel(config: KingdeeK3Config, values: OrderCreate['customFields']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([name, value]) => {
      const [field = '', part] = (config.customFields.order[name] ?? '').split('.')
      return [field, part === undefined ? (value ?? '') : { [part]: value ?? '' }]
    }),
  )
}

/** The `data` of `Save` for a new order. Decimals keep their digits; booleans are texts, as in the vendor's SDKs. */
export function orderModel(
  config: KingdeeK3Config,
  input: OrderCreate,
  write: WriteContext,
  today: string,
): unknown {
  if (config.profile === 'galaxy') return galaxyModel(config, input, write, today)
  const { defaults } = config
  const onNumber = config.externalReferenceField === 'FBillNo'
  return {
    NeedUpDateFields: [],
    NeedReturnFields: ['FBillNo'],
    IsDeleteEntry: 'false',
    IsAutoSubmitAndAudit: 'false',
    Model: {
      FID: 0,
      FBillTypeID: { FNUMBER: defaults.billType },
      ...(onNumber ? { FBillNo: billNumberOf(config.billNumberPrefix, write.externalReference) } : {}),
      FDate: input.orderDate ?? today,
      FSaleOrgId: byNumber(config.organization),
      FCustId: byNumber(input.customer),
      ...(onNumber ? {} : { [config.externalReferenceField]: write.externalReference }),
      ...(config.customerReferenceField && input.customerReference !== undefined
        ? { [config.customerReferenceField]: input.customerReference }
        : {}),
      ...(config.onBehalfOfField ? { [config.onBehalfOfField]: write.onBehalfOf } : {}),
      ...(input.comments === undefined ? {} : { FNote: input.comments }),
      ...customModel(config, input.customFields),
      FSaleOrderFinance: {
        FSettleCurrId: byNumber(currencyNumber(config, input.currency ?? config.companyCurrency)),
        FIsIncludedTax: 'false',
      },
      FSaleOrderEntry: input.lines.map((line) => {
        const warehouse = line.warehouse ?? defaults.warehouse
        return {
          FMaterialId: byNumber(line.product),
          ...(defaults.unit === undefined ? {} : { FUnitID: byNumber(defaults.unit) }),
          FQty: number(line.quantity),
          ...(line.unitPrice === undefined ? {} : { FPrice: number(line.unitPrice) }),
          ...(defaults.taxPercent === undefined ? {} : { FEntryTaxRate: number(defaults.taxPercent) }),
          ...(line.discountPercent === undefined ? {} : { FDiscountRate: number(line.discountPercent) }),
          FDeliveryDate: input.dueDate,
          ...(warehouse === undefined ? {} : { FSOStockId: byNumber(warehouse) }),
        }
      }),
    },
  }
}

/**
 * The order push of the project's ERP specification, section 4.2.2, with the due date of the lines added, which
 * would be lost otherwise. Prices are net; the amount is that of the line.
 */
function galaxyModel(
  config: KingdeeK3Config,
  input: OrderCreate,
  write: WriteContext,
  today: string,
): unknown {
  return {
    Model: {
      FBillNo: billNumberOf(config.billNumberPrefix, write.externalReference),
      FCustomerId: input.customer,
      FDate: input.orderDate ?? today,
      ...customModel(config, input.customFields),
      FEntity: input.lines.map((line) => ({
        FMaterialId: line.product,
        FQty: number(line.quantity),
        ...(line.unitPrice === undefined
          ? {}
          : {
              FPrice: number(line.unitPrice),
              FAmount: number(new Big(line.unitPrice).times(line.quantity).toString()),
            }),
        FDeliveryDate: input.dueDate,
      })),
    },
  }
}

function currencyNumber(config: KingdeeK3Config, iso: string): string {
  return Object.entries(config.currencyCodes).find(([, code]) => code === iso)?.[0] ?? iso
}

/** What this configuration has no field for: dropping it silently would be worse than no. */
export function cannotStore(
  config: KingdeeK3Config,
  input: OrderChanges & Partial<OrderCreate>,
): SourceFailure | undefined {
  const unsupported = (message: string): SourceFailure => ({ kind: 'unsupported', message })
  if (input.customerReference !== undefined && config.customerReferenceField === null) {
    return unsupported('This system is configured without a field for the customer’s own reference.')
  }
  const unknown = Object.keys(input.customFields ?? {}).find((name) => !config.customFields.order[name])
  if (unknown !== undefined) return unsupported(`Orders of this system have no custom field "${unknown}".`)
  const lines = input.lines ?? []
  for (const [at, line] of lines.entries()) {
    const numbers = [line.quantity, line.unitPrice, line.discountPercent]
    if (numbers.every((value) => value === undefined || isDecimal(value))) continue
    const message = 'A quantity, price or discount is no plain decimal.'
    return { kind: 'rejected', code: 'DECIMAL', message, line: String(at + 1) }
  }
  if (config.profile !== 'galaxy') return undefined
  const extra =
    lines.some((line) => line.warehouse !== undefined || line.discountPercent !== undefined) ||
    input.comments !== undefined ||
    input.customerReference !== undefined ||
    (input.currency !== undefined && input.currency !== config.companyCurrency)
  return extra && input.lines
    ? unsupported(
        'The order push of this profile takes no warehouse, discount, currency, comments or reference.',
      )
    : undefined
}

/* ---- changes ---- */

/** An order as `View` shows it: what a change needs to know. */
export interface Current {
  readonly id: string
  readonly documentStatus: string | null
  readonly version: string | null
  /** Ids of the entries. */
  readonly entries: readonly string[]
}

const viewSchema = z.object({
  Id: z.coerce.string().min(1),
  DocumentStatus: z.string().nullish(),
  ModifyDate: z.string().nullish(),
  SaleOrderEntry: z.array(z.object({ Id: z.coerce.string() })).nullish(),
})

/** @returns `null` where nothing, or nothing that is an order, was shown. */
export function readCurrent(view: unknown): Current | null {
  const parsed = viewSchema.safeParse(view)
  if (!parsed.success) return null
  const { Id, DocumentStatus, ModifyDate, SaleOrderEntry } = parsed.data
  return {
    id: Id,
    documentStatus: DocumentStatus ?? null,
    version: versionOf(ModifyDate),
    entries: (SaleOrderEntry ?? []).map((entry) => entry.Id),
  }
}

/**
 * The `data` of `Save` for a change. What is not named in `NeedUpDateFields` is left alone; without
 * `IsDeleteEntry: false` the vendor removes entries that are not sent.
 */
export function changesModel(config: KingdeeK3Config, changes: OrderChanges, current: Current): unknown {
  const head = {
    ...(changes.comments === undefined ? {} : { FNote: changes.comments }),
    ...(config.customerReferenceField && changes.customerReference !== undefined
      ? { [config.customerReferenceField]: changes.customerReference }
      : {}),
    ...customModel(config, changes.customFields),
  }
  const { dueDate } = changes
  return {
    NeedUpDateFields: [
      ...Object.keys(head),
      ...(dueDate === undefined ? [] : ['FSaleOrderEntry', 'FEntryID', 'FDeliveryDate']),
    ],
    NeedReturnFields: ['FBillNo'],
    IsDeleteEntry: 'false',
    IsAutoSubmitAndAudit: 'false',
    Model: {
      FID: number(current.id),
      ...head,
      ...(dueDate === undefined
        ? {}
        : {
            FSaleOrderEntry: current.entries.map((id) => ({ FEntryID: number(id), FDeliveryDate: dueDate })),
          }),
    },
  }
}

/** Which of the wished changes an order does not show; an empty text and none are the same to the vendor. */
export function missingChanges(order: Order, changes: OrderChanges): string[] {
  const custom = Object.entries(changes.customFields ?? {}).map(
    ([name, wished]) => [name, wished ?? '', order.customFields?.[name]] as const,
  )
  const pairs = [
    ['dueDate', changes.dueDate, order.dueDate],
    ['customerReference', changes.customerReference, order.customerReference],
    ['comments', changes.comments, order.comments],
    ...custom,
  ] as const
  return pairs.flatMap(([name, wished, found]) =>
    wished === undefined || (wished || null) === (found || null) ? [] : [name],
  )
}
