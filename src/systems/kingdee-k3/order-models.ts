/** Orders as the vendor wants them sent: the usual form with its entries, and the flat one of the profile `galaxy`. */
import Big from 'big.js'
import type { SourceFailure } from '../failure.ts'
import { addressLine } from '../kit/address.ts'
import { isDecimal } from '../kit/json.ts'
import type { OrderChanges, OrderCreate, WriteContext } from '../port.ts'
import type { Order } from '../records.ts'
import { number } from './client.ts'
import type { KingdeeK3Config } from './config.ts'
import { type Document, versionOf } from './mapping.ts'
import { billNumberOf } from './references.ts'

const byNumber = (value: string) => ({ FNumber: value })

/** Custom fields by the vendor's names; a reference to basic data, `X.FNumber`, is sent as an object. */
function customModel(
  fields: Readonly<Record<string, string>>,
  values: OrderCreate['customFields'],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([name, value]) => {
      const [field = '', part] = (fields[name] ?? '').split('.')
      return [field, part === undefined ? (value ?? '') : { [part]: value ?? '' }]
    }),
  )
}

const receiverModel = ({ shipTo }: Pick<OrderCreate, 'shipTo'>): Record<string, string> =>
  shipTo === undefined
    ? {}
    : {
        FReceiveAddress: addressLine(shipTo.address),
        FLinkMan: shipTo.name,
        ...(shipTo.phone === undefined ? {} : { FLinkPhone: shipTo.phone }),
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
  const currency = input.currency ?? defaults.currency
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
      ...receiverModel(input),
      ...customModel(config.customFields.order, input.customFields),
      FSaleOrderFinance: {
        // Not sent, the vendor takes the currency that the customer trades in.
        ...(currency === undefined ? {} : { FSettleCurrId: byNumber(currencyNumber(config, currency)) }),
        ...(input.paymentTerms === undefined ? {} : { FRecConditionId: byNumber(input.paymentTerms) }),
        ...(input.paymentMethod === undefined ? {} : { FSettleModeId: byNumber(input.paymentMethod) }),
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
          ...(line.comments === undefined ? {} : { FEntryNote: line.comments }),
          ...customModel(config.customFields.orderLine, line.customFields),
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
      ...customModel(config.customFields.order, input.customFields),
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
  const { order, orderLine } = config.customFields
  const unknown = Object.keys(input.customFields ?? {}).find((name) => !Object.hasOwn(order, name))
  if (unknown !== undefined) return unsupported(`Orders of this system have no custom field "${unknown}".`)
  const lines = input.lines ?? []
  const unknownOfLine = lines
    .flatMap((line) => Object.keys(line.customFields ?? {}))
    .find((name) => !Object.hasOwn(orderLine, name))
  if (unknownOfLine !== undefined) {
    return unsupported(`Order lines of this system have no custom field "${unknownOfLine}".`)
  }
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

/** An order as it stands: what a change needs to know. */
export interface Current {
  readonly id: string
  readonly documentStatus: string | null
  readonly version: string | null
  /** Ids of the entries. */
  readonly entries: readonly string[]
}

/** @returns `null` where a row does not say which order it is. */
export function readCurrent(document: Document): Current | null {
  const [head] = document.rows
  if (!head || !/^\d+$/.test(document.id)) return null
  const textOf = (value: unknown) => (typeof value === 'string' ? value : null)
  return {
    id: document.id,
    documentStatus: textOf(head.documentStatus),
    version: versionOf(textOf(head.modified) ?? textOf(head.created)),
    entries: document.rows.flatMap((row) => textOf(row.entry) ?? []).filter((entry) => entry !== '0'),
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
    ...receiverModel(changes),
    ...customModel(config.customFields.order, changes.customFields),
  }
  const { dueDate, paymentTerms } = changes
  return {
    NeedUpDateFields: [
      ...Object.keys(head),
      ...(paymentTerms === undefined ? [] : ['FSaleOrderFinance', 'FRecConditionId']),
      ...(dueDate === undefined ? [] : ['FSaleOrderEntry', 'FEntryID', 'FDeliveryDate']),
    ],
    NeedReturnFields: ['FBillNo'],
    IsDeleteEntry: 'false',
    IsAutoSubmitAndAudit: 'false',
    Model: {
      FID: number(current.id),
      ...head,
      ...(paymentTerms === undefined
        ? {}
        : { FSaleOrderFinance: { FRecConditionId: byNumber(paymentTerms) } }),
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
  const { shipTo } = changes
  const pairs = [
    ['shipTo.name', shipTo?.name, order.shipTo?.name],
    ['shipTo.phone', shipTo?.phone, order.shipTo?.phone],
    ['shipTo.address', shipTo && addressLine(shipTo.address), order.shipTo?.address?.street],
    ['dueDate', changes.dueDate, order.dueDate],
    ['paymentTerms', changes.paymentTerms, order.payment?.terms],
    ['customerReference', changes.customerReference, order.customerReference],
    ['comments', changes.comments, order.comments],
    ...custom,
  ] as const
  return pairs.flatMap(([name, wished, found]) =>
    wished === undefined || (wished || null) === (found || null) ? [] : [name],
  )
}
