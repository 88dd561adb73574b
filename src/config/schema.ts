/** The configuration file: one schema gives the parser, the types and the defaults. A system's kind adds its own part. */
import { z } from 'zod'
import { callsSchema } from '../calls/config.ts'
import { isNetwork } from '../events/addresses.ts'
import { brokerSchema, feedSchema, sinkSchema } from '../events/brokers/config.ts'
import { notifySchema } from '../events/webhooks.ts'
import { flowsSchema } from '../flows/config.ts'
import { WEEKDAYS } from '../reading/maintenance.ts'
import { RECORD_TYPES } from '../systems/records.ts'
import { duration } from './duration.ts'

const writeMode = z.enum(['off', 'dryRun', 'on'])

const limits = z
  .strictObject({
    concurrency: z
      .int()
      .min(1)
      .default(8)
      .describe('Calls under way at once; not more than the sessions that are licensed'),
    queue: z.int().min(0).default(200).describe('Calls that may wait for their turn; more are refused'),
    wait: duration.prefault('5s').describe('A call that would wait longer for its turn is refused'),
    timeout: duration
      .prefault('15s')
      .describe('For one call as readers see it: sessions and pages of the system included'),
    perSecond: z.int().min(1).optional().describe('Calls in any second; default: no limit'),
    perDay: z
      .int()
      .min(1)
      .optional()
      .describe('Reads in a day (UTC), of all processes that share the store; default: no limit'),
  })
  .prefault({})
  .describe('How much the system bears')

const breaker = z
  .strictObject({
    failures: z.int().min(1).default(5).describe('After so many failed calls in a row it is taken for down'),
    probeEvery: duration.prefault('5s').describe('How often it is looked for while it is down'),
  })
  .prefault({})
  .describe('When to stop asking a system that does not answer')

const retry = z
  .strictObject({
    attempts: z.int().min(0).max(5).default(2).describe('Further tries of a read that failed; 0: none'),
    delay: duration.prefault('100ms').describe('Before the first of them, on average'),
    maxDelay: duration.prefault('2s').describe('Before any of them'),
  })
  .prefault({})
  .describe('Reads only: a write is never sent again in hope')

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'is a time of day such as 02:00')

const maintenanceWindow = z.strictObject({
  from: timeOfDay.describe('When it begins'),
  to: timeOfDay.describe('When it ends; on the next day where this is not after from'),
  days: z.array(z.enum(WEEKDAYS)).min(1).optional().describe('Days on which it begins; default: every day'),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is no IANA time zone such as Asia/Shanghai')
    .default('UTC')
    .describe('Whose clock this is'),
})

/** Defaults differ by record type: see src/reading/settings.ts. */
const freshness = z.strictObject({
  ttl: duration.optional().describe('So long a record is served without asking, unless an event demotes it'),
  revalidate: duration.optional().describe('After that, so long it is served while it is read anew'),
  lists: duration.optional().describe('The same as ttl for lists and lookups'),
  absent: duration.optional().describe('So long it is believed that a record is not there'),
  lastKnown: duration
    .optional()
    .describe('So long an old value is better than none while the system is down'),
})

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

export const systemSchema = z.strictObject({
  kind: z.string().describe('What sort of system it is; see the README of each kind'),
  environment: z
    .enum(['production', 'test'])
    .describe('All systems of one gateway must agree: a test ERP must never meet a production ledger'),
  writes: z
    .union([
      writeMode,
      z.record(z.string().regex(/^\w+\.\w+$/, 'is RECORD.ACTION, for example order.create'), writeMode),
    ])
    .default('off')
    .describe('off, dryRun or on; for all actions, or per action such as order.create (others are off)'),
  timeout: duration.prefault('10s').describe('For one exchange with the system'),
  pollEvery: duration.prefault('30s').describe('How often to ask for changes; 0s: never'),
  commitDelay: duration
    .prefault('30s')
    .describe('After so long a write whose answer was lost, and that is not to be found, was not made'),
  writing: z
    .strictObject({
      concurrency: z
        .int()
        .min(1)
        .default(4)
        .describe('Writes under way at once, of each gateway; those to one record are never at once'),
      attempts: z
        .int()
        .min(1)
        .max(10)
        .default(3)
        .describe('So often a write is tried while the system is well; then a person is asked'),
      approvalEvery: duration
        .prefault('30s')
        .describe('How often to look at what waits for approval over there; more seldom as it waits longer'),
    })
    .prefault({})
    .describe('How writes are carried out'),
  notify: notifySchema.optional(),
  orderNumbersFrom: z
    .string()
    .optional()
    .describe(
      'The system whose order numbers stand on the invoices of this one; default: the only one with orders',
    ),
  deliveryNumbersFrom: z
    .string()
    .optional()
    .describe(
      'The system whose delivery numbers stand on the shipments of this one; default: the only one with deliveries',
    ),
  limits,
  breaker,
  retry,
  maintenance: z
    .array(maintenanceWindow)
    .default([])
    .describe('When the system is away by announcement: reads give the last known value, nothing alarms'),
  batchWindow: duration.prefault('2ms').describe('How long the first key of a batch waits for others'),
  cache: z
    .partialRecord(
      z.union([z.enum(RECORD_TYPES), z.string().regex(/^[A-Z]\w*$/)], {
        error: 'is no record type and no type of the system’s own',
      }),
      freshness,
    )
    .default({})
    .describe('How long values are served, by record type; also of types of the system’s own'),
})

const shortName = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'is a short name: a-z, 0-9 and "-"')

const matchFields = <const F extends string>(...fields: [F, ...F[]]) => z.array(z.enum(fields))

export const configSchema = z.strictObject({
  host: z.string().default('127.0.0.1').describe('Address to listen on'),
  port: z.int().min(0).max(65_535).default(4000).describe('Port to listen on; --port and PORT override it'),
  dataDir: z.string().min(1).default('.data').describe('Folder of the embedded store'),
  store: z
    .strictObject({
      postgres: z
        .string()
        .regex(/^postgres(ql)?:\/\//, 'is an address such as postgres://user:password@host:5432/database')
        .meta({ secret: true })
        .optional()
        .describe(
          'PostgreSQL 14 or newer, for several gateways together; default: SQLite in dataDir, for one',
        ),
      schema: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,40}$/, 'is a short name: a-z, 0-9 and "_"')
        .default('tributary')
        .describe('Schema of the tables; made where it is not there'),
      lease: duration
        .prefault('12s')
        .describe('A gateway that gave no sign of life for so long has lost what it was carrying'),
      connections: z.int().min(1).max(100).default(8).describe('For reading; two more write and listen'),
    })
    .prefault({})
    .describe('Where writebacks, events and identities are kept'),
  maxBodyBytes: z.int().min(1024).default(1_048_576).describe('A longer request is refused'),
  maxTokens: z.int().min(100).default(10_000).describe('An operation of more tokens is refused'),
  maxDepth: z.int().min(1).default(30).describe('An operation nested deeper is refused'),
  maxRootFields: z
    .int()
    .min(1)
    .default(100)
    .describe(
      'An operation with more fields of the root is refused; those with the same arguments count once',
    ),
  callers: z
    .array(
      z.strictObject({
        apiKey: z.string().min(16, 'is too short: use 16 characters or more').meta({ secret: true }),
        subject: z.string().min(1).describe('Who this is, for journals and vendor fields'),
        tenant: z.string().min(1).default('default'),
        roles: z
          .array(z.enum(['reader', 'writer', 'steward', 'operator']))
          .default(['reader'])
          .describe(
            'reader asks; writer also writes to systems; steward links identities; operator runs the gateway',
          ),
      }),
    )
    .min(1, 'is empty: without callers nobody could ask anything')
    .superRefine((callers, context) => {
      const first = new Map<string, number>()
      for (const [index, { apiKey }] of callers.entries()) {
        const before = first.get(apiKey)
        if (before === undefined) first.set(apiKey, index)
        else {
          const message = `is the key of callers.${before} too: each needs its own, nobody could tell them apart`
          context.addIssue({ code: 'custom', path: [index, 'apiKey'], message })
        }
      }
    })
    .describe('Who may ask, by API key'),
  callerSecret: z
    .string()
    .min(32, 'is too short: use 32 characters or more')
    .meta({ secret: true })
    .optional()
    .describe(
      'Signs who is asking, between gateway and subgraphs on other machines; default: kept in the store',
    ),
  identity: z
    .strictObject({
      customer: z
        .strictObject({ match: matchFields('taxNumber', 'code').default(['taxNumber']) })
        .prefault({})
        .describe('Fields by which customers of different systems are recognised as the same'),
      product: z
        .strictObject({ match: matchFields('barcode', 'sku').default(['barcode']) })
        .prefault({})
        .describe('The same for products'),
      import: z.array(z.string()).default([]).describe('CSV files to link by at every start'),
    })
    .prefault({}),
  reading: z
    .strictObject({
      cacheBytes: z
        .int()
        .min(65_536)
        .default(64 * 1024 * 1024)
        .describe('Bound of all cached values together, in bytes'),
      expectedCalls: z
        .int()
        .min(1)
        .default(20)
        .describe('Outside production: a request that calls one system more often is warned about'),
    })
    .prefault({}),
  events: z
    .strictObject({
      keep: duration.prefault('168h').describe('How long the log keeps an event for those who resume'),
      maxBytes: z
        .int()
        .min(65_536)
        .default(256 * 1024 * 1024)
        .describe('Bound of the log as text, in bytes; the oldest events go first'),
      timeZone: z
        .string()
        .refine(isTimeZone, 'is no IANA time zone such as Asia/Shanghai')
        .default('UTC')
        .describe('Whose calendar says that an invoice is overdue'),
    })
    .prefault({})
    .describe('The log of change events'),
  outbound: z
    .strictObject({
      allow: z
        .array(z.string().refine(isNetwork, 'is no network such as 10.1.0.0/16'))
        .default([])
        .describe('Internal networks that webhooks may be sent to; others of them are refused at connect'),
      timeout: duration.prefault('10s').describe('For one attempt'),
      pauseAfter: duration
        .prefault('24h')
        .describe('An endpoint at which nothing succeeded for so long is paused'),
    })
    .prefault({})
    .describe('Webhooks to others; they are registered through the graph'),
  calls: callsSchema,
  flows: flowsSchema,
  brokers: z.record(shortName, brokerSchema).default({}).describe('Message brokers, by a name of yours'),
  feeds: z
    .record(shortName, feedSchema)
    .default({})
    .describe('Broker topics that tell of changes in systems, by a name of yours'),
  sinks: z
    .record(shortName, sinkSchema)
    .default({})
    .describe('Broker topics that are told of all changes, by a name of yours'),
  subgraphs: z
    .partialRecord(
      z.enum(['crm', 'erp', 'wms', 'finance', 'operations', 'tms']),
      z.strictObject({ url: z.url({ protocol: /^https?$/, error: 'is an http or https address' }) }),
    )
    .default({})
    .describe('Subgraphs that run as processes of their own; the others run inside the gateway'),
  leading: z
    .partialRecord(
      z.enum(RECORD_TYPES),
      z.union([shortName, z.record(z.string(), shortName)], {
        error: 'must be the id of a system, or such ids by company, with "default" for all others',
      }),
    )
    .default({})
    .describe(
      'By record type, or by record type and company: the system that is written to where a mutation names none and several could be, and whose word counts where several hold one customer or product',
    ),
  systems: z
    .record(shortName, z.looseObject({}))
    .refine((systems) => Object.keys(systems).length > 0, 'is empty: configure at least one system'),
})

export type Config = Omit<z.infer<typeof configSchema>, 'systems'> & {
  readonly systems: Readonly<Record<string, SystemConfig>>
  /** Set by the demo only: there is no way to write it in a file. */
  readonly demo: boolean
}
export type SystemConfig = z.infer<typeof systemSchema> & {
  /** What the kind's own schema made of the rest. */
  readonly settings: unknown
}
