/**
 * The embedded store: SQLite of Node itself with a write-ahead log. One connection writes, one reads, so that a reader
 * never sees half a transaction.
 *
 * SQLite waits for the disk in the thread that calls it, and that thread has requests to answer. So it is told to leave
 * the log unsynced (`synchronous=NORMAL`), the log is synced from here, in the background, and a transaction is over
 * when that is done. Readers stay at the state before until then: what a power cut could take back has not been seen by
 * anybody. What is left of waiting, carrying the log into the database, a thread of its own does (`checkpoints.ts`).
 *
 * @see https://www.sqlite.org/wal.html
 */
import { mkdirSync } from 'node:fs'
import { type FileHandle, open as openFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { createCheckpoints } from './checkpoints.ts'
import { createGroupCommit } from './group.ts'
import { migrationsFor } from './migrations.ts'
import type { Database, Store } from './store.ts'
import type { Tables } from './tables.ts'

/** @param sync Answers when all that was written to the log is on the disk. */
export async function openSqliteStore(file: string, sync: LogSync = syncOf(`${file}-wal`)): Promise<Store> {
  mkdirSync(dirname(file), { recursive: true })
  const writing = connect(file, false)
  const writer = queriesOf(writing)
  const migrator = new Migrator({
    db: writer,
    provider: { getMigrations: async () => migrationsFor('sqlite') },
  })
  const { error } = await migrator.migrateToLatest()
  if (error) throw error
  await sync.sync()
  const reading = connect(file, true)
  const reader = queriesOf(reading)
  const checkpoints = createCheckpoints(file)
  let lost: unknown

  const group = createGroupCommit({
    writer,
    async begin(connection) {
      if (lost)
        throw new Error('the disk did not keep what was written: restart the gateway', { cause: lost })
      await checkpoints.beforeNext()
      // A snapshot begins with its first read.
      reading.exec('begin; select 1 from sqlite_schema limit 1')
      await sql`begin immediate`.execute(connection)
    },
    async afterCommit() {
      try {
        await sync.sync()
      } catch (error) {
        // Nobody knows what of it is on the disk, and asking again does not tell.
        lost = error
        throw error
      }
    },
    end() {
      if (reading.isTransaction) reading.exec('commit')
      checkpoints.written()
    },
  })

  return {
    read: reader,
    transact: group.transact,
    // One process owns the file; another one that looks into it finds out by looking again.
    onChangeElsewhere: () => () => {},
    async close() {
      await group.close()
      await checkpoints.close()
      await sync.close()
      await Promise.all([writer.destroy(), reader.destroy()])
    },
  }
}

export interface LogSync {
  sync(): Promise<void>
  close(): Promise<void>
}

/** SQLite makes the log when it first needs it, and keeps the same file while it is open. */
function syncOf(log: string): LogSync {
  let handle: FileHandle | undefined
  return {
    async sync() {
      handle ??= await openFile(log, 'r+')
      await handle.datasync()
    },
    async close() {
      await handle?.close()
    },
  }
}

function connect(file: string, readOnly: boolean): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly, timeout: 10_000 })
  if (!readOnly) {
    database.exec(
      'pragma journal_mode = wal; pragma synchronous = normal; pragma wal_autocheckpoint = 0; pragma foreign_keys = on',
    )
  }
  return database
}

const queriesOf = (database: DatabaseSync): Database =>
  new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database) }) })

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
