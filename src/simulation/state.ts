/**
 * The records of the simulated systems, in neutral words. Each simulator owns some of the collections and shows them
 * in its vendor's; only `life.ts` reaches across.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Decimals are text here too; arithmetic is `big.js`. Times are ISO 8601 UTC with milliseconds. */
export interface CrmCustomer {
  readonly id: string
  name: string
  level: string
  industry: string
  taxNumber: string
  legalName?: string
  tags?: readonly string[]
  status?: string
  parentId?: string
  phone: string
  email: string
  address: { street: string; city: string; province: string; postalCode: string; country: string }
  contacts: { name: string; title: string; phone: string; email: string; primary: boolean }[]
  /** The company's own fields. */
  attributes?: Readonly<Record<string, string>>
  externalRef?: string
  createdAt: string
  updatedAt: string
  revision: number
}

export interface CrmOpportunity {
  readonly id: string
  name: string
  customerId: string
  stage: string
  amount: string
  currency: string
  probability: number
  closeDate: string
  owner: string
  externalRef: string | null
  /** What is to be sold; products under the ERP's codes. */
  lines?: readonly {
    readonly productCode: string
    readonly quantity: string
    readonly unitPrice: string | null
  }[]
  /** The order that it became. */
  orderNumber?: string | null
  /** The company's own fields. */
  attributes?: Readonly<Record<string, string>>
  createdAt: string
  updatedAt: string
}

/** What somebody has written down about a customer. */
export interface CrmNote {
  readonly id: string
  readonly customerId: string
  readonly text: string
  readonly author: string
  readonly externalRef: string | null
  readonly createdAt: string
}

/** A business partner of the ERP: one customer may have several, one per currency or branch. */
export interface ErpAccount {
  readonly cardCode: string
  name: string
  taxNumber: string | null
  currency: string
  creditLimit: string
  paymentTerms: { code: number; name: string }
  phone: string
  email: string
  street: string
  city: string
  zip: string
  country: string
  frozen: boolean
  contacts?: { name: string; title: string; phone: string; email: string }[]
  /** As registered, where the account goes by another name. */
  legalName?: string
  person?: boolean
  industry?: string
  /** In one line; absent: the address below. */
  registeredAddress?: string
  province?: string
  /** Besides the one above. */
  otherAddresses?: readonly ErpAddress[]
  tags?: readonly string[]
  /** The ERP's own group of customers; absent: the first. */
  group?: number
  /** Code of the account that it belongs to. */
  parent?: string
  userFields?: Record<string, string | null>
  createdAt: string
  updatedAt: string
}

export interface ErpAddress {
  readonly type: 'billing' | 'shipping' | 'office'
  readonly street: string
  readonly city: string
  readonly province: string
  readonly zip: string
  readonly country: string
  readonly isDefault?: boolean
}

export interface ErpItem {
  readonly code: string
  name: string
  foreignName: string
  barcode: string
  unit: string
  /** Net list price in company currency. */
  price: string
  group: number
  active: boolean
  description?: string
  /** Names of the groups, from the widest to its own. */
  groupPath?: readonly string[]
  specifications?: readonly { readonly name: string; readonly value: string; readonly unit?: string }[]
  /** Another unit that it is sold in, and how many of its own one is. */
  salesUnit?: { readonly name: string; readonly each: string }
  /** In company currency. */
  cost?: string
  minOrder?: string
  maxOrder?: string
  supplier?: { readonly code: string; readonly name: string; readonly leadTimeDays: number }
  images?: readonly string[]
  videos?: readonly string[]
  documents?: readonly string[]
  tags?: readonly string[]
  createdAt: string
  updatedAt: string
}

export interface ErpWarehouse {
  readonly code: string
  name: string
}

/** Stock of one item in one warehouse; moving it does not touch the item's `updatedAt`. */
export interface ErpStock {
  /** `item@warehouse` */
  readonly id: string
  readonly item: string
  readonly warehouse: string
  inStock: string
  committed: string
  ordered: string
}

export interface ErpOrderLine {
  readonly lineNum: number
  item: string
  description: string
  quantity: string
  open: string
  /** Net, document currency, before discount. */
  unitPrice: string
  /** The same after discount. */
  price: string
  discountPercent: string
  currency: string
  warehouse: string
  taxPercent: string
  /** Document currency. */
  total: string
  /** Company currency. */
  companyTotal: string
  comments?: string
  userFields?: Record<string, string | null>
}

export interface ErpOrder {
  readonly docEntry: number
  readonly docNum: number
  readonly cardCode: string
  readonly cardName: string
  readonly currency: string
  /** Company currency units for one unit of `currency`. */
  readonly rate: string
  docDate: string
  dueDate: string
  numAtCard: string | null
  comments: string | null
  confirmed: boolean
  cancelled: boolean
  closed: boolean
  lines: ErpOrderLine[]
  /** Document currency. */
  gross: string
  tax: string
  /** Company currency. */
  companyGross: string
  companyTax: string
  /** Where the goods go, where that is not the account's own address. */
  shipTo?: {
    readonly name: string
    readonly phone: string
    readonly street: string
    readonly city: string
    readonly province: string
    readonly zip: string
    readonly country: string
  }
  /** Terms and method as agreed for this order; `paid` in document currency. */
  payment?: {
    readonly method?: string
    readonly terms?: string
    readonly dueDate?: string
    readonly paid?: string
    readonly paidOn?: string
  }
  /** What it was made from. */
  references?: {
    readonly proposal?: string | undefined
    readonly quotation?: string | undefined
    readonly contract?: string | undefined
  }
  deliveredOn?: string
  trackingNumber?: string
  /** Names of files. */
  attachments?: readonly string[]
  /** User-defined fields, `U_…`. */
  userFields: Record<string, string | null>
  createdAt: string
  updatedAt: string
}

export interface ErpDelivery {
  readonly docEntry: number
  readonly docNum: number
  readonly cardCode: string
  readonly currency: string
  readonly rate: string
  docDate: string
  closed: boolean
  cancelled: boolean
  lines: {
    lineNum: number
    item: string
    description: string
    quantity: string
    warehouse: string
    baseEntry: number
    baseLine: number
  }[]
  createdAt: string
  updatedAt: string
}

/** What the ERP bills itself, where the company keeps its receivables there and not in finance. */
export interface ErpInvoice {
  readonly docEntry: number
  readonly docNum: number
  readonly cardCode: string
  readonly currency: string
  readonly rate: string
  docDate: string
  dueDate: string
  /** Document currency. */
  gross: string
  tax: string
  paid: string
  /** Company currency. */
  companyGross: string
  companyTax: string
  companyPaid: string
  cancelled: boolean
  /** Object code of what the lines follow: 17 an order, 15 a delivery. */
  baseType: 15 | 17
  lines: { lineNum: number; item: string; description: string; quantity: string; baseEntry: number }[]
  createdAt: string
  updatedAt: string
}

export interface ErpPayment {
  readonly docEntry: number
  readonly docNum: number
  readonly cardCode: string
  readonly currency: string
  readonly date: string
  readonly cash: string
  readonly transfer: string
  readonly transferReference: string | null
  readonly counterReference: string | null
  cancelled: boolean
  /** `amount`: document currency. */
  readonly invoices: { readonly docEntry: number; readonly amount: string; readonly discount?: string }[]
  readonly userFields: Readonly<Record<string, string | null>>
  readonly createdAt: string
}

export interface FinanceCustomer {
  readonly customerNo: string
  name: string
  taxNumber: string
  updatedAt: string
}

export interface FinanceProduct {
  readonly productNo: string
  name: string
  barcode: string
}

export interface FinanceInvoice {
  readonly invoiceNo: string
  readonly customerNo: string
  /** The ERP's order number, as printed. */
  readonly orderNo: string
  /** Where it bills several. */
  readonly orderNos?: readonly string[]
  readonly externalReference?: string
  readonly kind: string
  readonly currency: string
  issueDate: string
  dueDate: string
  net: string
  tax: string
  gross: string
  paid: string
  cancelled: boolean
  comments?: string
  attributes?: Readonly<Record<string, string>>
  lines: {
    lineNo: number
    productNo: string
    text: string
    quantity: string
    net: string
    unitPrice?: string
    taxPercent?: string
  }[]
  /** The documents for the tax office. Absent: none was issued. */
  taxInvoices?: readonly { kind: string; code: string; number: string; day: string; file: string }[]
  createdAt: string
  updatedAt: string
}

export interface FinancePayment {
  readonly paymentNo: string
  readonly customerNo: string
  readonly date: string
  readonly amount: string
  readonly currency: string
  readonly method: string
  readonly reference: string
  readonly externalReference: string
  /** `discount`: what was let off beside the amount. */
  readonly applications: { invoiceNo: string; amount: string; discount?: string }[]
  readonly attributes?: Readonly<Record<string, string>>
  readonly cancelled: boolean
  readonly createdAt: string
  readonly updatedAt: string
}

export interface WmsWarehouse {
  readonly warehouseId: string
  name: string
  country: string
  active: boolean
}

export interface WmsSku {
  readonly skuId: string
  name: string
  barcode: string
  unit: string
  active: boolean
  createdAt: string
  updatedAt: string
}

/** Stock of one product in one warehouse of the logistics provider. */
export interface WmsStock {
  /** `sku@warehouse` */
  readonly id: string
  readonly skuId: string
  readonly warehouseId: string
  onHand: string
  /** Part of what is on hand. */
  reserved: string
  incoming: string
  updatedAt: string
}

export interface WmsReservation {
  readonly reservationId: string
  /** As the ordering system prints it. */
  readonly orderNo: string | null
  status: 'ACTIVE' | 'FULFILLED' | 'RELEASED' | 'EXPIRED'
  expiresAt: string | null
  readonly externalRef: string | null
  remark: string | null
  operator: string
  attributes: Readonly<Record<string, string>>
  lines: { lineNo: number; skuId: string; warehouseId: string; quantity: string; open: string }[]
  readonly createdAt: string
  updatedAt: string
  revision: number
}

/** Goods that leave a warehouse of the logistics provider, or arrive there. */
export interface WmsDelivery {
  readonly deliveryId: string
  readonly direction: 'OUT' | 'IN'
  readonly deliveryType: string
  readonly orderNo: string | null
  readonly reservationId: string | null
  readonly warehouseId: string
  status: 'CREATED' | 'SHIPPED' | 'RECEIVED' | 'CANCELLED'
  planDate: string | null
  recipient: Readonly<Record<string, string>> | null
  trackingNo: string | null
  readonly externalRef: string | null
  remark: string | null
  operator: string
  attributes: Readonly<Record<string, string>>
  lines: { lineNo: number; skuId: string; quantity: string }[]
  readonly createdAt: string
  updatedAt: string
  revision: number
}

/** Stock of one item in one warehouse of the online shops. */
export interface ShopStock {
  /** `item@warehouse` */
  readonly id: string
  readonly item: string
  readonly warehouse: string
  onHand: string
  /** Taken by orders that are not sent yet; part of what is on hand, or more. */
  locked: string
  incoming: string
  updatedAt: string
}

export interface ShopOrderLine {
  readonly lineId: string
  readonly item: string
  readonly name: string
  readonly quantity: string
  /** What the buyer pays for one, tax included. */
  readonly price: string
  readonly amount: string
}

/** An order of an online shop, as an order management system keeps it. Amounts include tax. */
export interface ShopOrder {
  readonly orderId: string
  readonly shop: string
  /** As the platform prints it; unique in its shop. */
  readonly platformNumber: string
  buyer: string
  receiver: Readonly<Record<'name' | 'phone' | 'province' | 'city' | 'district' | 'address', string>>
  readonly currency: string
  status: 'UNPAID' | 'PAID' | 'PICKING' | 'SENT' | 'CANCELLED'
  lines: readonly ShopOrderLine[]
  freight: string
  discount: string
  pay: string
  remark: string | null
  readonly warehouse: string
  waybill: { readonly carrier: string; readonly carrierName: string; readonly number: string } | null
  sentAt: string | null
  readonly orderedAt: string
  readonly createdAt: string
  updatedAt: string
  revision: number
}

export type ParcelStage =
  | 'COLLECTED'
  | 'MOVING'
  | 'CUSTOMS'
  | 'OUT'
  | 'SIGNED'
  | 'PROBLEM'
  | 'REFUSED'
  | 'RETURNING'
  | 'RETURNED'

export interface ParcelStep {
  readonly at: string
  readonly place: string
  readonly text: string
  readonly stage: ParcelStage
}

/** A parcel as its carrier knows it. */
export interface Parcel {
  readonly number: string
  /** SF, YTO, JT, EMS, … */
  readonly carrier: string
  /** Of the recipient. */
  readonly phone: string
  readonly from: string
  readonly to: string
  readonly orderNo: string | null
  readonly deliveryNo: string | null
  expectedDay: string | null
  /** Oldest first; none: announced only. */
  steps: readonly ParcelStep[]
  signedBy: string | null
  readonly createdAt: string
  updatedAt: string
}

/** What the logistics provider tells those who follow its feed. */
export type WmsEvent = { readonly seq: number; readonly eventId: string; readonly at: string } & (
  | {
      readonly eventType: 'INVENTORY_CHANGED'
      readonly skuId: string
      readonly warehouseId: string
      readonly beforeQty: string
      readonly afterQty: string
      readonly beforeAvailable: string
      readonly afterAvailable: string
      readonly changeType: string
      readonly reference: string | null
    }
  | {
      readonly eventType: 'RESERVATION_CHANGED'
      readonly reservationId: string
      readonly status: string
      readonly change: 'created' | 'updated'
    }
  | {
      readonly eventType: 'DELIVERY_CHANGED'
      readonly deliveryId: string
      readonly status: string
      readonly change: 'created' | 'updated'
    }
)

/** What we have ordered from somebody. */
export interface PurchaseOrder {
  no: string
  supplier: string
  /** Days. */
  date: string
  expected: string
  status: 'OPEN' | 'PARTIAL' | 'RECEIVED' | 'CANCELLED'
  currency: string
  total: string
  lines: { no: string; item: string; quantity: string; received: string; unit: string; price: string }[]
  note: string
  /** Whoever made it gave it this, and asked on behalf of this person. */
  reference: string
  requestedBy: string
  /** Counts the changes of all purchase orders. */
  revision: number
}

/** Who looks after a customer now, where that is not who did on the first day. */
export interface AccountManager {
  /** As the CRM calls it. */
  customer: string
  employee: string
}

export interface Collections {
  crmCustomers: CrmCustomer
  crmOpportunities: CrmOpportunity
  crmNotes: CrmNote
  erpAccounts: ErpAccount
  erpItems: ErpItem
  erpWarehouses: ErpWarehouse
  erpStock: ErpStock
  erpOrders: ErpOrder
  erpDeliveries: ErpDelivery
  erpInvoices: ErpInvoice
  erpPayments: ErpPayment
  financeCustomers: FinanceCustomer
  financeProducts: FinanceProduct
  financeInvoices: FinanceInvoice
  financePayments: FinancePayment
  wmsWarehouses: WmsWarehouse
  wmsSkus: WmsSku
  wmsStock: WmsStock
  wmsReservations: WmsReservation
  wmsDeliveries: WmsDelivery
  wmsEvents: WmsEvent
  parcels: Parcel
  shopStock: ShopStock
  shopOrders: ShopOrder
  purchaseOrders: PurchaseOrder
  accountManagers: AccountManager
}
export type CollectionName = keyof Collections

const keyOf: { readonly [C in CollectionName]: (entity: Collections[C]) => string } = {
  crmCustomers: (e) => e.id,
  crmOpportunities: (e) => e.id,
  crmNotes: (e) => e.id,
  erpAccounts: (e) => e.cardCode,
  erpItems: (e) => e.code,
  erpWarehouses: (e) => e.code,
  erpStock: (e) => e.id,
  erpOrders: (e) => String(e.docEntry),
  erpDeliveries: (e) => String(e.docEntry),
  erpInvoices: (e) => String(e.docEntry),
  erpPayments: (e) => String(e.docEntry),
  financeCustomers: (e) => e.customerNo,
  financeProducts: (e) => e.productNo,
  financeInvoices: (e) => e.invoiceNo,
  financePayments: (e) => e.paymentNo,
  wmsWarehouses: (e) => e.warehouseId,
  wmsSkus: (e) => e.skuId,
  wmsStock: (e) => e.id,
  wmsReservations: (e) => e.reservationId,
  wmsDeliveries: (e) => e.deliveryId,
  wmsEvents: (e) => String(e.seq),
  parcels: (e) => e.number,
  shopStock: (e) => e.id,
  shopOrders: (e) => e.orderId,
  purchaseOrders: (e) => e.no,
  accountManagers: (e) => e.customer,
}

export interface WorldChange<C extends CollectionName = CollectionName> {
  readonly collection: C
  readonly entity: Collections[C]
  readonly before: Collections[C] | undefined
}

/** What the simulated systems hold, and who is told when it changes. */
export class WorldState {
  /** The currency in which the ERP's company keeps its books. */
  readonly companyCurrency = 'CNY'
  readonly #collections = new Map<CollectionName, Map<string, unknown>>()
  readonly #indexes = new Map<string, Map<string, string>>()
  readonly #listeners = new Set<(change: WorldChange) => void>()
  #file: string | undefined

  constructor() {
    for (const name of Object.keys(keyOf) as CollectionName[]) this.#collections.set(name, new Map())
  }

  get<C extends CollectionName>(collection: C, key: string): Collections[C] | undefined {
    return this.#map(collection).get(key)
  }

  /** In order of first appearance. */
  all<C extends CollectionName>(collection: C): Collections[C][] {
    return [...this.#map(collection).values()]
  }

  count(collection: CollectionName): number {
    return this.#map(collection).size
  }

  /** The first entity whose field has that value. The index is made at the first search and kept by `put`. */
  find<C extends CollectionName>(
    collection: C,
    field: keyof Collections[C],
    value: string,
  ): Collections[C] | undefined {
    const name = `${collection}.${String(field)}`
    let index = this.#indexes.get(name)
    if (!index) {
      index = new Map()
      for (const [key, entity] of [...this.#map(collection)].reverse()) index.set(String(entity[field]), key)
      this.#indexes.set(name, index)
    }
    const key = index.get(value)
    return key === undefined ? undefined : this.get(collection, key)
  }

  /** Stores a new or changed entity and tells the listeners. Pass a fresh object, not a mutated one. */
  put<C extends CollectionName>(collection: C, entity: Collections[C]): void {
    const key = keyOf[collection](entity)
    const before = this.#map(collection).get(key)
    if (this.#file) appendFileSync(this.#file, `${JSON.stringify([collection, entity])}\n`)
    this.#map(collection).set(key, entity)
    for (const [name, index] of this.#indexes) {
      const [indexed, field] = name.split('.') as [CollectionName, keyof Collections[C]]
      if (indexed === collection && !index.has(String(entity[field]))) index.set(String(entity[field]), key)
    }
    for (const listener of this.#listeners) listener({ collection, entity, before })
  }

  onChange(listener: (change: WorldChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #map<C extends CollectionName>(collection: C): Map<string, Collections[C]> {
    return this.#collections.get(collection) as Map<string, Collections[C]>
  }

  /** Keeps changes in a file from now on, after taking over those of earlier runs. */
  keepIn(file: string): void {
    mkdirSync(dirname(file), { recursive: true })
    if (existsSync(file)) this.#replay(file)
    this.#file = file
  }

  /** Reads the changes of earlier runs, and writes them back without what was overwritten since. */
  #replay(file: string): void {
    const last = new Map<string, string>()
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      let change: [CollectionName, Collections[CollectionName]]
      try {
        change = JSON.parse(line)
      } catch {
        continue // an empty last line, or one that a kill cut short and nobody was told about
      }
      const [collection, entity] = change
      const key = (keyOf[collection] as (entity: Collections[CollectionName]) => string)(entity)
      this.#map(collection).set(key, entity)
      last.set(`${collection}/${key}`, line)
    }
    const compacted = [...last.values()].map((line) => `${line}\n`).join('')
    writeFileSync(`${file}.new`, compacted)
    renameSync(`${file}.new`, file)
  }
}
