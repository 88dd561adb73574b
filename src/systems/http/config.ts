/**
 * What a system of the kind `http` needs to be told. Expressions are JSONata; texts with `{holes}` are templates. The
 * README beside this file tells what each of them sees.
 */
import { z } from 'zod'
import { createClock, isTimeZone } from '../kit/clock.ts'
import { webhook } from '../kit/rest/settings.ts'
import { type CreateInputs, EXTRAS, type Extra, type LookupName, type UpdateInputs } from '../port.ts'
import { isOwnType, type OwnType, RECORD_TYPES, type UnifiedType } from '../records.ts'
import { compileExpression, type Vocabulary } from './expressions.ts'
import { RECORD_FIELDS, requiredFields } from './mapping.ts'
import { compileTemplate } from './templates.ts'

/* ---- pieces ---- */

const anyVocabulary: Vocabulary = { codes: {}, clock: createClock('UTC') }

const compiling = (compile: (source: string, vocabulary: Vocabulary) => unknown, what: string) =>
  z
    .string()
    .min(1)
    .superRefine((source, context) => {
      try {
        compile(source, anyVocabulary)
      } catch (error) {
        context.addIssue(`is no ${what}: ${(error as Error).message}`)
      }
    })

const expression = (what: string) => compiling(compileExpression, 'expression').describe(what)
const template = (what: string) => compiling(compileTemplate, 'template').describe(what)
const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)
const address = z.url({ protocol: /^https?$/, error: 'is an http or https address' })
const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a header name')
const name = z.string().regex(/^[_A-Za-z][_0-9A-Za-z]*$/, 'is a name: letters, digits and "_"')
const ownName = name
  .refine(isOwnType, 'begins with a capital letter, as types of a schema do')
  .describe('An own type')
const texts = z.array(z.coerce.string())
const pageSize = z.int().min(1).max(10_000).default(100).describe('Records asked for in one page: `size`')
const batchLimit = z
  .int()
  .min(1)
  .max(1000)
  .default(1)
  .describe('Keys in one request, as `keys`; 1: one request for each, as `key`')

const format = z.enum(['json', 'xml', 'form', 'jsonRpc'])

const request = z.strictObject({
  method: z
    .enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])
    .optional()
    .describe('Default: GET without a body, POST with one'),
  path: template('Below the base URL, for example `/employees/{key}`'),
  query: z
    .record(z.string(), template('Value'))
    .default({})
    .describe('Parameters; one without a value is left out'),
  headers: z.record(headerName, template('Value')).default({}).describe('Besides those of the system'),
  body: expression('Gives the body; for jsonRpc the parameters').optional(),
  rpcMethod: z.string().min(1).optional().describe('Method of JSON-RPC, for example `supplier.list`'),
  format: format.optional().describe('Form of this body, where it differs from the rest of the system'),
})
export type RequestConfig = z.infer<typeof request>

const more = {
  hasMore: expression('On the answer: whether another page follows').optional(),
  total: expression('On the answer: how many records there are in all').optional(),
}
const paging = z
  .discriminatedUnion('style', [
    z.strictObject({ style: z.literal('none').describe('One answer holds everything') }),
    z.strictObject({
      style: z.literal('page').describe('Numbered pages: `page` and `size`'),
      size: pageSize,
      firstPage: z.int().min(0).max(1).default(1).describe('Number of the first page'),
      ...more,
    }),
    z.strictObject({
      style: z.literal('offset').describe('Records skipped: `offset` and `size`'),
      size: pageSize,
      ...more,
    }),
    z.strictObject({
      style: z.literal('cursor').describe('A mark from the page before: `cursor` and `size`'),
      size: pageSize,
      next: expression('On the answer: the mark of the next page; nothing on the last one'),
    }),
    z.strictObject({
      style: z.literal('link').describe('The address of the next page'),
      size: pageSize,
      next: expression('On the answer: the address; default: the header `Link` with rel="next"').optional(),
    }),
  ])
  .prefault({ style: 'none' })
export type PagingConfig = z.infer<typeof paging>

const items = expression('On the answer: the records').default('$')

const lookup = z.strictObject({
  request: request.describe('Sees `key` or `keys`'),
  items,
  paging,
  batchLimit,
  key: expression(
    'On a record as the system gives it: the keys that it belongs to; needed where `keys` are sent',
  ).optional(),
})
export type LookupConfig = z.infer<typeof lookup>

const list = z.strictObject({
  request: request.describe('Sees what the paging gives, and `search` and `customer` where they are filters'),
  items,
  paging,
  filters: z
    .array(z.enum(['search', 'customer']))
    .default([])
    .describe('What the request can be narrowed by'),
})
export type ListConfig = z.infer<typeof list>

const changes = z.strictObject({
  request: request.describe('Sees `since`, and what the paging gives; oldest change first'),
  items,
  paging,
  deleted: expression('On the answer: keys of records that are gone').optional(),
  follow: z.discriminatedUnion('by', [
    z.strictObject({
      by: z.literal('time').describe('Everything since a time'),
      format: z
        .enum(['iso', 'local', 'ms', 's'])
        .default('iso')
        .describe(
          'How `since` is written: UTC, the system’s clock without offset, milliseconds or seconds since 1970',
        ),
      overlapSeconds: z
        .int()
        .min(0)
        .max(86_400)
        .default(60)
        .describe('Looks back this far, for changes that became visible late'),
      now: expression('On the answer: the system’s clock; default: the header `Date`').optional(),
      changedAt: expression(
        'On a record: when it changed; needed with numbered pages and offsets',
      ).optional(),
    }),
    z.strictObject({
      by: z.literal('token').describe('Everything since a mark that the system gave: `since`'),
      next: expression('On the answer: the mark to go on from'),
      hasMore: expression(
        'On the answer: whether more is waiting; default: the page is not empty',
      ).optional(),
      start: request
        .optional()
        .describe('Gives the first mark without the records; default: the same request without `since`'),
    }),
  ]),
})
export type ChangesConfig = z.infer<typeof changes>

const reached = z
  .enum(['saved', 'submitted', 'effective'])
  .default('effective')
  .describe('How far this gets in the procedure of the system')

const takes = z
  .array(z.enum([...new Set(Object.values(EXTRAS).flat())] as [Extra, ...Extra[]]))
  .default([])
  .describe(
    'Inputs beyond the usual that the request carries to the system; others are refused, not left out',
  )

const create = z.strictObject({
  request: request.describe('Sees `input`, `reference` and `onBehalfOf`'),
  takes,
  key: expression('On the answer: the key of the new record'),
  record: expression('On the answer: the new record, where it is there').optional(),
  reached,
  duplicate: z
    .strictObject({
      codes: texts.min(1).describe('Codes by which the system refuses a reference that it has already'),
      key: expression('On that answer: the key of the record that has it'),
    })
    .optional(),
  unique: z
    .boolean()
    .default(false)
    .describe('The system takes each reference only once, so that sending again is safe'),
})
export type CreateConfig = z.infer<typeof create>

const find = z.strictObject({
  request: request.describe('Sees `reference`'),
  items,
  reference: expression('On a record as the system gives it: its reference'),
})

const update = z.strictObject({
  request: request.describe('Sees `key`, `version`, `changes`, `reference` and `onBehalfOf`'),
  takes,
  record: expression('On the answer: the changed record, where it is there').optional(),
  conditional: z
    .boolean()
    .default(false)
    .describe('The request carries `version`, and the system refuses a stale one'),
  reached,
})

const action = z.strictObject({
  request: request.describe('Sees `key`, `version`, `reference` and `onBehalfOf`'),
  done: expression('On our record: whether the action took effect, for example `status = "CANCELLED"`'),
  conditional: z
    .boolean()
    .default(false)
    .describe('The request carries `version`, and the system refuses a stale one'),
  repeatable: z.boolean().default(false).describe('Done twice, it has the effect of once'),
  reached,
})

/** What a mutation of an own type says is in `input`, also where it is no creation. */
const ownAction = action.extend({
  request: request.describe('Sees `key`, `version`, `input`, `reference` and `onBehalfOf`'),
  done: expression('On the mapped record: whether the action took effect; `$input` is what was asked for'),
})

const read = z.strictObject({
  request: request.describe('Sees `key` or `keys`'),
  items,
  batchLimit,
})

/* ---- record types ---- */

const LOOKUPS = [
  'byNumber',
  'byCustomer',
  'byOrder',
  'byOrderNumber',
  'byDeliveryNumber',
  'byProduct',
  'byInvoice',
] as const satisfies readonly LookupName[]

const CREATED = [
  'customer',
  'order',
  'delivery',
  'reservation',
  'shipment',
  'opportunity',
  'invoice',
  'payment',
] as const satisfies readonly (keyof CreateInputs & UnifiedType)[]
const UPDATED = ['order', 'customer', 'opportunity'] as const satisfies readonly (keyof UpdateInputs &
  UnifiedType)[]

const recordShape = {
  read,
  list: list.optional(),
  changes: changes.optional(),
  create: create.optional(),
  find: find.optional().describe('By the reference of a create whose answer was lost'),
  update: update.optional(),
  actions: z.record(name, action).default({}).describe('For example `cancel`'),
}

const record = (type: keyof typeof RECORD_FIELDS) =>
  z
    .strictObject({
      ...recordShape,
      lookups: z.partialRecord(z.enum(LOOKUPS), lookup).default({}),
      map: z
        .partialRecord(
          z.enum(RECORD_FIELDS[type] as readonly [string, ...string[]]),
          expression('On a record as the system gives it'),
        )
        .describe('Our fields'),
      customFields: z
        .record(name, expression('On a record as the system gives it'))
        .default({})
        .describe('What the company has added to its system, under names of its own'),
    })
    .superRefine((it, context) => {
      for (const field of requiredFields(type)) {
        if (!it.map[field]) context.addIssue({ code: 'custom', path: ['map', field], message: 'is missing' })
      }
      const issue = (path: string, message: string) =>
        context.addIssue({ code: 'custom', path: [path], message })
      if (it.create && !CREATED.some((one) => one === type)) issue('create', `is not possible for ${type}`)
      if (it.update && !UPDATED.some((one) => one === type)) issue('update', `is not possible for ${type}`)
      checkCreate(it, context)
      checkChanges(it.changes, context)
      checkLookups(it.lookups, context)
    })

/** What the log says of its own must not be told of other things. */
const TAKEN = new Set([
  ...RECORD_TYPES.map((type) => type.toLowerCase()),
  'writeback',
  'system',
  'webhook',
  'flow',
])

export const eventNameOf = (type: string): string => type.toLowerCase().replaceAll(/[^a-z]/g, '')

const ownType = z
  .strictObject({
    ...recordShape,
    create: create.omit({ takes: true }).optional(),
    update: update.omit({ takes: true }).optional(),
    actions: z.record(name, ownAction).default({}).describe('For example `approve`'),
    event: z
      .string()
      .regex(/^[a-z]+$/, 'is one word of small letters')
      .refine((word) => !TAKEN.has(word), 'is the name of other events')
      .optional()
      .describe(
        'What its events begin with, `purchaseorder.updated`; default: the name of the type in small letters',
      ),
    list: list
      .omit({ filters: true })
      .extend({ filters: z.array(name).default([]).describe('Arguments that the request sees') })
      .optional(),
    lookups: z.record(name, lookup).default({}).describe('Ways to find records by another key'),
    map: z
      .record(name, expression('On a record as the system gives it'))
      .refine((map) => 'key' in map, { path: ['key'], error: 'is missing' })
      .describe(
        'Fields of the type. `key` is the key of the record; `version`, `createdAt` and `updatedAt` mean what they say',
      ),
  })
  .superRefine((it, context) => {
    checkCreate(it, context)
    checkChanges(it.changes, context)
    checkLookups(it.lookups, context)
  })
export type OwnTypeConfig = z.infer<typeof ownType>

function checkCreate(
  it: { readonly create?: unknown; readonly find?: unknown },
  context: z.RefinementCtx,
): void {
  if (it.create === undefined || it.find !== undefined) return
  const message = 'is needed beside "create": a lost answer is looked up by it'
  context.addIssue({ code: 'custom', path: ['find'], message })
}

function checkLookups(
  lookups: Readonly<Record<string, LookupConfig | undefined>>,
  context: z.RefinementCtx,
): void {
  for (const [by, one] of Object.entries(lookups)) {
    if (one && one.batchLimit > 1 && one.key === undefined)
      context.addIssue({
        code: 'custom',
        path: ['lookups', by, 'key'],
        message: 'is missing: several keys are sent',
      })
  }
}

function checkChanges(given: ChangesConfig | undefined, context: z.RefinementCtx): void {
  if (given?.follow.by !== 'time' || given.follow.changedAt !== undefined) return
  if (given.paging.style !== 'page' && given.paging.style !== 'offset') return
  const message = 'is missing: numbered pages shift while records change'
  context.addIssue({ code: 'custom', path: ['changes', 'follow', 'changedAt'], message })
}

/* ---- own graph ---- */

const entityName = z.enum([
  'Customer',
  'Product',
  'Order',
  'Invoice',
  'Delivery',
  'Opportunity',
  'Payment',
  'Shipment',
])

const fieldSource = z.discriminatedUnion('get', [
  z.strictObject({
    get: z.literal('record').describe('Records of an own type by key'),
    type: ownName,
    key: expression('On the arguments, or on the record that has the field: the key, or a list of them'),
  }),
  z.strictObject({
    get: z.literal('lookup').describe('Records of an own type by another key'),
    type: ownName,
    by: name.describe('Which of its lookups'),
    key: expression('On the arguments, or on the record that has the field').optional(),
    system: z
      .string()
      .optional()
      .describe('For fields of Customer, Product and the like: whose keys this system uses'),
  }),
  z.strictObject({
    get: z.literal('list').describe('Records of an own type, page by page'),
    type: ownName,
  }),
  z.strictObject({
    get: z.literal('entity').describe('Records that another part of the graph owns'),
    entity: entityName,
    system: z.string().optional().describe('Whose keys these are; default: of this system'),
    key: expression('On the record that has the field: the key there, or a list of them'),
  }),
])
export type FieldSourceConfig = z.infer<typeof fieldSource>

const mutation = z.strictObject({
  type: ownName,
  action: name.describe('`create`, `update`, or one of the actions of the type'),
  ids: z
    .record(
      z.string().regex(/^\w+(\.\w+)*$/, 'is a path in the input, such as lines.productId'),
      z.strictObject({
        entity: entityName,
        system: z.string().optional().describe('Whose keys the request needs; default: of this system'),
      }),
    )
    .default({})
    .describe('Ids in the input, by path: the request sees the key that the record has in a system instead'),
})

const subscription = z.strictObject({
  type: ownName,
  filters: z
    .array(name)
    .default([])
    .describe('Arguments that narrow it, each by the mapped field of the same name'),
})

const graph = z.strictObject({
  sdl: z
    .string()
    .min(1)
    .describe(
      'Types of this system, and fields that it adds to others; scalars and shared types of schema/common.graphql are there',
    ),
  types: z.record(ownName, ownType).describe('Own types, as the SDL names them'),
  fields: z
    .record(z.string().regex(/^[_A-Za-z]\w*\.[_A-Za-z]\w*$/, 'is Type.field'), fieldSource)
    .default({})
    .describe('Fields that are not simply fields of the record'),
  mutations: z.record(name, mutation).default({}).describe('Fields of Mutation'),
  subscriptions: z.record(name, subscription).default({}).describe('Fields of Subscription'),
})

/* ---- the system ---- */

/** Where many put a token instead of a header. */
const carriers = {
  parameter: z.string().min(1).optional().describe('Carries it in the address instead, under this name'),
  field: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Carries it in bodies instead, as this field of a form or JSON object; with `parameter`: where there is one',
    ),
}

const login = z.strictObject({
  type: z.literal('login').describe('A login gives a token for the requests that follow'),
  username: z.string().min(1).describe('The technical user'),
  password: secret('Its password'),
  request: request.describe('Sees `username` and `password`'),
  token: expression('On the answer: the token').optional(),
  expiresIn: expression(
    'On the answer: seconds until the token ends; default: until it is refused',
  ).optional(),
  header: headerName.default('Authorization').describe('Carries the token'),
  value: template('Value of that header; sees `token`').default('Bearer {token}'),
  ...carriers,
  cookies: z.boolean().default(false).describe('The session is in cookies that the login sets'),
  logout: request.optional().describe('Ends the session; sees `token`'),
})

const auth = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none').describe('It asks nobody who they are') }),
  z.strictObject({
    type: z.literal('bearer').describe('`Authorization: Bearer TOKEN`'),
    token: secret('The token, without the word Bearer'),
  }),
  z.strictObject({
    type: z.literal('basic').describe('HTTP Basic'),
    username: z.string().min(1).describe('The technical user'),
    password: secret('Its password'),
  }),
  z.strictObject({
    type: z.literal('apiKey').describe('A key in a header of its own'),
    header: headerName.default('X-API-Key').describe('The header that carries the key'),
    key: secret('The key'),
    ...carriers,
  }),
  z.strictObject({
    type: z.literal('clientCredentials').describe('OAuth 2.0 client credentials, RFC 6749 section 4.4'),
    tokenUrl: address.describe('The token endpoint'),
    clientId: z.string().min(1).describe('Who we are'),
    clientSecret: secret('The secret'),
    scope: z.string().optional().describe('Scopes, separated by spaces'),
    parameters: z
      .record(z.string(), z.string())
      .default({})
      .describe('Others that the endpoint wants, such as `audience`'),
    sendAs: z.enum(['basic', 'body']).default('basic').describe('Where id and secret stand'),
  }),
  login,
  z.strictObject({
    type: z.literal('signature').describe('An API key and a SHA-256 over timestamp, key, body and secret'),
    apiKey: z.string().min(1).describe('The key'),
    secret: secret('The shared secret'),
    keyHeader: headerName.default('Authorization').describe('Carries the key'),
    keyPrefix: z.string().default('ApiKey ').describe('Stands before the key'),
    timestampHeader: headerName.default('X-Timestamp').describe('Carries milliseconds since 1970'),
    signatureHeader: headerName.default('X-Signature').describe('Carries the signature, hexadecimal'),
  }),
])
export type AuthConfig = z.infer<typeof auth>
export type LoginConfig = z.infer<typeof login>

const errors = z.strictObject({
  when: expression(
    'On every answer that can be read: whether it is a refusal, whatever its HTTP status',
  ).optional(),
  code: expression('On a refusal: the code').optional(),
  message: expression('On a refusal: what it says').optional(),
  line: expression('On a refusal, of JSON-RPC on its `data`: the line').optional(),
  field: expression('On a refusal, of JSON-RPC on its `data`: the field').optional(),
  details: expression('On a refusal: an object with more').optional(),
  kinds: z
    .strictObject({
      unauthorized: texts.default([]).describe('Credentials refused, or the session has ended'),
      notFound: texts.default([]).describe('No such record'),
      conflict: texts.default([]).describe('Changed by somebody else in between'),
      rateLimited: texts.default([]).describe('Too many requests; nothing was done'),
      overloaded: texts.default([]).describe('Not now; nothing was done'),
      awaitingApproval: texts.default([]).describe('Taken, but a person there must agree'),
    })
    .prefault({})
    .describe('What codes mean for the asker; others are refusals for good'),
})

const records = z
  .strictObject(
    Object.fromEntries(
      Object.keys(RECORD_FIELDS).map((type) => [type, record(type as keyof typeof RECORD_FIELDS).optional()]),
    ) as {
      [T in keyof typeof RECORD_FIELDS]: z.ZodOptional<ReturnType<typeof record>>
    },
  )
  .default({})
export type RecordConfig = z.infer<ReturnType<typeof record>>

export const httpConfig = z
  .strictObject({
    baseUrl: address.describe('Address of the system; paths are appended to it'),
    auth: auth.describe('How the gateway makes itself known'),
    headers: z
      .record(headerName, z.string())
      .default({})
      .describe('Sent with every request, for example a tenant'),
    format: format
      .default('json')
      .describe('Form of bodies; answers are XML for xml and JSON for the others'),
    verifyCertificate: z
      .boolean()
      .default(true)
      .describe('Refuse certificates that no known authority signed'),
    maxConnections: z.int().min(1).max(256).default(8).describe('Requests under way at once'),
    maxAnswerBytes: z
      .int()
      .min(1024)
      .default(16_777_216)
      .describe('A longer answer is refused while it arrives'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is no offset such as +08:00 and no time zone such as Asia/Shanghai')
      .default('UTC')
      .describe('Of times that come without an offset'),
    codes: z
      .record(z.string(), z.record(z.string(), z.string()))
      .default({})
      .describe('Code tables for `$code` and `$vendorCode`: what the system writes, what it means'),
    errors: errors.prefault({}).describe('How the system says no'),
    health: z
      .strictObject({ request, detail: expression('On the answer: what to tell an operator').optional() })
      .optional()
      .describe('A cheap request; default: the first list'),
    webhook: z
      .strictObject({
        signature: webhook.describe('How the system signs what it tells us'),
        format: z.enum(['json', 'xml', 'form']).default('json').describe('Form of its bodies'),
        events: expression(
          'On the body: what happened, `{ id, type, key, change, time }` or a list of them; `type` is a record type, `change` one of created, updated, deleted',
        ),
      })
      .optional()
      .describe('It tells of changes at /webhooks/SYSTEM'),
    records: records.describe('Record types that the gateway knows'),
    graph: graph.optional().describe('Record types that only this system has'),
  })
  .superRefine((it, context) => {
    if (Object.keys(it.records).length === 0 && !it.graph)
      context.addIssue({
        code: 'custom',
        path: ['records'],
        message: 'is missing: say what the system holds',
      })
    if (it.auth.type === 'login' && !it.auth.token && !it.auth.cookies)
      context.addIssue({ code: 'custom', path: ['auth', 'token'], message: 'is missing, or "cookies"' })
    if (it.graph) checkGraph(it.graph, it.webhook !== undefined, context)
  })

/** Whether what is said of fields, mutations and subscriptions is there. */
function checkGraph(it: z.infer<typeof graph>, hasWebhook: boolean, context: z.RefinementCtx): void {
  const issueAt =
    (...place: readonly string[]) =>
    (step: string, message: string) =>
      context.addIssue({ code: 'custom', path: ['graph', ...place, step], message })
  const typeOf = (name: string): OwnTypeConfig | undefined => it.types[name as OwnType]

  for (const [field, source] of Object.entries(it.fields)) {
    const issue = issueAt('fields', field)
    if (source.get === 'entity') continue
    const type = typeOf(source.type)
    if (!type) issue('type', `names no type: "${source.type}"`)
    else if (source.get === 'list' && !type.list) issue('get', `needs "list" of ${source.type}`)
    else if (source.get === 'lookup' && !type.lookups[source.by])
      issue('by', `names no lookup of ${source.type}: "${source.by}"`)
    if (source.get === 'lookup' && (source.key === undefined) === (source.system === undefined))
      issue('key', 'needs either "key" or "system"')
  }
  for (const [field, { type: name, action }] of Object.entries(it.mutations)) {
    const issue = issueAt('mutations', field)
    const type = typeOf(name)
    if (!type) issue('type', `names no type: "${name}"`)
    else if (!(action === 'create' || action === 'update' ? type[action] : type.actions[action])) {
      const has = [type.create && 'create', type.update && 'update', ...Object.keys(type.actions)]
      const known = has.filter((one) => one !== undefined).join(', ') || 'none'
      issue('action', `is nothing that ${name} says how to do: "${action}"; it has: ${known}`)
    }
  }
  for (const [field, { type: name, filters }] of Object.entries(it.subscriptions)) {
    const issue = issueAt('subscriptions', field)
    const type = typeOf(name)
    if (!type) issue('type', `names no type: "${name}"`)
    else if (!type.changes && !hasWebhook)
      issue('type', `needs "changes" of ${name}, or "webhook" of the system: nothing tells what changed`)
    for (const filter of filters)
      if (type && !(filter in type.map)) issue('filters', `names no mapped field of ${name}: "${filter}"`)
  }
  const events = new Map<string, string>()
  for (const [name, { event = eventNameOf(name) }] of Object.entries(it.types)) {
    const other = events.get(event)
    const message = TAKEN.has(event)
      ? 'is needed: events of this name are others'
      : `is the same as that of ${other}`
    if (other !== undefined || TAKEN.has(event)) issueAt('types', name)('event', message)
    events.set(event, name)
  }
}

export type HttpConfig = z.infer<typeof httpConfig>
