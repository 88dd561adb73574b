/** Texts of SOQL, from parts. Pure. */

/** @see SOQL and SOSL Reference, "Quoted String Escape Sequences" */
export const quoted = (text: string): string =>
  `'${text
    .replaceAll('\\', '\\\\')
    .replaceAll("'", "\\'")
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')}'`

/** Matches where `text` stands anywhere in the field; its own wildcards are letters. */
export const contains = (field: string, text: string): string =>
  // What LIKE must take for a letter is escaped once, not once more for the text.
  `${field} LIKE '%${quoted(text).slice(1, -1).replaceAll(/[%_]/g, '\\$&')}%'`

export const within = (field: string, values: readonly string[]): string =>
  `${field} IN (${values.map(quoted).join(',')})`

/** A place in rows ordered by a time and the id: both go on in the same direction. */
export interface Place {
  /** Unquoted, in UTC. */
  readonly at: string
  readonly id: string
}

/** The rows behind a place. */
export const behind = (time: string, { at, id }: Place, direction: '<' | '>'): string =>
  `(${time} ${direction} ${at} OR (${time} = ${at} AND Id ${direction} ${quoted(id)}))`

export interface Query {
  readonly object: string
  readonly fields: readonly string[]
  readonly where?: readonly (string | undefined)[]
  readonly order?: string
  readonly limit?: number
}

export function soql({ object, fields, where = [], order, limit }: Query): string {
  const conditions = where.filter((one) => one !== undefined)
  return [
    `SELECT ${[...new Set(fields)].join(', ')} FROM ${object}`,
    conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '',
    order ? `ORDER BY ${order}` : '',
    limit === undefined ? '' : `LIMIT ${limit}`,
  ]
    .filter((part) => part !== '')
    .join(' ')
}
