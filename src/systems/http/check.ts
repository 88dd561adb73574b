/**
 * Whether a configuration finds what it names: for those who have just written it. A path that leads nowhere gives no
 * record and no error, so the first page of each list is looked at, and its first record read by its key.
 */
import { failureText, type Outcome, outcomeOf } from '../failure.ts'
import type { CallContext } from '../port.ts'
import type { Key, RecordType } from '../records.ts'
import type { OwnTypeConfig, RecordConfig } from './config.ts'
import type { Mapping } from './mapping.ts'
import { createPages } from './paging.ts'
import type { Tools } from './source.ts'

export interface Checked {
  readonly type: RecordType
  readonly config: RecordConfig | OwnTypeConfig
  readonly mapping: Mapping<unknown>
  readonly readMany: (keys: readonly Key[], context: CallContext) => Promise<readonly Outcome<unknown>[]>
}

/** One sentence for each that does not fit. */
export const checkConfiguration = (all: readonly Checked[], tools: Tools) => (context: CallContext) =>
  outcomeOf(async () => (await Promise.all(all.map((one) => checkType(one, tools, context)))).flat())

async function checkType(
  { type, config, mapping, readMany }: Checked,
  { client, vocabulary }: Tools,
  context: CallContext,
): Promise<readonly string[]> {
  const { list } = config
  if (!list) return []
  const pages = createPages(client, list, vocabulary)
  const read = await outcomeOf(() => pages.read(pages.first, {}, { ...context, writes: false }))
  if (!read.ok) return [`${type}: its list cannot be read (${failureText(read.failure)})`]
  const { items, answer } = read.value
  if (items.length === 0) {
    const place = listIn(answer.body)
    return place === undefined
      ? []
      : [
          `${type}: "items" of its list (${list.items}) finds nothing, but the answer has a list at "${place}"`,
        ]
  }
  const records = await Promise.all(items.map((raw) => mapping.read(raw)))
  const broken = records.flatMap(({ outcome }) => (outcome.ok ? [] : [failureText(outcome.failure)]))
  const [reason] = broken
  if (reason !== undefined)
    return [
      `${type}: ${broken.length} of ${items.length} records of the first page cannot be read (${reason})`,
    ]
  const key = records[0]?.key
  const [found] = typeof key === 'string' ? await readMany([key], context) : []
  if (!found) return []
  if (!found.ok)
    return [`${type}: "${key}" of its list cannot be read by key (${failureText(found.failure)})`]
  return found.value === null
    ? [`${type}: "${key}" stands in its list, but is not found by key: see "read"`]
    : []
}

/** Where the first list of objects in an answer stands, as an expression would say it. */
function listIn(value: unknown, path = '', depth = 0): string | undefined {
  if (value === null || typeof value !== 'object' || depth > 5) return undefined
  if (Array.isArray(value))
    return value.some((item) => item !== null && typeof item === 'object') ? path || '$' : undefined
  for (const [name, item] of Object.entries(value)) {
    const step = /^\w+$/.test(name) ? name : `\`${name}\``
    const found = listIn(item, path === '' ? step : `${path}.${step}`, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}
