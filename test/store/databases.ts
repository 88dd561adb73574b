/**
 * One PostgreSQL database for each test worker, made before the tests and dropped after them. Schemas alone do not keep
 * workers apart: who lists a database's tables while another drops a schema of it is refused by the server.
 */
import pg from 'pg'
import type { TestProject } from 'vitest/node'

/** For example `postgres://postgres@127.0.0.1:5432/postgres`; the user must be allowed to make databases. */
export const SERVER = process.env.TRIBUTARY_TEST_POSTGRES

const name = (worker: string) => `tributary_test_${worker}`

/** @param worker Its number, from 1; undefined outside of vitest, where the database named by the address serves. */
export function workerDatabase(server: string, worker: string | undefined): string {
  if (worker === undefined) return server
  const url = new URL(server)
  url.pathname = name(worker)
  return url.href
}

/** vitest's global setup. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (SERVER === undefined) return undefined
  const workers = Array.from({ length: project.config.maxWorkers }, (_, index) => name(String(index + 1)))
  const drop = workers.map((database) => `drop database if exists ${database} with (force)`)
  await run(SERVER, [...drop, ...workers.map((database) => `create database ${database}`)])
  return () => run(SERVER as string, drop)
}

async function run(url: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  for (const statement of statements) await client.query(statement)
  await client.end()
}
