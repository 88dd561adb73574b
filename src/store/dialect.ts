/** Where the two databases are made differently. */
import type { ColumnDefinitionBuilder } from 'kysely'

export type Dialect = 'sqlite' | 'postgres'

/** A number that only grows, given by the database. */
export function position(
  dialect: Dialect,
): ['position', 'integer' | 'bigint', (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder] {
  return dialect === 'sqlite'
    ? ['position', 'integer', (column) => column.primaryKey().autoIncrement()]
    : ['position', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity()]
}
