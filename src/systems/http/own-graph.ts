/** Record types that only this system has, and the fields that it adds to the graph. */
import { fail, type Outcome, ok } from '../failure.ts'
import type { OwnField, OwnGraph, OwnRecord } from '../port.ts'
import type { Key } from '../records.ts'
import type { FieldSourceConfig, HttpConfig } from './config.ts'
import { compileExpression, ExpressionError, listOf, textOf } from './expressions.ts'
import { ownMapping } from './mapping.ts'
import { list, lookup, readMany, type Tools } from './source.ts'

export function ownGraph(config: NonNullable<HttpConfig['graph']>, tools: Tools): OwnGraph {
  const fieldOf = (source: FieldSourceConfig): OwnField => {
    if (source.get === 'list') return { get: 'list', type: source.type }
    const expression = source.key === undefined ? undefined : compileExpression(source.key, tools.vocabulary)
    const keys = async (of: unknown): Promise<Outcome<readonly Key[]>> => {
      try {
        return ok(listOf(await expression?.evaluate(of)).flatMap((key) => textOf(key) ?? []))
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error
        return fail({ kind: 'invalid-response', detail: `${expression?.source}: ${error.message}` })
      }
    }
    switch (source.get) {
      case 'record':
        return { get: 'record', type: source.type, keys }
      case 'lookup': {
        const { type, by, system } = source
        return { get: 'lookup', type, by, ...(system === undefined ? { keys } : { system }) }
      }
      case 'entity':
        return {
          get: 'entity',
          entity: source.entity,
          keys,
          ...(source.system === undefined ? {} : { system: source.system }),
        }
    }
  }

  return {
    sdl: config.sdl,
    types: Object.fromEntries(
      Object.entries(config.types).map(([name, type]) => {
        const mapping = ownMapping(name, type.map, tools.vocabulary)
        const read = type.list && list<OwnRecord>(type.list, mapping, tools)
        return [
          name,
          {
            fields: Object.keys(type.map),
            batchLimit: type.read.batchLimit,
            readMany: readMany<OwnRecord>(type.read, mapping, tools),
            lookups: Object.fromEntries(
              Object.entries(type.lookups).map(([by, one]) => [
                by,
                { batchLimit: one.batchLimit, read: lookup<OwnRecord>(one, mapping, tools) },
              ]),
            ),
            ...(read
              ? {
                  list: ({ first, after, filter }, context) =>
                    read(first, after, pick(filter ?? {}, type.list?.filters ?? []), context),
                }
              : {}),
          } satisfies OwnGraph['types'][string],
        ]
      }),
    ),
    fields: Object.fromEntries(
      Object.entries(config.fields).map(([name, source]) => [name, fieldOf(source)]),
    ),
  }
}

/** What the request may see of a field's arguments. */
const pick = (args: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(
    names.flatMap((name) => (args[name] === undefined || args[name] === null ? [] : [[name, args[name]]])),
  )
