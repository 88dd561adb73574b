/**
 * The planner files what it knows of an object under response keys, the client's and those it adds itself (key
 * fields, required fields), and keeps one value per key. That is wrong when a client calls something else by such a
 * name: `{ product { upc: name } }`, or `price(currency: "EUR")` where `@requires` needs `price` with another
 * argument. So such fields travel under a key of their own, and get the client's back in the answer.
 */
import { type FieldNode, Kind, print, type SelectionSetNode } from 'graphql'

export interface TravelKeys {
  /** The field as it is planned. */
  rename(field: FieldNode): FieldNode
  /** Travelling key to the client's key, for those that differ. */
  readonly clientKeys: ReadonlyMap<string, string>
}

/**
 * @param sets Every selection set of one operation and its fragments.
 * @param reserved Keys that the planner may use on its own.
 */
export function travelKeys(sets: readonly SelectionSetNode[], reserved: ReadonlySet<string>): TravelKeys {
  const owners = new Map<string, string>()
  const taken = new Set<string>(reserved)
  const all: FieldNode[] = []
  const collect = (set: SelectionSetNode): void => {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) all.push(selection)
      if (selection.kind !== Kind.FRAGMENT_SPREAD && selection.selectionSet) collect(selection.selectionSet)
    }
  }
  for (const set of sets) collect(set)
  for (const field of all) taken.add(keyOf(field))

  const clientKeys = new Map<string, string>()
  const travelling = new Map<string, string>()
  for (const field of all) {
    const key = keyOf(field)
    const what = signature(field)
    // Fields on different types may share a key and differ in everything else; only the first can keep it.
    if (!owners.has(key) && !(reserved.has(key) && what !== key)) owners.set(key, what)
    if (owners.get(key) === what || travelling.has(`${key} ${what}`)) continue
    let alias = key.startsWith('__') ? `client${key}` : `${key}__client`
    for (let n = 1; taken.has(alias); n++) alias = `${key.replace(/^__/, '')}__client${n}`
    taken.add(alias)
    clientKeys.set(alias, key)
    travelling.set(`${key} ${what}`, alias)
  }

  return {
    clientKeys,
    rename(field) {
      const alias = travelling.get(`${keyOf(field)} ${signature(field)}`)
      return alias === undefined ? field : { ...field, alias: { kind: Kind.NAME, value: alias } }
    },
  }
}

const keyOf = (field: FieldNode): string => field.alias?.value ?? field.name.value

/** What a field asks for: its name and arguments. Equal to the key for a plain field. */
function signature(field: FieldNode): string {
  const parts = (field.arguments ?? []).map((argument) => print(argument)).sort()
  return parts.length === 0 ? field.name.value : `${field.name.value}(${parts.join(',')})`
}
