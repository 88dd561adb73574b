/**
 * The embedded store: SQLite of Node itself, write-ahead log, synced at every commit. One connection writes, one
 * reads, so that a reader never sees half a transaction.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Kysely, type SqliteDatabase, SqliteDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { migrations } from './migrations.ts'
import type { Database, Store } from './store.ts'
import type { Tables } from './tables.ts'

/** More waiting works than this share a commit with those after them. */
const GROUP = 64

export async function openSqliteStore(file: string): Promise<Store> {
  mkdirSync(dirname(file), { recursive: true })
  const writer = open(file, false)
  const migrator = new Migrator({ db: writer, provider: { getMigrations: async () => ({ ...migrations }) } })
  const { error } = await migrator.migrateToLatest()
  if (error) throw error
  const reader = open(file, true)

  const waiting: Waiting[] = []
  let committing: Promise<void> | null = null
  let closed = false

  const commitAll = async () => {
    while (waiting.length > 0) await commitGroup(writer, waiting.splice(0, GROUP))
    committing = null
  }

  return {
    read: reader,
    transact(work) {
      return new Promise((resolve, reject) => {
        if (closed) {
          reject(new Error('the store is closed'))
          return
        }
        waiting.push({ work, resolve: resolve as (value: unknown) => void, reject })
        committing ??= commitAll()
      })
    },
    async close() {
      closed = true
      await committing
      await Promise.all([writer.destroy(), reader.destroy()])
    },
  }
}

interface Waiting {
  readonly work: (tx: Database) => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** One sync to disk for everybody who waits; one that fails undoes only itself. */
async function commitGroup(writer: Database, group: readonly Waiting[]): Promise<void> {
  const settled: (() => void)[] = []
  try {
    await sql`begin immediate`.execute(writer)
    for (const { work, resolve, reject } of group) {
      await sql`savepoint work`.execute(writer)
      try {
        const value = await work(writer)
        await sql`release work`.execute(writer)
        settled.push(() => resolve(value))
      } catch (error) {
        await sql`rollback to work`.execute(writer)
        await sql`release work`.execute(writer)
        settled.push(() => reject(error))
      }
    }
    await sql`commit`.execute(writer)
  } catch (error) {
    await sql`rollback`.execute(writer).catch(() => {})
    for (const { reject } of group) reject(error)
    return
  }
  for (const settle of settled) settle()
}

function open(file: string, readOnly: boolean): Database {
  const database = new DatabaseSync(file, { readOnly, timeout: 10_000 })
  if (!readOnly)
    database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database) }) })
}

/** `node:sqlite` in the shape Kysely knows; it spreads parameters and tells readers by their columns. */
function adapt(database: DatabaseSync): SqliteDatabase {
  const spread = (parameters: readonly unknown[]) => parameters as SQLInputValue[]
  return {
    close: () => database.close(),
    prepare(text) {
      const statement = database.prepare(text)
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...spread(parameters)),
        run: (parameters) => statement.run(...spread(parameters)),
        iterate: (parameters) => statement.iterate(...spread(parameters)),
      }
    },
  }
}
