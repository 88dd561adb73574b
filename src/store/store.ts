/** The port of the durable state: what every room that remembers something is given. */
import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { isDeadHere } from './owner.ts'
import type { Tables } from './tables.ts'

export type Database = Kysely<Tables>

/** The store cannot be opened; the message is for the operator. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
}

export interface Store {
  /** Committed state only. */
  readonly read: Database
  /**
   * Runs `work` alone on the writing side and answers after its changes are durable; an error undoes them. `work`
   * must touch nothing but the database it is given: it shares a commit with others.
   */
  transact<T>(work: (tx: Database) => Promise<T>): Promise<T>
  /**
   * Calls `listener` when another process of this store has made something durable, where the store can tell; what
   * it does not tell must be found by looking again.
   * @returns Ends it.
   */
  onChangeElsewhere(listener: () => void): () => void
  close(): Promise<void>
}

/** A value that every process of this store shares, made at the first call. */
export async function sharedValue(store: Store, name: string, make: () => string): Promise<string> {
  const known = await store.read
    .selectFrom('meta')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirst()
  if (known) return known.value
  return store.transact(async (tx) => {
    await tx
      .insertInto('meta')
      .values({ name, value: make() })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    const row = await tx.selectFrom('meta').select('value').where('name', '=', name).executeTakeFirstOrThrow()
    return row.value
  })
}

export const makeSecret = (): string => randomBytes(32).toString('base64url')

/**
 * Takes or renews the right to do something that one process at a time may do.
 * @returns Whether `owner` has it for the next `forMs` milliseconds.
 */
export async function takeLease(store: Store, name: string, owner: string, forMs: number): Promise<boolean> {
  const now = Date.now()
  return store.transact(async (tx) => {
    const held = await tx.selectFrom('lease').selectAll().where('name', '=', name).executeTakeFirst()
    const isHeld = held && held.owner !== owner && Number(held.until) > now
    if (isHeld && !isDeadHere(held.owner)) return false
    await tx
      .insertInto('lease')
      .values({ name, owner, until: now + forMs })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ owner, until: now + forMs }))
      .execute()
    return true
  })
}

export async function releaseLeases(store: Store, owner: string): Promise<void> {
  await store.transact((tx) => tx.deleteFrom('lease').where('owner', '=', owner).execute())
}
