/** Mutations of own types: the same path as all other writes, with the client's ids turned into keys of systems. */
import type { OwnInput, OwnMutation } from '../../src/systems/port.ts'
import type { OwnRecord } from '../../src/systems/records.ts'
import type { System, Systems } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { given, type How, write } from '../kit/writes.ts'
import { keysIn } from './entities.ts'
import { keyFrom } from './schema.ts'

interface MutationArguments extends How {
  readonly input: OwnInput & { readonly idempotencyKey: string }
}

/** @param keyFields Of the type's `@key`: by them an input names what it changes. */
export function mutationOf(
  rooms: Rooms,
  system: System,
  mutation: string,
  { type, action, ids }: OwnMutation,
  keyFields: readonly string[],
) {
  return async (
    _: unknown,
    { input, ...how }: MutationArguments,
    context: SubgraphContext,
  ): Promise<{ readonly writeback: { readonly id: string }; readonly record: OwnRecord | null }> => {
    const { idempotencyKey: _key, ...said } = input
    const meant = given((await withKeys(rooms.systems, context, system, ids, said)) as OwnInput)
    const { writeback, record } = await write(rooms, context, {
      mutation,
      input,
      system,
      record: type,
      action,
      adapterInput: action === 'create' ? meant : changeOf(action, meant, keyFields),
      ...how,
    })
    return { writeback, record: record?.record ?? null }
  }
}

/** What an update or an action is given: which record, and what is said of it. @throws BAD_USER_INPUT */
function changeOf(action: string, meant: OwnInput, keyFields: readonly string[]): object {
  const missing = keyFields.find((name) => String(meant[name] ?? '') === '')
  if (missing !== undefined) throw badInput(`"${missing}" must say which record it is.`, missing)
  const { expectedVersion, ...rest } = meant
  const said = Object.fromEntries(Object.entries(rest).filter(([name]) => !keyFields.includes(name)))
  const about = {
    key: keyFrom(keyFields, meant),
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
  }
  if (action !== 'update') return { ...about, input: said }
  if (Object.keys(said).length === 0)
    throw badInput('Nothing is to be changed: give a field besides the key.')
  return { ...about, changes: said }
}

/** The same with the key in a system in the place of each id. @throws BAD_USER_INPUT */
async function withKeys(
  systems: Systems,
  context: SubgraphContext,
  system: System,
  ids: OwnMutation['ids'],
  said: unknown,
): Promise<unknown> {
  const translate = async (value: unknown, path: readonly string[], place: string): Promise<unknown> => {
    if (Array.isArray(value))
      return Promise.all(value.map((one, index) => translate(one, path, `${place}[${index}]`)))
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).map(async ([name, one]) => [
        name,
        await translate(one, [...path, name], place === '' ? name : `${place}.${name}`),
      ])
      return Object.fromEntries(await Promise.all(entries))
    }
    const reference = ids[path.join('.')]
    if (!reference || value === null || value === undefined) return value
    const of = reference.system ?? system.id
    const [key, ...others] = await keysIn(systems, context, reference.entity, value, of)
    const what = `"${place}": this ${reference.entity.toLowerCase()}`
    if (key === undefined) throw badInput(`${what} is not known in "${of}".`, place)
    // One of several accounts, taken at random, would be a wrong write.
    if (others.length > 0)
      throw badInput(`${what} has several keys in "${of}": ${[key, ...others].join(', ')}.`, place)
    return key
  }
  return translate(said, [], '')
}
