/** A CRM that follows the published contract (`openapi.yaml`), or one that can be described as a variant of it. */
import { z } from 'zod'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { parseJson } from '../json.ts'
import type {
  CallContext,
  ChangePage,
  CreateAdapter,
  CustomerChanges,
  ListFilter,
  ListPage,
  Lookup,
  OpportunityCreate,
  RecordPort,
  UpdateOf,
  VendorRequest,
  Verdict,
  WebhookReceiver,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, Opportunity, RecordTypes } from '../records.ts'
import { verifyWebhook } from '../signature.ts'
import { CODE_DUPLICATE_REFERENCE, type CrmPage, createRestCrmClient } from './client.ts'
import type { RestCrmConfig } from './config.ts'
import { createMapping, fieldText, missingChanges, readEvent, toDateTime } from './mapping.ts'

type Held = 'customer' | 'opportunity'

/** Where records of one type are, and how one is read. */
interface Source<T extends Held> {
  readonly path: string
  readonly fields: { readonly id: string; readonly createdAt: string; readonly updatedAt: string }
  readonly read: (raw: unknown) => Outcome<RecordTypes[T]>
  /** The filter as query parameters. */
  readonly filter: (filter: ListFilter) => Outcome<Record<string, string>>
}

/** Where change polling goes on: everything since a time, and inside one sweep the place in it. */
const checkpointSchema = z.strictObject({
  since: z.string(),
  after: z.string().optional(),
  page: z.int().optional(),
})

export const createRestCrm: CreateAdapter<RestCrmConfig> = (config, { log, timeoutMs }) => {
  const client = createRestCrmClient(config, timeoutMs, log)
  const mapping = createMapping(config.fields, config.utcOffset)

  const customers: Source<'customer'> = {
    path: config.paths.customers,
    fields: config.fields.customer,
    read: mapping.customer,
    filter: ({ customer, search }) =>
      customer === undefined
        ? ok(queryOf({ search }))
        : fail({ kind: 'unsupported', message: 'Customers cannot be listed by customer: read that one.' }),
  }
  const opportunities: Source<'opportunity'> = {
    path: config.paths.opportunities,
    fields: config.fields.opportunity,
    read: mapping.opportunity,
    filter: ({ customer, search }) => ok(queryOf({ customerIds: customer, search })),
  }

  /* ---- reading ---- */

  /** The record, or null where the CRM says that there is none. */
  const readOne = async <T extends Held>(
    source: Source<T>,
    key: Key,
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>> => {
    const answer = await outcomeOf(() => client.get(pathOf(source, key), {}, context))
    if (answer.ok) return source.read(answer.value.data)
    return answer.failure.kind === 'not-found' ? ok(null) : answer
  }

  /** @throws SourceError */
  const readBatch = async <T extends Held>(source: Source<T>, keys: readonly Key[], context: CallContext) => {
    const found = new Map<Key, Outcome<RecordTypes[T] | null>>()
    const { items } = await client.getPage(source.path, { ids: keys.join(',') }, context)
    let nameless: Outcome<RecordTypes[T]> | undefined
    for (const raw of items) {
      const outcome = source.read(raw)
      const key = outcome.ok ? outcome.value.key : fieldText(raw, source.fields.id)
      if (key !== undefined) found.set(key, outcome)
      else nameless = outcome
    }
    // A record without a key could be any of those that seem to be missing.
    if (nameless) for (const key of keys) if (!found.has(key)) found.set(key, nameless)
    return found
  }

  const readMany = <T extends Held>(source: Source<T>, keys: readonly Key[], context: CallContext) =>
    inBatches<RecordTypes[T] | null>(keys, config.batchLimit, null, async (batch) => {
      const [only] = batch
      if (only === undefined || config.batchLimit > 1) return readBatch(source, batch, context)
      const one = await readOne(source, only, context)
      if (!one.ok) throw new SourceError(one.failure)
      return new Map([[only, one]])
    })

  /** What cannot be read is left out of lists, and said to the operator: one bad record must not hide the rest. */
  const readable = <T extends Held>(source: Source<T>, raw: unknown): RecordTypes[T][] => {
    const outcome = source.read(raw)
    if (outcome.ok) return [outcome.value]
    log.warn({ path: source.path, failure: failureText(outcome.failure) }, 'a record cannot be read')
    return []
  }

  const readingPort = <T extends Held>(source: Source<T>) => ({
    batchLimit: config.batchLimit,
    readMany: (keys: readonly Key[], context: CallContext) => readMany(source, keys, context),
    list: async (
      {
        first,
        after,
        filter,
      }: { first: number; after?: string | undefined; filter?: ListFilter | undefined },
      context: CallContext,
    ): Promise<Outcome<ListPage<T>>> => {
      const query = source.filter(filter ?? {})
      if (!query.ok) return query
      const walk = config.paging === 'after' ? walkByPlace : walkByPage
      return outcomeOf(async () => {
        const items: { record: RecordTypes[T]; position: string }[] = []
        for await (const page of walk(source, query.value, first, after, context)) {
          const left = first - items.length
          const read = page.items.flatMap(({ raw, position }) =>
            readable(source, raw).map((record) => ({ record, position })),
          )
          items.push(...read.slice(0, left))
          if (read.length > left || !page.hasMore || items.length === first) {
            return { items, hasMore: read.length > left || page.hasMore }
          }
        }
        return { items, hasMore: false }
      })
    },
    changes: (checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>> =>
      outcomeOf(() => changes(source, checkpoint, context)),
  })

  /** A record's place in the order by that time, as the contract writes it: the time as given, the key. */
  const placeOf = <T extends Held>(
    source: Source<T>,
    raw: unknown,
    time: 'createdAt' | 'updatedAt',
  ): string => {
    const at = fieldText(raw, source.fields[time])
    const id = fieldText(raw, source.fields.id)
    if (at !== undefined && id !== undefined) return `${at},${id}`
    const detail = `GET ${source.path}: a record without ${source.fields.id} or ${source.fields[time]} has no place in the list; such a CRM needs paging: page`
    throw new SourceError({ kind: 'invalid-response', detail })
  }

  interface Stretch {
    readonly items: readonly { readonly raw: unknown; readonly position: string }[]
    readonly hasMore: boolean
  }

  /** Newest first; a record added meanwhile stands before the place that we go on from and moves nothing. */
  async function* walkByPlace<T extends Held>(
    source: Source<T>,
    query: Record<string, string>,
    first: number,
    after: string | undefined,
    context: CallContext,
  ): AsyncGenerator<Stretch> {
    const limit = String(Math.min(first, config.pageLimit))
    for (let place = after; ; ) {
      const paging: Record<string, string> = place === undefined ? { limit } : { limit, after: place }
      const { items, hasMore } = await client.getPage(source.path, { ...query, ...paging }, context)
      const placed = items.map((raw) => ({ raw, position: placeOf(source, raw, 'createdAt') }))
      yield { items: placed, hasMore }
      if (!hasMore || placed.length === 0) return
      const last = placed.at(-1)?.position
      if (last === place) throw standsStill(source.path)
      place = last
    }
  }

  /**
   * Page numbers shift while records are added. A position is therefore the index and the key of a record: the
   * next read looks for that key around where it was, and when it is gone rather repeats records than omits some.
   */
  async function* walkByPage<T extends Held>(
    source: Source<T>,
    query: Record<string, string>,
    _first: number,
    after: string | undefined,
    context: CallContext,
  ): AsyncGenerator<Stretch> {
    const size = config.pageLimit
    const pages = new Map<number, CrmPage>()
    const readPage = async (page: number): Promise<CrmPage> => {
      const known = pages.get(page)
      if (known) return known
      const paging = { page: String(page), limit: String(size) }
      const read = await client.getPage(source.path, { ...query, ...paging }, context)
      pages.set(page, read)
      return read
    }
    const idOf = (raw: unknown) => fieldText(raw, source.fields.id) ?? ''

    let page = 1
    let offset = 0
    if (after !== undefined) {
      const [, indexText, id] = /^(\d{1,12}):(.+)$/s.exec(after) ?? []
      if (indexText === undefined) {
        throw new SourceError({
          kind: 'rejected',
          code: 'POSITION',
          message: 'This is no place in this list.',
        })
      }
      const index = Number(indexText)
      const expected = Math.floor(index / size) + 1
      page = expected
      offset = index % size
      for (const candidate of [expected, expected + 1, expected + 2, expected - 1]) {
        if (candidate < 1) continue
        const at = (await readPage(candidate)).items.findIndex((raw) => idOf(raw) === id)
        if (at < 0) continue
        page = candidate
        offset = at + 1
        break
      }
    }
    const seen = new Set<string>()
    for (; ; page++) {
      const { items, hasMore } = await readPage(page)
      const base = (page - 1) * size
      const placed = items
        .map((raw, index) => ({ raw, id: idOf(raw), position: `${base + index}:${idOf(raw)}` }))
        .slice(offset)
        .filter(({ id }) => !seen.has(id))
      if (items.length > 0 && items.every((raw) => seen.has(idOf(raw)))) throw standsStill(source.path)
      for (const { id } of placed) seen.add(id)
      yield { items: placed, hasMore }
      offset = 0
      if (!hasMore || items.length === 0) return
    }
  }

  /** One page of what changed, oldest change first. @throws SourceError */
  const changes = async <T extends Held>(
    source: Source<T>,
    checkpoint: string | null,
    context: CallContext,
  ): Promise<ChangePage<T>> => {
    if (checkpoint === null) {
      const { at } = await client.getPage(source.path, { limit: '1' }, context)
      if (at === null) {
        const detail = `GET ${source.path}: no timestamp in the answer; without the CRM's clock its changes cannot be polled`
        throw new SourceError({ kind: 'invalid-response', detail })
      }
      return { records: [], checkpoint: JSON.stringify({ since: overlapped(at) }), hasMore: false }
    }
    const from = checkpointSchema.parse(JSON.parse(checkpoint))
    const { items, hasMore, at } = await client.getPage(
      source.path,
      {
        updatedSince: from.since,
        limit: String(config.pageLimit),
        ...(config.paging === 'page' ? { page: String(from.page ?? 1) } : {}),
        ...(from.after === undefined ? {} : { after: from.after }),
      },
      context,
    )
    const last = items.at(-1)
    const lastTime = fieldText(last, source.fields.updatedAt)
    const next = (): z.infer<typeof checkpointSchema> => {
      if (!hasMore || last === undefined)
        return { since: at === null ? (lastTime ?? from.since) : overlapped(at) }
      if (config.paging === 'after') return { since: from.since, after: placeOf(source, last, 'updatedAt') }
      // Page numbers shift when a record changes again and moves to the end: go on from the last time, and count
      // pages only through records that changed in the same moment.
      if (lastTime !== undefined && momentOf(lastTime) > momentOf(from.since)) return { since: lastTime }
      return { since: from.since, page: (from.page ?? 1) + 1 }
    }
    const following = JSON.stringify(next())
    if (hasMore && following === checkpoint) throw standsStill(source.path)
    return {
      records: items.flatMap((raw) => readable(source, raw)),
      checkpoint: following,
      hasMore: hasMore && last !== undefined,
    }
  }

  const momentOf = (text: string): number => Date.parse(toDateTime(text, config.utcOffset) ?? '')
  const overlapped = (at: number): string => new Date(at - config.overlapSeconds * 1000).toISOString()

  const byCustomer: Lookup<'opportunity'> = {
    batchLimit: config.batchLimit,
    read: (keys, context) =>
      inBatches<readonly Opportunity[]>(keys, config.batchLimit, [], (batch) =>
        readByCustomers(batch, context),
      ),
  }

  /** @throws SourceError */
  const readByCustomers = async (keys: readonly Key[], context: CallContext) => {
    const found = new Map<Key, Outcome<readonly Opportunity[]>>()
    const walk = config.paging === 'after' ? walkByPlace : walkByPage
    const query = { customerIds: keys.join(',') }
    const seen = new Set<Key>()
    for await (const page of walk(opportunities, query, config.pageLimit, undefined, context)) {
      for (const { raw } of page.items) {
        const outcome = mapping.opportunity(raw)
        const customer = outcome.ok
          ? outcome.value.customer
          : fieldText(raw, config.fields.opportunity.customer)
        if (!outcome.ok) {
          // Half of a customer's opportunities would look like all of them.
          for (const key of customer ? [customer] : keys) found.set(key, outcome)
          continue
        }
        if (!customer || seen.has(outcome.value.key)) continue
        seen.add(outcome.value.key)
        const list = found.get(customer) ?? ok([])
        if (list.ok) found.set(customer, ok([...list.value, outcome.value]))
      }
    }
    return found
  }

  /* ---- writing ---- */

  const writeHeaders = (write: WriteContext): Record<string, string> => ({
    'content-type': 'application/json; charset=utf-8',
    ...(config.onBehalfOfHeader === null
      ? {}
      : { [config.onBehalfOfHeader.toLowerCase()]: encodeURIComponent(write.onBehalfOf.toWellFormed()) }),
  })

  const updateCustomer: WriteAction<UpdateOf<CustomerChanges>, 'customer'> = {
    preview: ({ key, expectedVersion, changes: wanted }, write): VendorRequest => ({
      method: 'PUT',
      path: pathOf(customers, key),
      headers: {
        ...writeHeaders(write),
        ...(expectedVersion === undefined ? {} : { 'if-match': `"${expectedVersion}"` }),
      },
      body: JSON.stringify(mapping.customerBody(wanted)),
    }),

    async send(input, write, context) {
      if (!isAddressable(input.key)) return noSuchCustomer(input.key)
      if (input.expectedVersion !== undefined && !config.conditionalUpdates) {
        const message = 'This CRM cannot check the version of a customer: leave expectedVersion out.'
        return fail({ kind: 'unsupported', message })
      }
      // What fits into no header was never a version of this CRM: nothing is sent.
      if (input.expectedVersion !== undefined && !/^[!#-~]+$/.test(input.expectedVersion)) {
        const message = `Customer "${input.key}" never had the version that is expected.`
        return fail({ kind: 'conflict', message })
      }
      return outcomeOf(async (): Promise<WriteResult<'customer'>> => {
        const { data } = await client.write(updateCustomer.preview(input, write), context)
        const record = mapping.customer(data)
        // The change is done, whatever the CRM shows of it.
        return { key: input.key, reached: 'effective', ...(record.ok ? { record: record.value } : {}) }
      })
    },

    async verify(
      { key, expectedVersion, changes: wanted },
      _write,
      context,
    ): Promise<Outcome<Verdict<'customer'>>> {
      if (!isAddressable(key)) return noSuchCustomer(key)
      const read = await readOne(customers, key, context)
      if (!read.ok) return read
      const customer = read.value
      if (customer === null) return noSuchCustomer(key)
      const missing = missingChanges(customer, wanted)
      if (missing.length === 0) {
        return ok({ effect: 'done', result: { key, record: customer, reached: 'effective' } })
      }
      const differs = `customer ${key} differs in ${missing.join(', ')}`
      if (expectedVersion === undefined) {
        // The same values set a second time change nothing more, and nobody asked to protect a version.
        const evidence = `${differs}; setting the same values again does no harm`
        return ok({ effect: 'none', proven: true, evidence })
      }
      if (customer.version === expectedVersion) {
        // Should the first one arrive after all, If-Match lets only one of the two through.
        const evidence = `${differs} and is still at revision ${expectedVersion}`
        return ok({ effect: 'none', proven: true, evidence })
      }
      const evidence = `${differs} and is at revision ${customer.version ?? 'unknown'}, not ${expectedVersion}: changed by somebody, perhaps after this change`
      return ok({ effect: 'none', proven: false, evidence })
    },
  }

  const findByReference = (reference: string, context: CallContext) =>
    outcomeOf(async (): Promise<Opportunity | null> => {
      const { items } = await client.getPage(opportunities.path, { externalRef: reference }, context)
      for (const raw of items) {
        const outcome = mapping.opportunity(raw)
        // A CRM that overlooks the parameter answers with everything: compare.
        if (outcome.ok && outcome.value.externalReference === reference) return outcome.value
        if (!outcome.ok && fieldText(raw, config.fields.opportunity.externalRef) === reference) {
          throw new SourceError(outcome.failure)
        }
      }
      return null
    })

  const createOpportunity: WriteAction<OpportunityCreate, 'opportunity'> = {
    preview: (input, write): VendorRequest => ({
      method: 'POST',
      path: opportunities.path,
      headers: writeHeaders(write),
      body: JSON.stringify(mapping.opportunityBody(input, write.externalReference)),
    }),

    async send(input, write, context): Promise<Outcome<WriteResult<'opportunity'>>> {
      const sent = await outcomeOf(() => client.write(createOpportunity.preview(input, write), context))
      if (sent.ok) {
        const record = mapping.opportunity(sent.value.data)
        const key = fieldText(sent.value.data, config.fields.opportunity.id)
        if (record.ok) {
          return ok({ key: record.value.key, record: record.value, reached: 'effective' })
        }
        if (key !== undefined) return ok({ key, reached: 'effective' })
        // It was made, but we were not told its key: it can be found by its reference.
        return fail({ kind: 'unknown-outcome', detail: `POST ${opportunities.path}: no key in the answer` })
      }
      const { failure } = sent
      if (failure.kind !== 'rejected' || failure.code !== CODE_DUPLICATE_REFERENCE) return sent
      // The reference stands for this one write: what has it is what an earlier attempt made.
      const key = failure.details?.opportunityId
      return typeof key === 'string' ? ok({ key, reached: 'effective' }) : sent
    },

    async verify(_input, write, context): Promise<Outcome<Verdict<'opportunity'>>> {
      const found = await findByReference(write.externalReference, context)
      if (!found.ok) return found
      if (found.value) {
        return ok({
          effect: 'done',
          result: { key: found.value.key, record: found.value, reached: 'effective' },
        })
      }
      const evidence = config.uniqueExternalRef
        ? 'no opportunity has the reference, and the CRM takes each reference only once'
        : 'no opportunity has the reference yet'
      return ok({ effect: 'none', proven: config.uniqueExternalRef, evidence })
    },
  }

  /* ---- being told ---- */

  const webhook = (secret: string): WebhookReceiver => ({
    receive(request, now) {
      const signature = verifyWebhook(secret, request, now)
      if (!signature.ok) return signature
      let body: unknown
      try {
        body = parseJson(request.body.toString('utf8'), 'webhook')
      } catch (error) {
        if (!(error instanceof SourceError)) throw error
        return { ok: false, reason: 'malformed', detail: failureText(error.failure) }
      }
      const notifications = readEvent(body, signature.id, config.utcOffset)
      return typeof notifications === 'string'
        ? { ok: false, reason: 'malformed', detail: notifications }
        : { ok: true, notifications }
    },
  })

  const customerPort: RecordPort<'customer'> = { ...readingPort(customers), update: updateCustomer }
  const opportunityPort: RecordPort<'opportunity'> = {
    ...readingPort(opportunities),
    lookups: { byCustomer },
    create: createOpportunity,
  }

  return {
    kind: 'rest-crm',
    ports: { customer: customerPort, opportunity: opportunityPort },
    health: (context) =>
      outcomeOf(async () => {
        await client.getPage(customers.path, { limit: '1' }, context)
        return { detail: `REST CRM at ${new URL(config.baseUrl).host}: customers can be read` }
      }),
    ...(config.webhook ? { webhook: webhook(config.webhook.secret) } : {}),
    async close() {
      client.close()
    },
  }
}

/** Query parameters; those without a value are left out. */
const queryOf = (parameters: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter((entry): entry is [string, string] => !!entry[1]))

const pathOf = (source: { readonly path: string }, key: Key): string =>
  `${source.path}/${encodeURIComponent(key)}`

const noSuchCustomer = (key: Key): Outcome<never> =>
  fail({ kind: 'not-found', message: `There is no customer "${key}".` })

/**
 * Reads batch by batch, each distinct key once.
 * @param absent What a key has that the CRM did not mention.
 * @param read May throw SourceError: then every key of the batch fails alike.
 * @returns One outcome per key, same order.
 */
async function inBatches<V>(
  keys: readonly Key[],
  limit: number,
  absent: V,
  read: (batch: readonly Key[]) => Promise<ReadonlyMap<Key, Outcome<V>>>,
): Promise<Outcome<V>[]> {
  const outcomes = new Map<Key, Outcome<V>>()
  let refused: Outcome<never> | undefined
  for (const batch of batchesOf(keys, limit)) {
    // More attempts with refused credentials would only lock the account.
    const found = refused ?? (await outcomeOf(() => read(batch)))
    for (const key of batch) outcomes.set(key, found.ok ? (found.value.get(key) ?? ok(absent)) : found)
    if (!found.ok && found.failure.kind === 'unauthorized') refused = found
  }
  return keys.map((key) => outcomes.get(key) ?? ok(absent))
}

/** A CRM that answers every page with the same one would be asked for ever. */
const standsStill = (path: string): SourceError =>
  new SourceError({
    kind: 'invalid-response',
    detail: `GET ${path}: the next page is the same again; does this CRM know the parameter of the setting "paging"?`,
  })

/** Commas separate keys in a list and dots climb in a path: no record of the contract has such a key. */
const isAddressable = (key: Key): boolean =>
  /^[^,\s]{1,200}$/u.test(key) && !/^\.{1,2}$/.test(key) && key.isWellFormed()

/** Longer addresses are refused by servers and proxies, often without a word. */
const MAX_LIST_LENGTH = 6_000

/** Each distinct key that can exist once, cut to what one call may carry. */
function batchesOf(keys: readonly Key[], limit: number): Key[][] {
  const batches: Key[][] = []
  let length = 0
  for (const key of new Set(keys)) {
    if (!isAddressable(key)) continue
    const batch = batches.at(-1)
    const more = encodeURIComponent(key).length + '%2C'.length
    if (batch && batch.length < limit && length + more <= MAX_LIST_LENGTH) {
      batch.push(key)
      length += more
    } else {
      batches.push([key])
      length = more
    }
  }
  return batches
}
