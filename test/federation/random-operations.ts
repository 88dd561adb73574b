/** Operations that nobody would write: random, valid, repeatable. */
import {
  type GraphQLCompositeType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isNonNullType,
  isObjectType,
} from 'graphql'

export type Random = () => number

/** mulberry32 */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export interface RandomOperation {
  readonly query: string
  readonly variables: Record<string, unknown>
}

/** May be invalid where fields of one key do not merge: the caller validates. */
export function randomOperation(
  schema: GraphQLSchema,
  random: Random,
  argumentOf: (name: string) => string | undefined,
): RandomOperation {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T
  const fragments: string[] = []
  const aliases = [
    'id',
    'upc',
    'price',
    'weight',
    'a',
    'b',
    'constructor',
    'sku',
    'name',
    'c',
    'd',
    'e',
    'f',
    'weight__client',
  ]

  const condition = (): string => {
    const dice = random()
    if (dice < 0.06) return ` @include(if: $${pick(['x', 'y'])})`
    if (dice < 0.12) return ` @skip(if: $${pick(['x', 'y'])})`
    return ''
  }
  const field = (type: GraphQLCompositeType, depth: number): string => {
    const fields = 'getFields' in type ? Object.values(type.getFields()) : []
    const leaves = fields.filter((f) => !isCompositeType(getNamedType(f.type)))
    const choice = depth <= 0 ? pick(leaves) : pick(fields)
    const alias = random() < 0.12 ? `${pick(aliases)}: ` : ''
    if (!choice || random() < 0.12) return `${alias}__typename${condition()}`
    const args = choice.args.flatMap((arg) => {
      if (!isNonNullType(arg.type) && random() < 0.5) return []
      const named = getNamedType(arg.type)
      const value = isEnumType(named) ? pick(named.getValues()).name : argumentOf(arg.name)
      return value === undefined ? [] : [`${arg.name}: ${value}`]
    })
    const named = getNamedType(choice.type)
    const nested = isCompositeType(named) ? ` ${selection(named, depth - 1)}` : ''
    return `${alias}${choice.name}${args.length > 0 ? `(${args.join(', ')})` : ''}${condition()}${nested}`
  }
  const selection = (type: GraphQLCompositeType, depth: number): string => {
    const parts: string[] = []
    const count = 1 + Math.floor(random() * 4)
    for (let i = 0; i < count; i++) {
      const dice = random()
      if (isAbstractType(type) && (dice < 0.6 || !('getFields' in type))) {
        const possible = schema.getPossibleTypes(type)
        const wider = possible.flatMap((p) => (isObjectType(p) ? p.getInterfaces() : []))
        const condition = pick([...possible, ...wider])
        parts.push(fragment(condition, depth))
      } else if (dice < 0.1) parts.push(fragment(type, depth))
      else if ('getFields' in type) parts.push(field(type, depth))
    }
    if (parts.length === 0) parts.push('__typename')
    return `{ ${parts.join(' ')} }`
  }
  const fragment = (type: GraphQLCompositeType, depth: number): string => {
    const body = selection(type, depth)
    if (random() < 0.7) return `... on ${type.name}${condition()} ${body}`
    const name = `F${fragments.length}`
    fragments.push(`fragment ${name} on ${type.name} ${body}`)
    return `...${name}${condition()}`
  }
  const query = schema.getQueryType()
  if (!query) throw new Error('no query type')
  const body = selection(query, 2 + Math.floor(random() * 4))
  return {
    query: `query Q($x: Boolean!, $y: Boolean = true) ${body}\n${fragments.join('\n')}`,
    variables: { x: random() < 0.5, ...(random() < 0.5 ? { y: random() < 0.5 } : {}) },
  }
}
