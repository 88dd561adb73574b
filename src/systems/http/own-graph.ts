/** Record types that only this system has, and the fields that it adds to the graph. */
import { fail, type Outcome, ok } from '../failure.ts'
import type { OwnField, OwnGraph, OwnMutation } from '../port.ts'
import type { Key } from '../records.ts'
import type { FieldSourceConfig, HttpConfig } from './config.ts'
import { compileExpression, ExpressionError, listOf, textOf } from './expressions.ts'
import type { Tools } from './source.ts'

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
      Object.entries(config.types).map(([name, { map, list }]) => [
        name,
        { fields: Object.keys(map), filters: list?.filters ?? [] },
      ]),
    ),
    fields: Object.fromEntries(
      Object.entries(config.fields).map(([name, source]) => [name, fieldOf(source)]),
    ),
    mutations: Object.fromEntries(
      Object.entries(config.mutations).map(([field, { type, action, ids }]) => [
        field,
        { type, action, ids } satisfies OwnMutation,
      ]),
    ),
    subscriptions: config.subscriptions,
  }
}
