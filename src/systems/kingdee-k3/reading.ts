/** Forms read as records: by key, page by page, by what changed. */
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { changesByStamp, chunks, compare, type Reader as KeysetReader, listByKey } from '../kit/keyset.ts'
import type { CallContext } from '../port.ts'
import type { Key } from '../records.ts'
import { contains, literal, type WebApi } from './client.ts'
import type { KingdeeK3Config } from './config.ts'
import { ENTRY_FIELDS } from './fields.ts'
import { type Column, type Document, documentsOf, type Form, keyOf, type Row, stampOf } from './mapping.ts'

export interface Source {
  readonly client: WebApi
  readonly config: KingdeeK3Config
  /** Where a page can only be given without a record that breaks its schema. */
  readonly skip: (failure: SourceFailure) => void
  /** A field that is usual elsewhere is not there, and left out from now on. */
  readonly lacking: (form: string, field: string) => void
}

/** Rows of another form that belong to records of this one, for example what a receivable bills. */
export interface Related {
  /** Name of the part that they are, and under which a document has them. */
  readonly part: string
  readonly forms: readonly Form[]
  /** Name of their value that is the record's number. */
  readonly by: string
  filter?(form: Form): string | undefined
}

/** Read anew whenever it is sent: what the data centre turns out not to have leaves the filters, too. */
export type Filter = () => string

export interface Reader<R> extends KeysetReader<R> {
  /** Records that have one of these texts in a value of their head; newest first. */
  lookup(
    name: string,
    also?: Filter,
  ): {
    batchLimit: number
    read(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<readonly R[]>[]>
  }
}

/** The part that a port leaves out where its values stand in entries. */
export const ENTRIES = 'entries'

export function createReader<R extends { key: Key; version?: string | null }>(
  source: Source,
  form: Form,
  read: (document: Document) => Outcome<R>,
  related: readonly Related[] = [],
): Reader<R> {
  const { client, config, skip } = source
  const idField = form.of('id') as string
  const numberField = form.of('number') as string
  const where =
    (terms: () => readonly (string | undefined)[] = () => []): Filter =>
    () =>
      allOf([isOf(form, 'organization', [config.organization]), ...terms()])
  const lightColumns = () =>
    ['id', 'number', 'modified', 'created'].flatMap((name) =>
      form.columns.filter((column) => column.name === name),
    )

  /** Documents that meet a filter; without entries each is one row. @throws SourceError */
  const documents = async (filter: Filter, context: CallContext): Promise<readonly Document[]> => {
    const columns = () => (context.without?.has(ENTRIES) ? form.head : form.columns)
    return withRelated(await readAll(source, form, columns, filter, context), context)
  }

  /** Related rows that this user may not read, or that the tenant does not have, are not asked for again. */
  const refused = new Set<Related>()
  const withRelated = async (
    found: readonly Document[],
    context: CallContext,
  ): Promise<readonly Document[]> => {
    const numbers = [...new Set(found.flatMap((document) => keyOf(document) ?? []))]
    const wanted = related.filter((one) => !context.without?.has(one.part) && !refused.has(one))
    if (numbers.length === 0 || wanted.length === 0) return found
    const byPart = new Map<string, Map<string, Row[]>>()
    for (const one of wanted) {
      const rows = await outcomeOf(async () => {
        const read: Row[] = []
        for (const other of one.forms) {
          for (const batch of chunks(numbers, config.batchLimit)) {
            const filter = () => allOf([one.filter?.(other), oneOf(other.of(one.by) ?? '', batch)])
            const all = await readAll(source, other, () => other.columns, filter, context)
            read.push(
              ...all.flatMap((document) => document.rows.map((row) => ({ ...row, form: other.form }))),
            )
          }
        }
        return read
      })
      if (!rows.ok && rows.failure.kind === 'unavailable') throw new SourceError(rows.failure)
      if (!rows.ok) {
        refused.add(one)
        skip(rows.failure)
        continue
      }
      const groups = new Map<string, Row[]>(numbers.map((number) => [number, []]))
      for (const row of rows.value) groups.get(String(row[one.by] ?? ''))?.push(row)
      byPart.set(one.part, groups)
    }
    return found.map((document) => ({
      ...document,
      related: Object.fromEntries(
        [...byPart].map(([part, groups]) => [part, groups.get(keyOf(document) ?? '') ?? []]),
      ),
    }))
  }

  const readMany: Reader<R>['readMany'] = async (keys, context) => {
    const found = new Map<Key, Outcome<R | null>>()
    const asked = [...new Set(keys)].filter((key) => key.trim() !== '')
    for (const batch of chunks(asked, config.batchLimit)) {
      const wanted = where(() => [oneOf(numberField, batch)])
      const answer = await outcomeOf(() => documents(wanted, context))
      for (const key of batch) found.set(key, answer.ok ? ok(null) : answer)
      if (!answer.ok) continue
      for (const document of answer.value) {
        const key = keyOf(document)
        // The vendor compares without regard to case: what was not asked for is no answer.
        const before = key === undefined ? undefined : found.get(key)
        if (key === undefined || !before) continue
        const isSecond = !before.ok || before.value !== null
        found.set(key, isSecond ? fail(twice(form, key)) : read(document))
      }
      // A row that does not say which record it is may be any of those that seem to be missing.
      const nameless = answer.value.find((document) => keyOf(document) === undefined)
      for (const key of nameless ? batch : []) {
        const before = found.get(key)
        if (before?.ok && before.value === null) found.set(key, fail(unnamed(form)))
      }
    }
    return keys.map((key) => found.get(key) ?? ok(null))
  }

  /** @throws SourceError Nothing tells here what has changed. */
  const modified = (): string => {
    const field = form.of('modified')
    if (field !== undefined) return field
    const message = `${form.form} has no time of change here: its changes cannot be followed.`
    throw new SourceError({ kind: 'unsupported', message })
  }
  const newest = async (context: CallContext): Promise<string> => {
    const [document] = await lightRows(where(), () => `${modified()} DESC`, 1, context)
    return (document && stampOf(document)) ?? '1900-01-01T00:00:00'
  }

  /** The records of a page of ids; what cannot be read is reported and left out. */
  const legible = async (page: readonly Document[], context: CallContext): Promise<Map<string, R>> => {
    const idOf = new Map(page.flatMap((document) => [[keyOf(document), document.id] as const]))
    const keys = [...idOf.keys()].filter((key) => key !== undefined)
    const records = new Map<string, R>()
    for (const [at, outcome] of (await readMany(keys, context)).entries()) {
      const id = idOf.get(keys[at])
      if (outcome.ok && outcome.value && id !== undefined) records.set(id, outcome.value)
      if (outcome.ok) continue
      // A record that cannot be read concerns itself alone, a system that does not answer the whole page.
      if (outcome.failure.kind !== 'invalid-response') throw new SourceError(outcome.failure)
      skip(outcome.failure)
    }
    return records
  }

  const lightRows = (filter: Filter, order: () => string, limit: number, context: CallContext) =>
    known(source, form, async () => {
      const light = lightColumns()
      const fields = light.map((column) => column.field)
      const asked = { form: form.form, fields, filter: filter(), order: order(), limit }
      return documentsOf(light, await client.query(asked, context))
    })
  const lightPage = (filter: Filter, direction: 'ASC' | 'DESC', limit: number, context: CallContext) =>
    lightRows(filter, () => `${idField} ${direction}`, limit, context)

  return {
    batchLimit: config.batchLimit,
    readMany,

    async readOne(key, context) {
      const [record] = await readMany([key], context)
      return record ?? ok(null)
    },

    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (after !== undefined && !isId(after)) return { items: [], hasMore: false }
        const { customer, search } = filter ?? {}
        const customerField = form.of('customer')
        if (customer !== undefined && !customerField) {
          throw new SourceError({
            kind: 'unsupported',
            message: `${form.form} does not belong to customers.`,
          })
        }
        const searched = () => ['number', 'name', 'customerName'].flatMap((name) => form.of(name) ?? [])
        return listByKey(
          { first, after },
          {
            placeOf: idOf,
            rows(from, limit) {
              const terms = where(() => [
                customer === undefined ? undefined : `${customerField} = ${literal(customer)}`,
                search === undefined
                  ? undefined
                  : `(${searched()
                      .map((field) => contains(field, search))
                      .join(' or ')})`,
                from === undefined ? undefined : `${idField} < ${from}`,
              ])
              return lightPage(terms, 'DESC', limit, context)
            },
            async items(page) {
              const records = await legible(page, context)
              return page.flatMap(({ id }) => {
                const record = records.get(id)
                return record ? [{ record, position: id }] : []
              })
            },
          },
        )
      })
    },

    changes(checkpoint, context) {
      return outcomeOf(() =>
        changesByStamp(checkpoint, {
          stamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$/,
          limit: Math.min(config.batchLimit, config.pageLimit - 1),
          newest: () => newest(context),
          placeOf: idOf,
          rows(since, after, limit) {
            const from = minus(since, config.overlapSeconds)
            const terms = where(() => [
              `${modified()} >= ${literal(from.replace('T', ' '))}`,
              after === undefined || !isId(after) ? undefined : `${idField} > ${after}`,
            ])
            return lightPage(terms, 'ASC', limit, context)
          },
          stampOf,
          records: async (page) =>
            [...(await legible(page, context)).values()].sort((a, b) =>
              compare(a.version ?? '', b.version ?? ''),
            ),
        }),
      )
    },

    lookup(name, also) {
      return {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const field = form.of(name)
          if (field === undefined) {
            const message = `${form.form} cannot be looked up by ${name}: no field is configured for it.`
            return keys.map(() => fail({ kind: 'unsupported', message }))
          }
          const found = new Map<Key, Outcome<R[]>>()
          for (const batch of chunks([...new Set(keys)], config.batchLimit)) {
            const terms = where(() => [also?.(), oneOf(field, batch)])
            const answer = await outcomeOf(() => documents(terms, context))
            for (const key of batch) found.set(key, answer.ok ? ok([]) : answer)
            if (!answer.ok) continue
            for (const document of answer.value) {
              const owner = String(document.rows[0]?.[name] ?? '')
              const list = found.get(owner)
              if (!list?.ok) continue
              const record = read(document)
              // Half a list would look whole: one record that cannot be read fails the list it belongs to.
              if (!record.ok) found.set(owner, record)
              else list.value.unshift(record.value) // read oldest first, given newest first
            }
          }
          return keys.map((key) => found.get(key) ?? ok([]))
        },
      }
    },
  }
}

/**
 * Every row, page by page, by id and entry: what is added meanwhile shifts no page.
 * @throws SourceError
 */
export function readAll(
  source: Source,
  form: Form,
  columns: () => readonly Column[],
  filter: Filter,
  context: CallContext,
): Promise<Document[]> {
  const { client, config } = source
  return known(source, form, () => readPages(client, form, columns(), filter(), config.pageLimit, context))
}

/**
 * Asks again without a field that the vendor turns out not to have. Releases and tenants differ, and of what is read
 * most can be missed; what cannot stays in the question, and its refusal is the answer.
 * @throws SourceError
 */
export async function known<T>(source: Source, form: Form, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    const asked = form.columns
    try {
      return await ask()
    } catch (error) {
      const field = error instanceof SourceError ? unknownField(error.failure) : undefined
      if (field === undefined) throw error
      // Another question may have learnt the same while this one was on its way.
      if (form.columns !== asked) continue
      if (!form.lacks(field)) throw error
      source.lacking(form.form, field)
    }
  }
}

/** `元数据中标识为F_X的字段不存在` */
export const unknownField = (failure: SourceFailure): string | undefined =>
  failure.kind === 'rejected'
    ? /标识为\s*["“']?([\w.]+)["”']?\s*的字段不存在/.exec(failure.message)?.[1]
    : undefined

async function readPages(
  client: WebApi,
  form: Form,
  columns: readonly Column[],
  filter: string,
  limit: number,
  context: CallContext,
): Promise<Document[]> {
  const idField = form.of('id')
  const inEntries = ENTRY_FIELDS[form.name]
  const hasEntries = columns.some((column) => inEntries?.has(column.name))
  const entryField = hasEntries ? form.of('entry') : undefined
  const entryAt = columns.findIndex((column) => column.name === 'entry')
  const query = {
    form: form.form,
    fields: columns.map((column) => column.field),
    order: [idField, ...(entryField ? [entryField] : ['product', 'warehouse'].map((name) => form.of(name)))]
      .filter((field) => field !== undefined)
      .map((field) => `${field} ASC`)
      .join(','),
    limit,
  }
  const rows: (readonly unknown[])[] = []
  let after: string | undefined
  for (;;) {
    // Entries without an id of their own can only be counted.
    const startRow = !idField || (hasEntries && !entryField) ? rows.length : 0
    const page = await client.query({ ...query, filter: allOf([filter, after]), startRow }, context)
    rows.push(...page)
    if (page.length < limit) return documentsOf(columns, rows)
    if (!idField) continue
    const last = page.at(-1) ?? []
    const id = valueIn(last[0], form.form)
    if (!entryField) {
      if (!hasEntries) after = `${idField} > ${id}`
      continue
    }
    const entry = last[entryAt]
    after =
      entry === null || entry === undefined
        ? `${idField} > ${id}`
        : `(${idField} > ${id} or (${idField} = ${id} and ${entryField} > ${valueIn(entry, form.form)}))`
  }
}

/** Of ids: whole numbers, or texts where the form has such. */
function valueIn(cell: unknown, form: string): string {
  if (typeof cell !== 'string' || cell === '') {
    throw new SourceError({ kind: 'invalid-response', detail: `${form}: a row without an id` })
  }
  return /^\d+$/.test(cell) ? cell : literal(cell)
}

/* ---- filters ---- */

export const allOf = (terms: readonly (string | undefined)[]): string =>
  terms.filter((term) => term !== undefined && term !== '').join(' and ')

export const oneOf = (field: string, values: readonly string[]): string =>
  `${field} in (${values.map(literal).join(',')})`

/** A filter on a value that this tenant may not have. */
export function isOf(form: Form, name: string, values: readonly string[]): string | undefined {
  const field = form.of(name)
  if (field === undefined) return undefined
  return values.length === 1 ? `${field} = ${literal(values[0] ?? '')}` : oneOf(field, values)
}

const isId = (text: string): boolean => /^\d{1,18}$/.test(text)

const idOf = (document: Document | undefined): string => document?.id ?? ''

/** Filters know seconds: the fraction is cut, which looks back a little further. */
function minus(stamp: string, seconds: number): string {
  return new Date(Date.parse(`${stamp.slice(0, 19)}Z`) - seconds * 1000).toISOString().slice(0, 19)
}

const unnamed = (form: Form): SourceFailure => ({
  kind: 'invalid-response',
  detail: `${form.form}: a row without a number`,
})

const twice = (form: Form, key: string): SourceFailure => ({
  kind: 'invalid-response',
  detail: `${form.form} ${key}: several records have this number`,
})
