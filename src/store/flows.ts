/** What flows remember. */
import type { Kysely } from 'kysely'
import type { Migration } from 'kysely/migration'
import { type Dialect, position } from './dialect.ts'

export const flows = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    const { schema } = db
    await schema
      .createTable('flow_run')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('flow', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('business_key', 'text', (c) => c.notNull())
      .addColumn('tenant', 'text', (c) => c.notNull())
      .addColumn('caller', 'text', (c) => c.notNull())
      .addColumn('cause', 'text', (c) => c.notNull())
      .addColumn('round', 'integer', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('detail', 'text', (c) => c.notNull())
      .addColumn('steps', 'text', (c) => c.notNull())
      .addColumn('due_at', 'bigint', (c) => c.notNull())
      .addColumn('lease_owner', 'text')
      .addColumn('started_at', 'text', (c) => c.notNull())
      .addColumn('updated_at', 'text', (c) => c.notNull())
      .addColumn('ended_at', 'text')
      .addUniqueConstraint('flow_run_once', ['tenant', 'flow', 'business_key'])
      .execute()
    await schema.createIndex('flow_run_due').on('flow_run').columns(['ended_at', 'due_at']).execute()
    await schema.createIndex('flow_run_lease').on('flow_run').columns(['lease_owner']).execute()
    await schema.createIndex('flow_run_time').on('flow_run').columns(['started_at', 'id']).execute()
    await schema
      .createTable('flow_history')
      .addColumn(...position(dialect))
      .addColumn('run', 'text', (c) => c.notNull())
      .addColumn('at', 'text', (c) => c.notNull())
      .addColumn('step', 'text')
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('note', 'text')
      .addColumn('subject', 'text')
      .addColumn('origin', 'text')
      .execute()
    await schema.createIndex('flow_history_of').on('flow_history').columns(['run']).execute()
    // Which flow a record of a system came from.
    await schema.createIndex('writeback_reference').on('writeback').columns(['external_reference']).execute()
  },
})
