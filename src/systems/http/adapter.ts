/** A system that is described by configuration alone: record types that the gateway knows, and types of its own. */

import { fail, type Outcome, outcomeOf } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import type { CallContext, CreateAdapter, LookupName, Ports } from '../port.ts'
import type { Key, OwnType, RecordType, RecordTypes } from '../records.ts'
import { checkConfiguration } from './check.ts'
import { createSystemClient } from './client.ts'
import { eventNameOf, type HttpConfig, type OwnTypeConfig, type RecordConfig } from './config.ts'
import { compileExpression, textOf, type Vocabulary } from './expressions.ts'
import { type MappedType, type Mapping, ownMapping, recordMapping } from './mapping.ts'
import { ownGraph } from './own-graph.ts'
import { createPages } from './paging.ts'
import { changes, list, lookup, readMany, type Tools } from './source.ts'
import { createWebhook } from './webhook.ts'
import { createAction, namedAction, updateAction } from './writes.ts'

export const createHttpSystem: CreateAdapter<HttpConfig> = (config, { log, timeoutMs }) => {
  const vocabulary: Vocabulary = { codes: config.codes, clock: createClock(config.timeZone) }
  const client = createSystemClient(config, vocabulary, timeoutMs, log)
  const tools: Tools = { client, vocabulary, log, concurrency: config.maxConnections }
  const records = Object.entries(config.records).filter(
    (entry): entry is [MappedType, RecordConfig] => !!entry[1],
  )
  const ownTypes = Object.entries(config.graph?.types ?? {}) as [OwnType, OwnTypeConfig][]
  const held = [
    ...records.map(([type, one]) => {
      const { map, customFields } = one as {
        map: Record<string, string>
        customFields: Record<string, string>
      }
      const mapping = recordMapping(type, { map, customFields }, vocabulary) as Mapping<never>
      return { type: type as RecordType, config: one, mapping, port: portOf(type, one, mapping, tools) }
    }),
    ...ownTypes.map(([type, one]) => {
      const mapping = ownMapping(type, one.map, vocabulary) as Mapping<never>
      const eventName = one.event ?? eventNameOf(type)
      return {
        type: type as RecordType,
        config: one,
        mapping,
        port: { ...portOf(type, one, mapping, tools), eventName },
      }
    }),
  ]

  const health = async (context: CallContext) => {
    const host = new URL(config.baseUrl).host
    if (config.health) {
      const answer = await client.send(
        client.operation(config.health.request),
        {},
        { ...context, writes: false },
      )
      const detail =
        config.health.detail &&
        textOf(await client.read(compileExpression(config.health.detail, vocabulary), answer))
      return { detail: detail ?? `${host} answers` }
    }
    for (const { type, config: one } of held) {
      if (!one.list) continue
      const pages = createPages(client, one.list, vocabulary)
      await pages.read(pages.first, {}, { ...context, writes: false })
      return { detail: `${host}: ${type} can be listed` }
    }
    await client.connect(context)
    return {
      detail: `${host}: credentials are there; whether they are right is not known without a "health" request`,
    }
  }

  return {
    kind: 'http',
    ports: Object.fromEntries(held.map(({ type, port }) => [type, port])) as Ports,
    ...(config.graph ? { graph: ownGraph(config.graph, tools) } : {}),
    ...(config.webhook
      ? {
          webhook: createWebhook(
            config.webhook,
            held.map(({ type }) => type),
            vocabulary,
          ),
        }
      : {}),
    health: (context) => outcomeOf(() => health(context)),
    checkConfiguration: checkConfiguration(
      held.map(({ port, ...one }) => ({ ...one, readMany: port.readMany })),
      tools,
    ),
    connect: (context) => outcomeOf(() => client.connect(context)),
    close: () => client.close(),
  }
}

/** The configuration has been checked: what a type cannot do is not in it. */
function portOf<T extends RecordType>(
  type: T,
  config: RecordConfig | OwnTypeConfig,
  mapping: Mapping<RecordTypes[T]>,
  tools: Tools,
) {
  type R = RecordTypes[T]
  const read = readMany(config.read, mapping, tools)
  const readOne = async (key: Key, context: CallContext): Promise<Outcome<R | null>> => {
    const [outcome] = await read([key], context)
    return outcome ?? fail({ kind: 'not-found', message: `There is no record "${key}".` })
  }
  const lookups = Object.fromEntries(
    Object.entries(config.lookups).flatMap(([by, one]) =>
      one ? [[by as LookupName, { batchLimit: one.batchLimit, read: lookup(one, mapping, tools) }]] : [],
    ),
  )
  return {
    batchLimit: config.read.batchLimit,
    readMany: read,
    lookups,
    ...(config.list ? { list: listPort(type, config.list, list(config.list, mapping, tools)) } : {}),
    ...(config.changes ? { changes: changes(config.changes, mapping, tools) } : {}),
    ...(config.create && config.find
      ? { create: createAction<object, T>({ create: config.create, find: config.find }, mapping, tools) }
      : {}),
    ...(config.update ? { update: updateAction<object, T>(config.update, mapping, readOne, tools) } : {}),
    actions: Object.fromEntries(
      Object.entries(config.actions).map(([name, one]) => [name, namedAction<T>(name, one, readOne, tools)]),
    ),
  }
}

interface ListArguments {
  readonly first: number
  readonly after?: string | undefined
  readonly filter?: Readonly<Record<string, unknown>> | undefined
}

const listPort =
  <R>(type: string, { filters }: { readonly filters: readonly string[] }, read: ReturnType<typeof list<R>>) =>
  async ({ first, after, filter = {} }: ListArguments, context: CallContext) => {
    const given = Object.entries(filter).filter(
      ([, value]) => value !== undefined && value !== null && value !== '',
    )
    const unknown = given.find(([name]) => !filters.includes(name))
    // A filter that is overlooked would give a list of other records than were asked for.
    if (unknown)
      return fail({
        kind: 'unsupported',
        message: `This system cannot list ${type} records by ${unknown[0]}.`,
      })
    return read(first, after, Object.fromEntries(given), context)
  }
