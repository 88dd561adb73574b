/**
 * What an adapter offers. The paths (reading, writeback, events) know systems only through these interfaces;
 * an adapter knows neither cache nor journal nor log, and nothing of GraphQL.
 */
import type { Caller } from '../caller/caller.ts'
import type { Log } from '../observe/log.ts'
import type { Outcome } from './failure.ts'
import type {
  Address,
  Contact,
  CurrencyCode,
  CustomerLevel,
  CustomFields,
  DateText,
  DateTimeText,
  Decimal,
  Key,
  Money,
  OpportunityStage,
  OwnType,
  PostalAddress,
  RecordType,
  RecordTypes,
  Reference,
} from './records.ts'

/** What every call carries. */
export interface CallContext {
  readonly caller: Caller
  /** Aborted when nobody waits for the answer any more; the adapter must let go of its socket. */
  readonly signal?: AbortSignal | undefined
  /** Names among the port's `parts` that nobody needs this time. Not given: all of the record is wanted. */
  readonly without?: ReadonlySet<string> | undefined
}

export interface Adapter {
  readonly kind: string
  /** One entry for each record type that this system holds, its own types included. What is not here is `unsupported`. */
  readonly ports: Ports
  /** Reaches the system with its real credentials, as cheaply as the vendor allows. */
  health(context: CallContext): Promise<Outcome<HealthReport>>
  /**
   * Holds the configured names (fields, organisations, codes) against the live system, for `check`. One sentence for
   * each that does not fit; none: all fit.
   */
  checkConfiguration?(context: CallContext): Promise<Outcome<readonly string[]>>
  /**
   * Opens a session ahead of a write, where the vendor has sessions: what fails here has sent nothing. Cheap when
   * one is open.
   */
  connect?(context: CallContext): Promise<Outcome<void>>
  /** Present where the system brings record types that only it has; their ports stand in `ports`. */
  readonly graph?: OwnGraph
  /** Calls that it can have under way, for example its sessions: more would only wait inside. Not given: any. */
  readonly concurrency?: number
  /** Reads that it can have under way, where more than `concurrency` are of use: those that wait travel together. */
  readonly readsAtOnce?: number
  /** Present where the system calls us. */
  readonly webhook?: WebhookReceiver
  /** Present where the system can be told, over its own interface, where to call. */
  readonly registration?: WebhookRegistration
  /** Present where the system keeps a stream of its changes that can be followed. */
  readonly stream?: ChangeStream
  /** Logs out and closes sockets. Never throws. */
  close(): Promise<void>
}

/** What an adapter is given besides its own configuration. */
export interface AdapterContext {
  readonly systemId: string
  readonly log: Log
  /** For one exchange with the system, connection included. */
  readonly timeoutMs: number
  /** Not given: nothing outlives this process. */
  readonly holdings?: Holdings
}

/**
 * Where an adapter writes down what the system keeps open for this process even when it is killed, and what others
 * then lack: sessions that cost licences. It stands in the store, where credentials do not: seal it (`kit/seal.ts`).
 */
export interface Holdings {
  /** Durable when it answers. */
  hold(id: string, sealed: string): Promise<void>
  release(id: string): Promise<void>
  /** What processes that are gone have left; from now on it is this one's. */
  takeOver(): Promise<readonly { readonly id: string; readonly sealed: string }[]>
}

/**
 * A sort of system. One folder each under `src/systems`; adding one is adding a folder and a line in `kinds.ts`.
 * `Config` is what the folder's `config.ts` parses.
 */
export type CreateAdapter<Config> = (config: Config, context: AdapterContext) => Adapter

export interface HealthReport {
  /** What the system says of itself, for an operator: product, version, company. Never a secret. */
  readonly detail: string
}

export type Ports = { readonly [T in RecordType]?: RecordPort<T> }

export interface RecordPort<T extends RecordType> {
  /** What the types of its events begin with, of an own type: `purchaseorder.updated`. Not given: the record type. */
  readonly eventName?: string
  /** The most keys that one `readMany` call may carry; callers cut longer lists. */
  readonly batchLimit: number
  /**
   * What costs extra to read, under a name of the adapter's, and the fields of the record that come of it. `readMany`,
   * `list` and lookups are told in `context.without` what to leave out; what those fields then hold is never looked at.
   * Not given: records are always read whole.
   */
  readonly parts?: Parts<T>
  /**
   * Reads records by key, in one call to the system wherever the vendor has such a call.
   * @returns One outcome per key in the order of `keys`; `null` where there is no such record. Never throws for
   * what a system may do; a record that breaks its schema fails alone.
   */
  readMany(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<RecordTypes[T] | null>[]>
  /** Reads by another record's key or by another unique text, many at once. */
  readonly lookups?: { readonly [name in LookupName]?: Lookup<T> }
  /**
   * One page, newest first where the vendor can sort, complete over all pages even while records are added.
   */
  list?(query: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>>
  /**
   * Records changed since `checkpoint`, oldest first, with an overlap where the vendor's clock is coarse: the
   * caller compares and drops repetitions. Without a checkpoint: answers the present checkpoint and no records.
   * A checkpoint that is handed in is durable, with all that came before it: what it names may be acknowledged.
   */
  changes?(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>>
  readonly create?: T extends keyof CreateInputs ? WriteAction<CreateInputs[T], T> : never
  readonly update?: T extends keyof UpdateInputs ? WriteAction<UpdateOf<UpdateInputs[T]>, T> : never
  /** Named changes of state, for example `cancel`. */
  readonly actions?: Readonly<Record<string, WriteAction<ActionInput, T>>>
}

export type Parts<T extends RecordType> = Readonly<Record<string, readonly (keyof RecordTypes[T] & string)[]>>

/**
 * `byNumber` finds at most one record per number (a shipment's is its tracking number); the others any number of
 * records. `byOrderNumber` and `byDeliveryNumber` take the number as the other system prints it.
 */
export type LookupName =
  | 'byNumber'
  | 'byCustomer'
  | 'byOrder'
  | 'byOrderNumber'
  | 'byDeliveryNumber'
  | 'byProduct'
  | 'byInvoice'

export interface Lookup<T extends RecordType> {
  readonly batchLimit: number
  /** @returns One outcome per key, same order; an empty list where nothing belongs to that key. */
  read(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<readonly RecordTypes[T][]>[]>
}

export interface ListQuery {
  readonly first: number
  /** The `position` of the last item received. */
  readonly after?: string | undefined
  readonly filter?: ListFilter | undefined
}

export interface ListFilter {
  readonly customer?: Key
  /** Free text on names and numbers, where the vendor can search. */
  readonly search?: string
}

export interface ListPage<T extends RecordType> {
  readonly items: readonly { readonly record: RecordTypes[T]; readonly position: string }[]
  readonly hasMore: boolean
}

export interface ChangePage<T extends RecordType> {
  readonly records: readonly RecordTypes[T][]
  readonly deleted?: readonly Key[]
  /** Where to go on; opaque, stored by the caller in the same transaction as the events it led to. */
  readonly checkpoint: string
  /** More is waiting: ask again at once. */
  readonly hasMore: boolean
}

/* ---- writing ---- */

export interface WriteContext {
  /**
   * 32 lower-case hexadecimal digits that stand for this one write; set in the vendor's configured field, so
   * that a write whose answer was lost can be found.
   */
  readonly externalReference: string
  /** Who asked for it, for the vendor's user field where one is configured. */
  readonly onBehalfOf: string
  /** How far the vendor's own procedure shall go; not given: as the system is configured. */
  readonly target?: WriteTarget | undefined
}

/** Stages of a vendor's own procedure, where it has any: kept as a draft, handed in, in force. */
export type WriteTarget = 'saved' | 'submitted' | 'effective'

export interface WriteAction<Input, T extends RecordType> {
  /** The request that `send` would send, without credentials: for dry runs. Pure. */
  preview(input: Input, write: WriteContext): VendorRequest
  /** Which of the `EXTRAS` it has a place for; another that is given is refused before anything is sent. */
  readonly takes?: readonly Extra[]
  /** Stages of the vendor's procedure that it can be told to go to; not given: `effective` only. */
  readonly targets?: readonly WriteTarget[]
  /** Instead of `preview` where telling the request takes time: expressions of a configured system. */
  previewLater?(input: Input, write: WriteContext): Promise<VendorRequest>
  /**
   * Sends the write, once. After the first byte went out, no answer means `unknown-outcome`, never `unavailable`.
   */
  send(input: Input, write: WriteContext, context: CallContext): Promise<Outcome<WriteResult<T>>>
  /** Looks whether an earlier `send` of the same write took effect. */
  verify(input: Input, write: WriteContext, context: CallContext): Promise<Outcome<Verdict<T>>>
}

/**
 * Inputs of creates and updates that only some systems have a place for; `lines.x` is `x` of any line. To leave one out
 * would make another document than was asked for.
 */
export const EXTRAS = {
  customer: [
    'legalName',
    'type',
    'addresses',
    'tags',
    'currency',
    'creditLimit',
    'paymentTerms',
    'customFields',
  ],
  order: ['shipTo', 'paymentTerms', 'paymentMethod', 'precededBy', 'lines.comments', 'lines.customFields'],
  opportunity: ['customFields'],
  invoice: ['lines', 'comments', 'customFields'],
  payment: ['applications.discount', 'customFields'],
} as const satisfies { readonly [T in RecordType]?: readonly string[] }
export type Extra = (typeof EXTRAS)[keyof typeof EXTRAS][number]

export interface VendorRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface WriteResult<T extends RecordType> {
  readonly key: Key
  /**
   * The record after the write, where the system answers with it or it was read back: as reading shows it, since what
   * differed would be told as a change.
   */
  readonly record?: RecordTypes[T]
  /** How far the vendor's own procedure got; `effective` where the vendor knows no stages. */
  readonly reached: WriteTarget
  /** Why the vendor's procedure stopped before its end, in the vendor's words. */
  readonly note?: string
}

export type Verdict<T extends RecordType> =
  | { readonly effect: 'done'; readonly result: WriteResult<T> }
  /** `proven`: the vendor cannot have it and cannot get it any more; only then may it be sent again. */
  | { readonly effect: 'none'; readonly proven: boolean; readonly evidence: string }
  /** It is not seen, and that says nothing: the system may have it, and never shows it. Only a person knows. */
  | { readonly effect: 'unknown'; readonly evidence: string }

export type UpdateOf<Changes> = {
  readonly key: Key
  readonly expectedVersion?: string | undefined
  readonly changes: Changes
}

export interface ActionInput {
  readonly key: Key
  readonly expectedVersion?: string | undefined
  /** For `addNote`: what is to be noted. */
  readonly text?: string | undefined
  /** For actions of own types: what the mutation says besides. */
  readonly input?: OwnInput | undefined
}

/** What a mutation of an own type says, with keys of a system in the place of ids. */
export type OwnInput = Readonly<Record<string, unknown>>

export interface CreateInputs {
  readonly customer: CustomerCreate
  readonly order: OrderCreate
  readonly delivery: DeliveryCreate
  readonly reservation: ReservationCreate
  readonly shipment: ShipmentTrack
  readonly opportunity: OpportunityCreate
  readonly invoice: InvoiceCreate
  readonly payment: PaymentCreate
  readonly [own: OwnType]: OwnInput
}

export interface UpdateInputs {
  readonly order: OrderChanges
  readonly customer: CustomerChanges
  readonly opportunity: OpportunityChanges
  readonly [own: OwnType]: OwnInput
}

/** Keys are those of the system that is written to. */
export interface OrderCreate {
  readonly customer: Key
  readonly dueDate: DateText
  readonly orderDate?: DateText | undefined
  readonly currency?: CurrencyCode | undefined
  readonly customerReference?: string | undefined
  readonly comments?: string | undefined
  /** Where the goods go, where that is not the customer's own address. */
  readonly shipTo?: ShipTo | undefined
  /** As the system names its terms; absent: the customer's. */
  readonly paymentTerms?: string | undefined
  readonly paymentMethod?: string | undefined
  /** What it is made from: a quotation, a contract. */
  readonly precededBy?: readonly Reference[] | undefined
  /** Under the names that the configuration gives to the vendor's fields; an unknown name is refused. */
  readonly customFields?: CustomFields | undefined
  readonly lines: readonly {
    readonly product: Key
    readonly quantity: Decimal
    /** Net, in the order's currency, for one unit; absent: the system's price list decides. */
    readonly unitPrice?: Decimal | undefined
    readonly discountPercent?: Decimal | undefined
    readonly warehouse?: Key | undefined
    readonly comments?: string | undefined
    readonly customFields?: CustomFields | undefined
  }[]
}

export interface ShipTo {
  readonly name: string
  readonly phone?: string | undefined
  readonly address: PostalAddress
}

/** An instruction to a warehouse to send goods out or to take them in. */
export interface DeliveryCreate {
  readonly direction: 'OUTBOUND' | 'INBOUND'
  /** Number of the sales or purchase order, as the ordering system prints it. */
  readonly orderNumber?: string | undefined
  /** What this reservation has set aside is sent; outbound only. */
  readonly reservation?: Key | undefined
  /** Absent: as the system is configured. */
  readonly warehouse?: Key | undefined
  /** The day it is wanted. */
  readonly date?: DateText | undefined
  readonly shipTo?: ShipTo | undefined
  readonly comments?: string | undefined
  readonly customFields?: CustomFields | undefined
  readonly lines: readonly { readonly product: Key; readonly quantity: Decimal }[]
}

/** All of it or nothing: a system that cannot set everything aside refuses. */
export interface ReservationCreate {
  /** Number of the order, as the ordering system prints it. */
  readonly orderNumber?: string | undefined
  /** When it lapses; absent: as the system is configured. */
  readonly expiresAt?: DateTimeText | undefined
  readonly comments?: string | undefined
  readonly customFields?: CustomFields | undefined
  readonly lines: readonly {
    readonly product: Key
    readonly quantity: Decimal
    /** Absent: as the system is configured. */
    readonly warehouse?: Key | undefined
  }[]
}

/** Has a system follow a parcel that is under way or will be, and tell us of its events. */
export interface ShipmentTrack {
  readonly trackingNumber: string
  /** The carrier's code in that system, or a name that its configuration knows; absent: the system finds out. */
  readonly carrier?: string | undefined
  /** Of the recipient or the sender: some carriers tell nothing without. */
  readonly phone?: string | undefined
  /** Numbers that the shipment shall be found by, where the system keeps them. */
  readonly orderNumber?: string | undefined
  readonly deliveryNumber?: string | undefined
}

export interface OrderChanges {
  readonly dueDate?: DateText | undefined
  readonly customerReference?: string | undefined
  readonly comments?: string | undefined
  readonly shipTo?: ShipTo | undefined
  readonly paymentTerms?: string | undefined
  readonly customFields?: CustomFields | undefined
}

/** What a customer may have beside its name; see `EXTRAS`. */
interface CustomerExtras {
  readonly legalName?: string | undefined
  readonly addresses?: readonly Address[] | undefined
  readonly tags?: readonly string[] | undefined
  readonly currency?: CurrencyCode | undefined
  readonly creditLimit?: Money | undefined
  readonly paymentTerms?: string | undefined
  readonly customFields?: CustomFields | undefined
}

/** What a system has no place for is refused, never left out. */
export interface CustomerCreate extends CustomerExtras {
  readonly name: string
  /** The number it shall have, where the system does not give numbers itself. */
  readonly code?: string | undefined
  readonly type?: 'COMPANY' | 'INDIVIDUAL' | undefined
  readonly taxNumber?: string | undefined
  readonly level?: CustomerLevel | undefined
  readonly industry?: string | undefined
  readonly phone?: string | undefined
  readonly email?: string | undefined
  readonly contacts?: readonly Contact[] | undefined
}

export interface CustomerChanges extends CustomerExtras {
  readonly name?: string | undefined
  readonly level?: CustomerLevel | undefined
  readonly industry?: string | undefined
  readonly phone?: string | undefined
  readonly email?: string | undefined
  readonly contacts?: readonly Contact[] | undefined
}

export interface OpportunityCreate {
  readonly name: string
  readonly customer: Key
  readonly stage?: OpportunityStage | undefined
  readonly amount?: Money | undefined
  readonly closeDate?: DateText | undefined
  readonly customFields?: CustomFields | undefined
}

export interface OpportunityChanges {
  readonly name?: string | undefined
  readonly stage?: OpportunityStage | undefined
  readonly amount?: Money | undefined
  readonly closeDate?: DateText | undefined
  readonly customFields?: CustomFields | undefined
  /** Number of the order that it became, as the ordering system prints it. */
  readonly orderNumber?: string | undefined
}

/** A claim on a customer for what was ordered elsewhere. */
export interface InvoiceCreate {
  readonly customer: Key
  /** Numbers of the orders that it bills, as the ordering system prints them. */
  readonly orderNumbers: readonly string[]
  readonly issueDate: DateText
  readonly dueDate?: DateText | undefined
  readonly gross: Money
  /** In the currency of `gross`. */
  readonly net?: Decimal | undefined
  readonly tax?: Decimal | undefined
  readonly comments?: string | undefined
  readonly customFields?: CustomFields | undefined
  readonly lines?:
    | readonly {
        readonly product?: Key | undefined
        readonly description?: string | undefined
        readonly quantity: Decimal
        /** Net, in the currency of `gross`, for one. */
        readonly unitPrice: Decimal
        /** Percent. */
        readonly taxRate?: Decimal | undefined
      }[]
    | undefined
}

export interface PaymentCreate {
  readonly customer: Key
  readonly date: DateText
  readonly amount: Money
  readonly method?: string | undefined
  readonly reference?: string | undefined
  readonly customFields?: CustomFields | undefined
  readonly applications: readonly {
    readonly invoice: Key
    readonly amount: Decimal
    /** What is let off for paying early, in the payment's currency: the invoice is settled by both. */
    readonly discount?: Decimal | undefined
  }[]
}

/* ---- record types that only one system has ---- */

/** What a system adds to the graph: its schema, and where each field comes from. */
export interface OwnGraph {
  /** Over what `schema/common.graphql` says. */
  readonly sdl: string
  /** Its own types: what their records have, and what their lists can be narrowed by. */
  readonly types: Readonly<
    Record<OwnType, { readonly fields: readonly string[]; readonly filters: readonly string[] }>
  >
  /** By `Type.field`; a field of an own type that is not here stands in the record under its name. */
  readonly fields: Readonly<Record<string, OwnField>>
  readonly mutations: Readonly<Record<string, OwnMutation>>
  readonly subscriptions: Readonly<Record<string, OwnSubscription>>
}

/** `keys` are found on the arguments (fields of Query) or on the record that has the field. */
export type OwnField =
  | { readonly get: 'record'; readonly type: OwnType; keys(of: unknown): Promise<Outcome<readonly Key[]>> }
  | {
      readonly get: 'lookup'
      readonly type: OwnType
      readonly by: string
      /** Absent where `system` says whose keys of the record that has the field are meant. */
      keys?(of: unknown): Promise<Outcome<readonly Key[]>>
      readonly system?: string
    }
  | { readonly get: 'list'; readonly type: OwnType }
  | {
      readonly get: 'entity'
      readonly entity: string
      /** Whose keys these are; absent: of this system. */
      readonly system?: string
      keys(of: unknown): Promise<Outcome<readonly Key[]>>
    }

/** A mutation that writes one record of an own type. */
export interface OwnMutation {
  readonly type: OwnType
  /** `create`, `update`, or a named action of its port. What is changed is named by the fields of the type's `@key`. */
  readonly action: string
  /** Ids in the input, by path (`lines.productId`): they become the keys that the entity has in a system. */
  readonly ids: Readonly<Record<string, { readonly entity: string; readonly system?: string | undefined }>>
}

/** A subscription to the changes of an own type. */
export interface OwnSubscription {
  readonly type: OwnType
  /** Arguments that narrow it: by the field of the record that has the same name. */
  readonly filters: readonly string[]
}

/* ---- being told ---- */

export interface WebhookReceiver {
  /** Checks signature and age, then reads the notifications. */
  receive(request: WebhookRequest, now: Date): WebhookVerdict
  /** Reads the notifications of what `receive` took, where that takes time: expressions of a configured system. */
  readLater?(request: WebhookRequest): Promise<WebhookVerdict>
  /**
   * The body of our answer, where the vendor wants one of a certain form; with the HTTP status of any webhook.
   * @param refusal Why it was not taken; null: it was.
   */
  answer?(refusal: string | null): object
}

export interface WebhookRegistration {
  /**
   * Has the system sign with the secret that its configuration shares with it.
   * @param url Public address of the gateway's door for this system.
   * @param events As the system calls them, `order.created`; absent: all that the adapter understands.
   * @returns The system's id of the registration, for `unregister`.
   */
  register(
    url: string,
    context: CallContext,
    options?: { readonly events?: readonly string[] },
  ): Promise<Outcome<string>>
  /** One that is not there any more is no failure. */
  unregister(id: string, context: CallContext): Promise<Outcome<void>>
}

export interface WebhookRequest {
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

export type WebhookVerdict =
  | { readonly ok: true; readonly notifications: readonly Notification[] }
  | { readonly ok: false; readonly reason: 'signature' | 'timestamp' | 'malformed'; readonly detail: string }

/** Something changed: what, and how the system names the event. The record itself is read afresh. */
export interface Notification {
  /** The system's own id of the event; repeated deliveries carry the same. */
  readonly id: string
  readonly type: RecordType
  readonly key: Key
  readonly change: 'created' | 'updated' | 'deleted'
  readonly time: DateTimeText
  /** Where the system sends the record whole, and may not be asked as often as it tells: it is not read again. */
  readonly record?: RecordTypes[RecordType]
}

/**
 * A stream that the system keeps for a while: who was away goes on where it stopped. It makes changes known sooner;
 * `changes` of the ports stays, for what a stream leaves out.
 */
export interface ChangeStream {
  /**
   * Follows until `context.signal` is aborted or the stream breaks; the next batch is not asked for before `take` is
   * done with this one.
   * @param position Of the last batch that was taken; null: from now on.
   * @param take Answers false where a record cannot be read now: the batch has to come again.
   * @returns Why it ended; ok only after an abort.
   */
  follow(
    position: string | null,
    take: (batch: StreamBatch) => Promise<boolean>,
    context: CallContext,
  ): Promise<Outcome<void>>
}

export interface StreamBatch {
  readonly notifications: readonly Notification[]
  /** Stored by the caller in the same transaction as the events it led to. */
  readonly position: string
  /** Something is not told by this stream, or not any more: `changes` must be asked. */
  readonly incomplete: boolean
}
