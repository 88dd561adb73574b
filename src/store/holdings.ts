/**
 * What processes hold open in systems and would leave behind if they were killed, such as sessions that cost licences.
 * The texts are sealed by the adapters: nothing here can be used by who reads the database alone.
 */
import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { Store } from './store.ts'

export const holdings = (): Migration => ({
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('holding')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('system', 'text', (c) => c.notNull())
      .addColumn('owner', 'text', (c) => c.notNull())
      .addColumn('sealed', 'text', (c) => c.notNull())
      .execute()
  },
})

/** The slice of a membership that is needed: whose things may be taken. */
interface Processes {
  readonly owner: string
  isAlive(owner: string): Promise<boolean>
}

/** Of one system. */
export function createHoldings(store: Store, processes: Processes, system: string) {
  return {
    /** Durable when it answers. */
    async hold(id: string, sealed: string): Promise<void> {
      const row = { id, system, owner: processes.owner, sealed }
      await store.transact((tx) => tx.insertInto('holding').values(row).execute())
    },

    async release(id: string): Promise<void> {
      await store.transact((tx) => tx.deleteFrom('holding').where('id', '=', id).execute())
    },

    /** What processes that are gone have left; from now on it is this one's. */
    async takeOver(): Promise<readonly { readonly id: string; readonly sealed: string }[]> {
      const rows = await store.read
        .selectFrom('holding')
        .select('owner')
        .distinct()
        .where('system', '=', system)
        .execute()
      const gone: string[] = []
      for (const { owner } of rows) if (!(await processes.isAlive(owner))) gone.push(owner)
      if (gone.length === 0) return []
      const { owner } = processes
      return store.transact(async (tx) => {
        const found = await tx
          .selectFrom('holding')
          .select(['id', 'sealed'])
          .where('system', '=', system)
          .where('owner', 'in', gone)
          .execute()
        const ids = found.map(({ id }) => id)
        if (ids.length > 0) await tx.updateTable('holding').set({ owner }).where('id', 'in', ids).execute()
        return found
      })
    },
  }
}
