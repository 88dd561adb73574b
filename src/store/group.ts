/** Works that wait for the disk together share one commit: durable, at many times the rate. */
import { setImmediate } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from './store.ts'

/** More waiting works than this share a commit with those after them. */
const GROUP = 64

export interface GroupCommit {
  /** Runs `work` alone and answers after its changes are durable; an error undoes them, and nobody else's. */
  transact<T>(work: (tx: Database) => Promise<T>): Promise<T>
  /** Answers when nothing waits any more; from here on everything is refused. */
  close(): Promise<void>
}

export interface GroupOptions {
  readonly writer: Database
  /** Opens a transaction in which nobody else writes. */
  begin(connection: Database): Promise<void>
  /** In the transaction, when all works are done. */
  beforeCommit?(connection: Database): Promise<void>
  /** What the database leaves to its host: nobody is answered before. An error is told to everybody who wrote. */
  afterCommit?(): Promise<void>
  /** When the group is over, whatever became of it. */
  end?(): void
}

interface Waiting {
  readonly work: (tx: Database) => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

export function createGroupCommit(options: GroupOptions): GroupCommit {
  const waiting: Waiting[] = []
  let committing: Promise<void> | null = null
  let closed = false

  const commitAll = async () => {
    while (waiting.length > 0) {
      // An embedded database answers at once: without a pause no timer and no socket would have its turn. Those who
      // come in the pause share the commit.
      await setImmediate()
      const group = waiting.splice(0, GROUP)
      // One connection from begin to commit: a lost one must not be replaced half way.
      await options.writer
        .connection()
        .execute((connection) => commitGroup(connection, group, options))
        .catch((error: unknown) => {
          for (const { reject } of group) reject(error)
        })
    }
    committing = null
  }

  return {
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
    },
  }
}

/** One sync to disk for everybody who waits; one that fails undoes only itself. */
async function commitGroup(
  connection: Database,
  group: readonly Waiting[],
  options: GroupOptions,
): Promise<void> {
  const settled: (() => void)[] = []
  try {
    await options.begin(connection)
    for (const { work, resolve, reject } of group) {
      await sql`savepoint work`.execute(connection)
      try {
        const value = await work(connection)
        await sql`release savepoint work`.execute(connection)
        settled.push(() => resolve(value))
      } catch (error) {
        await sql`rollback to savepoint work`.execute(connection)
        await sql`release savepoint work`.execute(connection)
        settled.push(() => reject(error))
      }
    }
    await options.beforeCommit?.(connection)
    await sql`commit`.execute(connection)
    await options.afterCommit?.()
  } catch (error) {
    await sql`rollback`.execute(connection).catch(() => {})
    for (const { reject } of group) reject(error)
    return
  } finally {
    options.end?.()
  }
  for (const settle of settled) settle()
}
