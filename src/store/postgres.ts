/**
 * The store of many machines: PostgreSQL. One transaction writes at a time over all processes, as with SQLite, so
 * that positions of the log become visible in order and "look, then write" needs no further locks; works that wait
 * together share its commit.
 */
import { createHash } from 'node:crypto'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import type { Log } from '../observe/log.ts'
import { createGroupCommit } from './group.ts'
import { migrationsFor } from './migrations.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string
  /** Made where it is not there. */
  readonly schema: string
  /** For reading; one more writes, and one more listens. */
  readonly connections: number
  readonly logger: Log
}

/**
 * A process that is frozen between two statements holds up everybody who writes: the server ends its transaction
 * after so long. Far longer than any transaction of ours, and shorter than the lease of a process.
 */
const FROZEN_MS = 5_000
const CONNECT_MS = 10_000
const LISTEN_AGAIN_MS = 1_000

/** `bigint` columns hold milliseconds and positions: all of them exact as a number. */
const INT8 = 20
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const { schema, logger } = options
  const connection = {
    connectionString: options.url,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    types,
    options: `-c search_path=${schema} -c application_name=tributary`,
  }
  const pool = (max: number, extra = ''): pg.Pool => {
    const made = new pg.Pool({ ...connection, options: connection.options + extra, max })
    // What is lost while nobody uses it is opened anew by the next who does.
    made.on('error', (error) => logger.warn({ err: error }, 'a connection to the store was lost'))
    made.on('connect', (client) => client.on('error', () => {}))
    return made
  }
  const kysely = (of: pg.Pool) => new Kysely<Tables>({ dialect: new PostgresDialect({ pool: of }) })
  const writer = kysely(pool(1, ` -c idle_in_transaction_session_timeout=${FROZEN_MS}`))
  const reader = kysely(pool(options.connections, ' -c default_transaction_read_only=on'))
  const migrator = new Migrator({
    db: writer,
    provider: { getMigrations: async () => migrationsFor('postgres') },
    migrationTableSchema: schema,
  })
  const { error } = await migrator.migrateToLatest()
  if (error) {
    await Promise.all([writer.destroy(), reader.destroy()])
    throw error
  }

  const channel = `tributary_${schema}`
  // One number for all processes of this schema; 48 bits stay exact.
  const lock = createHash('sha256').update(channel).digest().readUIntBE(0, 6)
  // Told to everybody, with the name of who wrote: a process need not be woken by itself.
  const own = createHash('sha256').update(`${process.pid}/${Math.random()}`).digest('hex').slice(0, 16)
  const group = createGroupCommit({
    writer,
    async begin(db) {
      await sql.raw(`begin; select pg_advisory_xact_lock(${lock})`).execute(db)
    },
    async beforeCommit(db) {
      await sql.raw(`select pg_notify('${channel}', '${own}')`).execute(db)
    },
  })
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }
  const ears = await listen({ ...connection, channel, own, tell, logger })

  return {
    read: reader,
    transact: group.transact,
    onChangeElsewhere(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      await group.close()
      await ears.close()
      await Promise.all([writer.destroy(), reader.destroy()])
    },
  }
}

interface ListenOptions extends pg.ClientConfig {
  readonly channel: string
  readonly own: string
  readonly tell: () => void
  readonly logger: Log
}

/** Listens until `close`; after a lost connection everybody is woken once, since something may have been missed. */
async function listen({ channel, own, tell, logger, ...config }: ListenOptions) {
  let client: pg.Client | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false

  const connect = async (): Promise<void> => {
    const made = new pg.Client(config)
    made.on('error', () => {})
    made.on('end', () => {
      if (closed || client !== made) return
      logger.warn('the store cannot tell of changes for now')
      again()
    })
    made.on('notification', ({ payload }) => {
      if (payload !== own) tell()
    })
    await made.connect()
    client = made
    await made.query(`listen ${pg.escapeIdentifier(channel)}`)
    tell()
  }
  const again = () => {
    if (closed) return
    timer = setTimeout(() => connect().catch(again), LISTEN_AGAIN_MS)
    timer.unref()
  }
  await connect()

  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await client?.end().catch(() => {})
    },
  }
}
