/**
 * The unified records: what every adapter maps to and from. Text for decimals, so that no amount passes through
 * a float; `Date` is a calendar day (`2026-03-01`), `DateTime` is RFC 3339 with an offset. What a vendor does not
 * give is absent or null, never computed.
 */

/** Plain decimal text: `-12.50`, never `1e3`. */
export type Decimal = string
export type DateText = string
export type DateTimeText = string
/** ISO 4217. */
export type CurrencyCode = string
/** A record's key in its own system, as text. Keys of several parts are joined by `joinKey`. */
export type Key = string

export interface Money {
  readonly amount: Decimal
  readonly currency: CurrencyCode
}

export interface Quantity {
  readonly value: Decimal
  /** UN/ECE Recommendation 20 code where the vendor's unit is known, else null. */
  readonly unit?: string | null
  /** The unit as the vendor writes it. */
  readonly vendorUnit?: string | null
}

interface RecordBase {
  readonly key: Key
  /** What the vendor compares to detect lost updates (ETag, change counter, modification stamp); opaque. */
  readonly version?: string | null
  readonly createdAt?: DateTimeText | null
  readonly updatedAt?: DateTimeText | null
  /** What a company has added to its system, under the names that the configuration gives; values as text. */
  readonly customFields?: CustomFields
}

export type CustomFields = Readonly<Record<string, string | null>>

export type CustomerLevel = 'VIP' | 'PREMIUM' | 'STANDARD' | 'BASIC' | 'UNKNOWN'

export type CustomerStatus = 'ACTIVE' | 'INACTIVE' | 'UNKNOWN'

export interface Contact {
  readonly name: string
  readonly title?: string | null
  readonly phone?: string | null
  readonly email?: string | null
  readonly primary?: boolean | null
}

export interface PostalAddress {
  readonly street?: string | null
  readonly city?: string | null
  readonly province?: string | null
  readonly postalCode?: string | null
  /** ISO 3166-1 alpha-2 where the vendor gives it. */
  readonly country?: string | null
}

export interface Address extends PostalAddress {
  readonly type: 'BILLING' | 'SHIPPING' | 'OFFICE' | 'REGISTERED'
  /** Whether it is taken where several of its type could be. */
  readonly default?: boolean | null
}

/** Who has a part in a document, as the document itself says. */
export interface Party {
  /** The party's own key among the system's customers or addresses, where it has one. */
  readonly key?: Key | null
  readonly name?: string | null
  readonly contact?: string | null
  readonly phone?: string | null
  readonly email?: string | null
  readonly address?: PostalAddress | null
}

/** What another record is called, here or in another system. */
export interface Reference {
  readonly type:
    | 'PROPOSAL'
    | 'QUOTATION'
    | 'CONTRACT'
    | 'OPPORTUNITY'
    | 'ORDER'
    | 'DELIVERY'
    | 'INVOICE'
    | 'OTHER'
  /** The number that people use. */
  readonly number: string
  /** The vendor's own word for that sort of document. */
  readonly vendorType?: string | null
}

/** A file that the system keeps with a record. */
export interface Attachment {
  readonly name: string
  readonly url?: string | null
  readonly mediaType?: string | null
}

/** A customer's standing in one company of an ERP. */
export interface Account {
  readonly company?: string | null
  /** The part of the company that sells: sales organisation, channel and division, branch. */
  readonly salesArea?: string | null
  /** Null where the account may be invoiced in any currency. */
  readonly currency: CurrencyCode | null
  readonly creditLimit?: Money | null
  readonly paymentTerms?: string | null
  readonly balance?: Money | null
  readonly blocked?: boolean | null
}

export interface Customer extends RecordBase {
  readonly name: string
  /** A number that people use for the customer, where it differs from the key. */
  readonly code?: string | null
  /** As registered, where it differs from the name that people use. */
  readonly legalName?: string | null
  readonly type?: 'COMPANY' | 'INDIVIDUAL' | null
  readonly status?: CustomerStatus | null
  /** The vendor's own status code. */
  readonly vendorStatus?: string | null
  /** The customer that it belongs to, in the same system. */
  readonly parent?: Key | null
  readonly tags?: readonly string[] | null
  readonly level?: CustomerLevel | null
  readonly vendorLevel?: string | null
  readonly industry?: string | null
  readonly taxNumber?: string | null
  readonly phone?: string | null
  readonly email?: string | null
  readonly contacts?: readonly Contact[]
  readonly addresses?: readonly Address[]
  /** Present where the system is an ERP. */
  readonly account?: Account | null
}

export interface Product extends RecordBase {
  readonly sku: string
  readonly name: string
  readonly foreignName?: string | null
  readonly barcode?: string | null
  readonly description?: string | null
  /** Unit of the stock figures. */
  readonly unit?: string | null
  /** Other units that it is traded in. */
  readonly units?: readonly ProductUnit[] | null
  readonly active?: boolean | null
  readonly status?: ProductStatus | null
  /** The vendor's own status code. */
  readonly vendorStatus?: string | null
  readonly category?: ProductCategory | null
  readonly specifications?: readonly Specification[] | null
  /** The list price; what a customer pays is the order's. */
  readonly price?: UnitPrice | null
  /** What it cost the company. */
  readonly cost?: Money | null
  /** Percent. */
  readonly taxRate?: Decimal | null
  readonly minOrder?: Quantity | null
  readonly maxOrder?: Quantity | null
  readonly supplier?: ProductSupplier | null
  readonly images?: readonly string[] | null
  readonly videos?: readonly string[] | null
  readonly documents?: readonly string[] | null
  readonly tags?: readonly string[] | null
}

export type ProductStatus = 'ACTIVE' | 'INACTIVE' | 'DISCONTINUED' | 'UNKNOWN'

/** `numerator` of this unit are `denominator` of the product's own: a box of 12 is 1 to 12. */
export interface ProductUnit {
  readonly unit?: string | null
  readonly vendorUnit: string
  readonly numerator: Decimal
  readonly denominator: Decimal
}

export interface ProductCategory {
  readonly key: Key
  readonly name?: string | null
  /** Names from the widest category to this one. */
  readonly path?: readonly string[] | null
}

export interface Specification {
  readonly name: string
  readonly value: string
  readonly unit?: string | null
}

export interface ProductSupplier {
  readonly key: Key
  readonly name?: string | null
  readonly leadTimeDays?: number | null
}

export interface Warehouse extends RecordBase {
  readonly name?: string | null
}

/** Stock of one product in one warehouse; key = product key + warehouse key. */
export interface InventoryLevel extends RecordBase {
  readonly product: Key
  readonly warehouse: Key
  /** Physically there. */
  readonly onHand: Quantity
  /** Promised to orders. */
  readonly reserved?: Quantity | null
  /** What can still be promised, by the vendor's own rule. */
  readonly available?: Quantity | null
  /** Ordered from suppliers. */
  readonly incoming?: Quantity | null
}

/** In the order in which an order usually goes. */
export const ORDER_STATUSES = [
  'DRAFT',
  'NEW',
  'PENDING_APPROVAL',
  'CONFIRMED',
  'IN_PROGRESS',
  'SHIPPED',
  'DELIVERED',
  'CLOSED',
  'CANCELLED',
] as const
export type OrderStatus = (typeof ORDER_STATUSES)[number] | 'UNKNOWN'

export type SubStatus = 'NONE' | 'PARTIAL' | 'COMPLETE' | 'NOT_RELEVANT'

/** Document totals; each in the same currency. */
export interface Totals {
  readonly net?: Money | null
  readonly tax?: Money | null
  readonly gross?: Money | null
  readonly discount?: Money | null
  readonly freight?: Money | null
}

export interface UnitPrice {
  readonly amount: Money
  /** The quantity that the price is for, almost always 1. */
  readonly per: Decimal
  readonly taxIncluded: boolean
}

export interface OrderLine {
  /** Identifies the line inside its order, whatever is inserted before it. */
  readonly id: string
  readonly lineNumber: string
  readonly product?: Key | null
  readonly sku?: string | null
  readonly description?: string | null
  readonly ordered: Quantity
  /** Promised by the seller. */
  readonly confirmed?: Quantity | null
  readonly delivered?: Quantity | null
  readonly invoiced?: Quantity | null
  readonly returned?: Quantity | null
  readonly open?: Quantity | null
  readonly unitPrice?: UnitPrice | null
  readonly discountPercent?: Decimal | null
  /** Percent. */
  readonly taxRate?: Decimal | null
  readonly net?: Money | null
  readonly tax?: Money | null
  readonly gross?: Money | null
  readonly warehouse?: Key | null
  readonly status?: 'OPEN' | 'CLOSED' | null
  readonly comments?: string | null
  readonly customFields?: CustomFields
}

export type ApprovalStatus = 'NOT_REQUIRED' | 'PENDING' | 'APPROVED' | 'REJECTED' | 'UNKNOWN'

/** Something that keeps a document from going on. */
export interface Hold {
  readonly type: 'DELIVERY' | 'BILLING' | 'CREDIT' | 'OTHER'
  readonly code: string
  readonly text?: string | null
}

/** How an order is to be paid, and what of it was. */
export interface OrderPayment {
  readonly method?: string | null
  readonly terms?: string | null
  readonly dueDate?: DateText | null
  readonly paid?: Money | null
  readonly paidOn?: DateText | null
}

/** One step of an order, as its system recorded it. */
export interface OrderStep {
  readonly status: OrderStatus
  readonly vendorStatus?: string | null
  readonly time?: DateTimeText | null
  readonly note?: string | null
}

export interface Order extends RecordBase {
  /** The number people use, unlike `key`. */
  readonly number: string
  /** The vendor's code for this sort of order. */
  readonly documentType?: string | null
  readonly company?: string | null
  /** The way it came in or is sold by, as the vendor writes it. */
  readonly channel?: string | null
  readonly customer?: Key | null
  readonly customerName?: string | null
  readonly shipTo?: Party | null
  readonly billTo?: Party | null
  readonly payer?: Party | null
  /** The customer's own reference for this order. */
  readonly customerReference?: string | null
  /** The reference that a writeback left behind, if this gateway made the order. */
  readonly externalReference?: string | null
  /** The online shop that it came in by, as this system numbers shops. */
  readonly shop?: string | null
  /** Numbers that it has at the shop's platform: several where orders of one buyer were put together. */
  readonly platformNumbers?: readonly string[] | null
  readonly orderDate?: DateText | null
  readonly dueDate?: DateText | null
  readonly postingDate?: DateText | null
  readonly status: OrderStatus
  /** The vendor's own status codes. */
  readonly vendorStatus?: string | null
  /** Since when it has that status. */
  readonly statusSince?: DateTimeText | null
  readonly approvalStatus?: ApprovalStatus | null
  readonly fulfilmentStatus?: SubStatus | null
  readonly billingStatus?: SubStatus | null
  /** Empty: nothing holds it; null: not told. */
  readonly holds?: readonly Hold[] | null
  /** The day on which all of it had arrived. */
  readonly deliveredOn?: DateText | null
  readonly trackingNumbers?: readonly string[] | null
  readonly payment?: OrderPayment | null
  /** In document currency. */
  readonly totals?: Totals | null
  /** In the currency of the company that keeps the books. */
  readonly companyTotals?: Totals | null
  /** Company currency units for one unit of document currency. */
  readonly exchangeRate?: Decimal | null
  readonly comments?: string | null
  readonly lines: readonly OrderLine[]
  /** What became of it so far, oldest first. */
  readonly timeline?: readonly OrderStep[] | null
  /** What it was made from. */
  readonly precededBy?: readonly Reference[] | null
  /** What was made from it. */
  readonly followedBy?: readonly Reference[] | null
  readonly attachments?: readonly Attachment[] | null
  /** Who entered it, as the system writes it. */
  readonly createdBy?: string | null
}

export interface DeliveryLine {
  readonly id: string
  readonly product?: Key | null
  readonly description?: string | null
  readonly quantity: Quantity
  readonly warehouse?: Key | null
  readonly order?: Key | null
  readonly orderLine?: string | null
}

export interface Delivery extends RecordBase {
  readonly number: string
  /** Whether goods leave or arrive, where the system keeps both. */
  readonly direction?: 'OUTBOUND' | 'INBOUND' | null
  readonly customer?: Key | null
  readonly orders: readonly Key[]
  /** Numbers of the orders it is for, where another system holds them, as that one prints them. */
  readonly orderNumbers?: readonly string[]
  /** The reservation whose goods it takes. */
  readonly reservation?: Key | null
  /** Who carries it, as this system writes it. */
  readonly carrier?: string | null
  readonly trackingNumbers?: readonly string[]
  readonly shipTo?: Party | null
  /** The reference that a writeback left behind, if this gateway made the delivery. */
  readonly externalReference?: string | null
  readonly date?: DateText | null
  readonly status: 'OPEN' | 'CLOSED' | 'CANCELLED' | 'UNKNOWN'
  readonly vendorStatus?: string | null
  readonly lines: readonly DeliveryLine[]
}

export interface ReservationLine {
  readonly id: string
  readonly product: Key
  readonly warehouse: Key
  readonly quantity: Quantity
  /** What of it is still set aside: neither shipped nor released. */
  readonly open?: Quantity | null
}

/** Stock set aside for one order until it is shipped or released. */
export interface Reservation extends RecordBase {
  readonly number: string
  /** Number of the order it is for, as the ordering system prints it. */
  readonly orderNumber?: string | null
  /** The reference that a writeback left behind, if this gateway made the reservation. */
  readonly externalReference?: string | null
  readonly status: 'ACTIVE' | 'FULFILLED' | 'RELEASED' | 'EXPIRED' | 'UNKNOWN'
  readonly vendorStatus?: string | null
  /** When the system gives it up by itself; null: never. */
  readonly expiresAt?: DateTimeText | null
  readonly comments?: string | null
  readonly lines: readonly ReservationLine[]
}

/** Where a parcel is, in the order in which it usually goes. */
export const SHIPMENT_STATUSES = [
  /** Announced to the carrier, which does not have it yet. */
  'CREATED',
  'PICKED_UP',
  'IN_TRANSIT',
  'CUSTOMS',
  'OUT_FOR_DELIVERY',
  /** The recipient has it. */
  'DELIVERED',
  /** It does not go on by itself: refused, damaged, held, not deliverable. */
  'EXCEPTION',
  'RETURNING',
  /** The sender has it again. */
  'RETURNED',
  'CANCELLED',
] as const
export type ShipmentStatus = (typeof SHIPMENT_STATUSES)[number] | 'UNKNOWN'

/** What the carrier noted on the way. */
export interface ShipmentEvent {
  readonly time: DateTimeText
  /** As the carrier writes it: a region, a depot. */
  readonly place?: string | null
  readonly text: string
  readonly status?: ShipmentStatus | null
  readonly vendorStatus?: string | null
}

/** One parcel or consignment with one carrier, followed by its tracking number. */
export interface Shipment extends RecordBase {
  readonly trackingNumber: string
  /** The carrier's code in this system. */
  readonly carrier?: string | null
  readonly carrierName?: string | null
  readonly status: ShipmentStatus
  /** The vendor's own status code. */
  readonly vendorStatus?: string | null
  /** Where it goes, as far as the system says: `广东省深圳市`; no street, no name. */
  readonly recipientRegion?: string | null
  /** The day on which it should arrive. */
  readonly expectedDelivery?: DateText | null
  readonly signedBy?: string | null
  readonly signedAt?: DateTimeText | null
  /** Numbers of the orders it carries, as the ordering system prints them. */
  readonly orderNumbers: readonly string[]
  /** Numbers of the deliveries it carries, as the warehouse prints them. */
  readonly deliveryNumbers: readonly string[]
  /** Oldest first. */
  readonly events: readonly ShipmentEvent[]
}

/** The paper or electronic document by which the state knows the tax: a 发票, a VAT invoice. */
export interface TaxInvoice {
  /** As the vendor calls it, for example 增值税专用发票. */
  readonly kind?: string | null
  readonly code?: string | null
  readonly number: string
  readonly issuedOn?: DateText | null
  /** Number of the tax invoice that this one takes back. */
  readonly redLetterOf?: string | null
  /** Where the document can be fetched. */
  readonly file?: string | null
}

/** What is billed: where the system keeps it by lines. */
export interface InvoiceLine {
  readonly id: string
  readonly product?: Key | null
  readonly description?: string | null
  readonly quantity?: Quantity | null
  readonly unitPrice?: UnitPrice | null
  readonly taxRate?: Decimal | null
  readonly net?: Money | null
  readonly tax?: Money | null
  readonly gross?: Money | null
  readonly orderNumber?: string | null
}

export interface Invoice extends RecordBase {
  readonly number: string
  readonly type: 'STANDARD' | 'CREDIT_NOTE' | 'DOWN_PAYMENT' | 'CANCELLATION' | 'PRO_FORMA' | 'UNKNOWN'
  readonly customer?: Key | null
  /** Numbers of the orders that it bills, as the ordering system prints them. */
  readonly orderNumbers: readonly string[]
  readonly issueDate?: DateText | null
  readonly dueDate?: DateText | null
  readonly status: 'OPEN' | 'PARTIALLY_PAID' | 'PAID' | 'CANCELLED' | 'UNKNOWN'
  readonly vendorStatus?: string | null
  readonly totals: Totals
  readonly paid?: Money | null
  readonly open?: Money | null
  /** Null where the system does not keep it by lines. */
  readonly lines?: readonly InvoiceLine[] | null
  /** Empty: none was issued; null: the system does not know. */
  readonly taxInvoices?: readonly TaxInvoice[] | null
  /** The reference that a writeback left behind, if this gateway made the invoice. */
  readonly externalReference?: string | null
}

export interface PaymentApplication {
  readonly invoice: Key
  readonly amount: Money
  /** What was let off for paying early. */
  readonly discount?: Money | null
}

export interface Payment extends RecordBase {
  readonly number: string
  readonly customer?: Key | null
  readonly date?: DateText | null
  readonly amount: Money
  readonly method?: string | null
  readonly reference?: string | null
  readonly externalReference?: string | null
  readonly status: 'POSTED' | 'CANCELLED' | 'UNKNOWN'
  readonly vendorStatus?: string | null
  readonly applications: readonly PaymentApplication[]
  readonly unapplied?: Money | null
}

/** What one customer owes, a balance per currency; key = customer key. */
export interface Receivable extends RecordBase {
  readonly customer: Key
  readonly asOf: DateText
  readonly balances: readonly { readonly open: Money; readonly overdue?: Money | null }[]
}

export type OpportunityStage =
  | 'PROSPECTING'
  | 'QUALIFICATION'
  | 'PROPOSAL'
  | 'NEGOTIATION'
  | 'WON'
  | 'LOST'
  | 'UNKNOWN'

export interface Opportunity extends RecordBase {
  readonly name: string
  readonly customer?: Key | null
  readonly stage: OpportunityStage
  readonly vendorStage?: string | null
  readonly amount?: Money | null
  readonly probability?: Decimal | null
  readonly closeDate?: DateText | null
  readonly owner?: string | null
  /** What is to be sold, where the system keeps it. */
  readonly lines?: readonly OpportunityLine[]
  /** Number of the order that it became, as the ordering system prints it. */
  readonly orderNumber?: string | null
  readonly externalReference?: string | null
}

export interface OpportunityLine {
  /** As this system writes it: often the key that the ordering system has. */
  readonly product: Key
  readonly description?: string | null
  readonly quantity: Decimal
  /** Net, for one, in the currency of the opportunity's amount. */
  readonly unitPrice?: Decimal | null
}

export interface RecordTypes {
  readonly customer: Customer
  readonly product: Product
  readonly warehouse: Warehouse
  readonly inventoryLevel: InventoryLevel
  readonly order: Order
  readonly delivery: Delivery
  readonly reservation: Reservation
  readonly shipment: Shipment
  readonly invoice: Invoice
  readonly payment: Payment
  readonly receivable: Receivable
  readonly opportunity: Opportunity
  readonly [own: OwnType]: OwnRecord
}
/** Unified, or a type of one system's own. */
export type RecordType = keyof RecordTypes

/** What a system's own schema calls a type that only it has: with a capital letter, as no unified type begins. */
export type OwnType = `${Capital}${string}`
type Capital = Uppercase<
  // biome-ignore format: an alphabet
  | 'a'
  | 'b'
  | 'c'
  | 'd'
  | 'e'
  | 'f'
  | 'g'
  | 'h'
  | 'i'
  | 'j'
  | 'k'
  | 'l'
  | 'm'
  | 'n'
  | 'o'
  | 'p'
  | 'q'
  | 'r'
  | 's'
  | 't'
  | 'u'
  | 'v'
  | 'w'
  | 'x'
  | 'y'
  | 'z'
>
export const isOwnType = (type: string): type is OwnType => /^[A-Z]/.test(type)

/** Of a type that nobody here has heard of: what its configuration maps. Values are JSON; decimals are text. */
export interface OwnRecord extends RecordBase {
  readonly [field: string]: unknown
}

export const RECORD_TYPES = [
  'customer',
  'product',
  'warehouse',
  'inventoryLevel',
  'order',
  'delivery',
  'reservation',
  'shipment',
  'invoice',
  'payment',
  'receivable',
  'opportunity',
] as const satisfies readonly RecordType[]
export type UnifiedType = (typeof RECORD_TYPES)[number]

/** Joins the parts of a key so that no two different lists of parts give the same text. */
export function joinKey(parts: readonly string[]): Key {
  return parts.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')
}

export function splitKey(key: Key): string[] {
  return key.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}
