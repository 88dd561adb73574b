import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { calls } from './calls.ts'
import { changePath } from './change-path.ts'
import { type Dialect, position } from './dialect.ts'
import { flows } from './flows.ts'
import { holdings } from './holdings.ts'

/** For both databases. Never change one that was released: add the next. */
export const migrationsFor = (dialect: Dialect): Record<string, Migration> => ({
  '001_first_light': {
    async up(db: Kysely<unknown>) {
      const { schema } = db
      await schema
        .createTable('meta')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
        .execute()
      await schema
        .createTable('lease')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('owner', 'text', (c) => c.notNull())
        .addColumn('until', 'bigint', (c) => c.notNull())
        .execute()
      await schema
        .createTable('checkpoint')
        .addColumn('feed', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
        .execute()
      await schema
        .createTable('identity_key')
        .addColumn('type', 'text', (c) => c.notNull())
        .addColumn('system', 'text', (c) => c.notNull())
        .addColumn('company', 'text', (c) => c.notNull())
        .addColumn('key', 'text', (c) => c.notNull())
        .addColumn('entity', 'text', (c) => c.notNull())
        .addColumn('label', 'text', (c) => c.notNull())
        .addColumn('linked_by', 'text', (c) => c.notNull())
        .addColumn('reason', 'text', (c) => c.notNull())
        .addColumn('seen_at', 'text', (c) => c.notNull())
        .addPrimaryKeyConstraint('identity_key_pk', ['type', 'system', 'company', 'key'])
        .execute()
      await schema.createIndex('identity_key_entity').on('identity_key').columns(['entity']).execute()
      await schema
        .createTable('identity_match')
        .addColumn('type', 'text', (c) => c.notNull())
        .addColumn('field', 'text', (c) => c.notNull())
        .addColumn('value', 'text', (c) => c.notNull())
        .addColumn('system', 'text', (c) => c.notNull())
        .addColumn('company', 'text', (c) => c.notNull())
        .addColumn('key', 'text', (c) => c.notNull())
        .addPrimaryKeyConstraint('identity_match_pk', ['type', 'field', 'system', 'company', 'key'])
        .execute()
      await schema
        .createIndex('identity_match_value')
        .on('identity_match')
        .columns(['type', 'field', 'value'])
        .execute()
      await schema
        .createTable('writeback')
        .addColumn('id', 'text', (c) => c.primaryKey())
        .addColumn('tenant', 'text', (c) => c.notNull())
        .addColumn('subject', 'text', (c) => c.notNull())
        .addColumn('mutation', 'text', (c) => c.notNull())
        .addColumn('idempotency_key', 'text', (c) => c.notNull())
        .addColumn('input_hash', 'text', (c) => c.notNull())
        .addColumn('caller', 'text', (c) => c.notNull())
        .addColumn('system', 'text', (c) => c.notNull())
        .addColumn('record', 'text', (c) => c.notNull())
        .addColumn('action', 'text', (c) => c.notNull())
        .addColumn('input', 'text', (c) => c.notNull())
        .addColumn('input_version', 'integer', (c) => c.notNull())
        .addColumn('external_reference', 'text', (c) => c.notNull())
        .addColumn('state', 'text', (c) => c.notNull())
        .addColumn('detail', 'text', (c) => c.notNull())
        .addColumn('attempts', 'integer', (c) => c.notNull())
        .addColumn('due_at', 'bigint', (c) => c.notNull())
        .addColumn('lease_owner', 'text')
        .addColumn('accepted_at', 'text', (c) => c.notNull())
        .addColumn('updated_at', 'text', (c) => c.notNull())
        .addUniqueConstraint('writeback_idempotency', ['tenant', 'subject', 'mutation', 'idempotency_key'])
        .execute()
      await schema.createIndex('writeback_due').on('writeback').columns(['state', 'due_at']).execute()
      await schema
        .createTable('writeback_history')
        .addColumn(...position(dialect))
        .addColumn('writeback', 'text', (c) => c.notNull())
        .addColumn('state', 'text', (c) => c.notNull())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('note', 'text')
        .execute()
      await schema
        .createIndex('writeback_history_of')
        .on('writeback_history')
        .columns(['writeback'])
        .execute()
      await schema
        .createTable('event')
        .addColumn(...position(dialect))
        .addColumn('source', 'text', (c) => c.notNull())
        .addColumn('id', 'text', (c) => c.notNull())
        .addColumn('type', 'text', (c) => c.notNull())
        .addColumn('system', 'text', (c) => c.notNull())
        .addColumn('record', 'text', (c) => c.notNull())
        .addColumn('key', 'text', (c) => c.notNull())
        .addColumn('time', 'text', (c) => c.notNull())
        .addColumn('data', 'text', (c) => c.notNull())
        .addUniqueConstraint('event_once', ['source', 'id'])
        .execute()
      await schema
        .createTable('snapshot')
        .addColumn('system', 'text', (c) => c.notNull())
        .addColumn('record', 'text', (c) => c.notNull())
        .addColumn('key', 'text', (c) => c.notNull())
        .addColumn('state', 'text', (c) => c.notNull())
        .addPrimaryKeyConstraint('snapshot_pk', ['system', 'record', 'key'])
        .execute()
    },
  },
  '003_change_path': changePath,
  '004_write_path': {
    async up(db: Kysely<unknown>) {
      const { schema } = db
      for (const [name, type, fallback] of [
        ['sequence', 'bigint', 0],
        ['ordering', 'text', ''],
        ['tries', 'integer', 0],
      ] as const) {
        await schema
          .alterTable('writeback')
          .addColumn(name, type, (c) => c.notNull().defaultTo(fallback))
          .execute()
      }
      await schema.alterTable('writeback').addColumn('target', 'text').execute()
      await sql`update writeback set ordering = id, sequence = (select count(*) from writeback as w
        where w.accepted_at < writeback.accepted_at
          or (w.accepted_at = writeback.accepted_at and w.id <= writeback.id))`.execute(db)
      await schema.createIndex('writeback_sequence').on('writeback').columns(['sequence']).unique().execute()
      await schema
        .createIndex('writeback_order')
        .on('writeback')
        .columns(['system', 'ordering', 'sequence'])
        .execute()
      await schema.createIndex('writeback_lease').on('writeback').columns(['lease_owner']).execute()
      await schema.createIndex('writeback_time').on('writeback').columns(['accepted_at', 'id']).execute()
      await schema.dropIndex('writeback_due').execute()
      await schema
        .createIndex('writeback_due_in')
        .on('writeback')
        .columns(['system', 'state', 'due_at'])
        .execute()
      for (const name of ['subject', 'origin']) {
        await schema.alterTable('writeback_history').addColumn(name, 'text').execute()
      }
      await schema.alterTable('writeback_history').addColumn('attempt', 'integer').execute()
      await schema
        .createTable('paused_system')
        .addColumn('system', 'text', (c) => c.primaryKey())
        .addColumn('reason', 'text', (c) => c.notNull())
        .addColumn('subject', 'text', (c) => c.notNull())
        .addColumn('at', 'text', (c) => c.notNull())
        .execute()
      await schema
        .createTable('operator_action')
        .addColumn(...position(dialect))
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('tenant', 'text', (c) => c.notNull())
        .addColumn('subject', 'text', (c) => c.notNull())
        .addColumn('origin', 'text')
        .addColumn('action', 'text', (c) => c.notNull())
        .addColumn('about', 'text', (c) => c.notNull())
        .addColumn('reason', 'text', (c) => c.notNull())
        .execute()
    },
  },
  '005_flows': flows(dialect),
  '006_calls': calls(dialect),
  '007_holdings': holdings(),
  '008_identity_indexes': {
    async up({ schema }: Kysely<unknown>) {
      // Who asks knows the key and not the company, which stands before it in the primary key.
      for (const table of ['identity_key', 'identity_match'])
        await schema.createIndex(`${table}_key`).on(table).columns(['type', 'system', 'key']).execute()
      // SQLite goes through all of a type where the list of entities has an index without it.
      await schema.dropIndex('identity_key_entity').execute()
      await schema.createIndex('identity_key_entity').on('identity_key').columns(['type', 'entity']).execute()
    },
  },
})
