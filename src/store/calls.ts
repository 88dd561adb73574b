/** The log of calls. */
import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'
import { type Dialect, position } from './dialect.ts'

export const calls = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    const { schema } = db
    await schema
      .createTable('call_log')
      .addColumn(...position(dialect))
      .addColumn('at', 'text', (c) => c.notNull())
      .addColumn('system', 'text', (c) => c.notNull())
      .addColumn('operation', 'text', (c) => c.notNull())
      .addColumn('request', 'text', (c) => c.notNull())
      .addColumn('key', 'text')
      .addColumn('writeback', 'text')
      .addColumn('attempt', 'integer')
      .addColumn('tenant', 'text')
      .addColumn('subject', 'text')
      .addColumn('origin', 'text')
      .addColumn('outcome', 'text', (c) => c.notNull())
      .addColumn('status', 'integer')
      .addColumn('took', 'integer', (c) => c.notNull())
      .addColumn('request_body', 'text')
      .addColumn('response_body', 'text')
      .execute()
    await schema.createIndex('call_log_system').on('call_log').columns(['system', 'position']).execute()
    await schema.createIndex('call_log_key').on('call_log').columns(['key']).execute()
    await schema.createIndex('call_log_writeback').on('call_log').columns(['writeback']).execute()
  },
})
