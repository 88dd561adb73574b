/**
 * The embedded store: SQLite of Node itself, write-ahead log, synced at every commit. One connection writes, one
 * reads, so that a reader never sees half a transaction.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { createGroupCommit } from './group.ts'
import { migrationsFor } from './migrations.ts'
import type { Database, Store } from './store.ts'
import type { Tables } from './tables.ts'

export async function openSqliteStore(file: string): Promise<Store> {
  mkdirSync(dirname(file), { recursive: true })
  const writer = open(file, false)
  const migrator = new Migrator({
    db: writer,
    provider: { getMigrations: async () => migrationsFor('sqlite') },
  })
  const { error } = await migrator.migrateToLatest()
  if (error) throw error
  const reader = open(file, true)

  const group = createGroupCommit({
    writer,
    async begin(connection) {
      await sql`begin immediate`.execute(connection)
    },
  })

  return {
    read: reader,
    transact: group.transact,
    // One process owns the file; another one that looks into it finds out by looking again.
    onChangeElsewhere: () => () => {},
    async close() {
      await group.close()
      await Promise.all([writer.destroy(), reader.destroy()])
    },
  }
}

function open(file: string, readOnly: boolean): Database {
  const database = new DatabaseSync(file, { readOnly, timeout: 10_000 })
  if (!readOnly)
    database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database) }) })
}

/** Compiling a statement costs more than running it; the same few hundred come again and again. */
const KEPT_STATEMENTS = 500

/** `node:sqlite` in the shape Kysely knows; it spreads parameters and tells readers by their columns. */
function adapt(database: DatabaseSync): SqliteDatabase {
  const spread = (parameters: readonly unknown[]) => parameters as SQLInputValue[]
  const kept = new Map<string, SqliteStatement>()
  const prepare = (text: string): SqliteStatement => {
    const statement = database.prepare(text)
    return {
      reader: statement.columns().length > 0,
      all: (parameters) => statement.all(...spread(parameters)),
      run: (parameters) => statement.run(...spread(parameters)),
      iterate: (parameters) => statement.iterate(...spread(parameters)),
    }
  }
  return {
    close: () => database.close(),
    prepare(text) {
      // The one used longest ago goes first.
      const statement = kept.get(text) ?? prepare(text)
      kept.delete(text)
      kept.set(text, statement)
      const [oldest] = kept.keys()
      if (kept.size > KEPT_STATEMENTS && oldest !== undefined) kept.delete(oldest)
      return statement
    },
  }
}
