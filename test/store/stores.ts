/** The stores that a suite runs over. PostgreSQL needs a server: its address comes from the environment. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { silentLog } from '../../src/observe/log.ts'
import { openPostgresStore } from '../../src/store/postgres.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { SERVER, workerDatabase } from './databases.ts'

/** Where this worker's tests may make schemas; undefined without a server. */
export const POSTGRES = SERVER === undefined ? undefined : workerDatabase(SERVER, process.env.VITEST_POOL_ID)

export const SKIPPED =
  'skipped: needs PostgreSQL; set TRIBUTARY_TEST_POSTGRES=postgres://user:password@host:port/database'

/** Something that keeps data until it is disposed of, and can be opened several times. */
export interface Place extends AsyncDisposable {
  readonly kind: 'sqlite' | 'postgres'
  open(): Promise<Store>
  /** For a configuration file. */
  readonly config: { readonly dataDir: string; readonly store?: { postgres: string; schema: string } }
}

export function sqlitePlace(): Place {
  const dataDir = mkdtempSync(join(tmpdir(), 'tributary-store-'))
  return {
    kind: 'sqlite',
    open: () => openSqliteStore(join(dataDir, 'tributary.sqlite')),
    config: { dataDir },
    async [Symbol.asyncDispose]() {
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

let count = 0

/** A schema of its own. @param url Default: that of the environment. */
export function postgresPlace(url = POSTGRES): Place {
  if (url === undefined) throw new Error(SKIPPED)
  const schema = `test_${process.pid}_${Date.now() % 1_000_000}_${count++}`
  const dataDir = mkdtempSync(join(tmpdir(), 'tributary-store-'))
  return {
    kind: 'postgres',
    open: () => openPostgresStore({ url, schema, connections: 4, logger: silentLog }),
    config: { dataDir, store: { postgres: url, schema } },
    async [Symbol.asyncDispose]() {
      rmSync(dataDir, { recursive: true, force: true })
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      await client.query(`drop schema if exists ${schema} cascade`)
      await client.end()
    },
  }
}

export const places: readonly { name: string; make: () => Place; available: boolean }[] = [
  { name: 'SQLite', make: sqlitePlace, available: true },
  {
    name: POSTGRES === undefined ? `PostgreSQL (${SKIPPED})` : 'PostgreSQL',
    make: postgresPlace,
    available: POSTGRES !== undefined,
  },
]
