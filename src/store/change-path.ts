/** What the change path remembers: bounds of the log, deadlines, webhooks in and out. */
import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { Tables } from './tables.ts'

export const changePath: Migration = {
  async up(db: Kysely<unknown>) {
    const { schema } = db
    const tables = db as Kysely<Tables>
    await schema
      .alterTable('event')
      .addColumn('appended_at', 'bigint', (c) => c.notNull().defaultTo(0))
      .execute()
    await schema.createIndex('event_record').on('event').columns(['record', 'position']).execute()
    await schema
      .createTable('log_state')
      .addColumn('id', 'integer', (c) => c.primaryKey())
      .addColumn('head', 'bigint', (c) => c.notNull())
      .addColumn('floor', 'bigint', (c) => c.notNull())
      .addColumn('bytes', 'bigint', (c) => c.notNull())
      .execute()
    const { head } = await tables
      .selectFrom('event')
      .select((of) => of.fn.max('position').as('head'))
      .executeTakeFirstOrThrow()
    await tables
      .insertInto('log_state')
      .values({ id: 1, head: Number(head ?? 0), floor: 0, bytes: 0 })
      .execute()
    await schema
      .createTable('deadline')
      .addColumn('system', 'text', (c) => c.notNull())
      .addColumn('record', 'text', (c) => c.notNull())
      .addColumn('key', 'text', (c) => c.notNull())
      .addColumn('day', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('deadline_pk', ['system', 'record', 'key'])
      .execute()
    await schema.createIndex('deadline_day').on('deadline').columns(['day']).execute()
    await schema
      .createTable('received')
      .addColumn('system', 'text', (c) => c.notNull())
      .addColumn('id', 'text', (c) => c.notNull())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('received_pk', ['system', 'id'])
      .execute()
    await schema
      .createTable('parked')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('feed', 'text', (c) => c.notNull())
      .addColumn('reason', 'text', (c) => c.notNull())
      .addColumn('body', 'text', (c) => c.notNull())
      .addColumn('at', 'text', (c) => c.notNull())
      .execute()
    await schema
      .createTable('endpoint')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('tenant', 'text', (c) => c.notNull())
      .addColumn('subject', 'text', (c) => c.notNull())
      .addColumn('url', 'text', (c) => c.notNull())
      .addColumn('events', 'text', (c) => c.notNull())
      .addColumn('secret', 'text', (c) => c.notNull())
      .addColumn('max_retries', 'integer', (c) => c.notNull())
      .addColumn('retry_delay', 'integer', (c) => c.notNull())
      .addColumn('backoff', 'real', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('note', 'text')
      .addColumn('position', 'bigint', (c) => c.notNull())
      .addColumn('failing_since', 'bigint')
      .addColumn('created_at', 'text', (c) => c.notNull())
      .execute()
    await schema
      .createTable('delivery')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('endpoint', 'text', (c) => c.notNull())
      .addColumn('position', 'bigint', (c) => c.notNull())
      .addColumn('event_id', 'text', (c) => c.notNull())
      .addColumn('type', 'text', (c) => c.notNull())
      .addColumn('body', 'text', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('attempts', 'integer', (c) => c.notNull())
      .addColumn('due_at', 'bigint', (c) => c.notNull())
      .addColumn('created_at', 'text', (c) => c.notNull())
      .addUniqueConstraint('delivery_once', ['endpoint', 'position'])
      .execute()
    await schema.createIndex('delivery_due').on('delivery').columns(['state', 'due_at']).execute()
    await schema
      .createTable('delivery_attempt')
      .addColumn('delivery', 'text', (c) => c.notNull())
      .addColumn('number', 'integer', (c) => c.notNull())
      .addColumn('at', 'text', (c) => c.notNull())
      .addColumn('status', 'integer')
      .addColumn('error', 'text')
      .addColumn('took', 'integer', (c) => c.notNull())
      .addPrimaryKeyConstraint('delivery_attempt_pk', ['delivery', 'number'])
      .execute()
  },
}
