/** Operations that nobody would write: random, valid for the most part, repeatable. */
import {
  type GraphQLArgument,
  type GraphQLCompositeType,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql'
import { type Dice, diceOf } from './dice.ts'

export interface RandomOperation {
  readonly query: string
  readonly variables: Record<string, unknown>
}

const aliases = [
  'id',
  'upc',
  'sku',
  'a',
  'b',
  'constructor',
  'f0',
  'f1',
  'title',
  'code',
  '__typename',
  'f0__client',
  'size',
  'representations',
]

export interface OperationOptions {
  readonly root?: 'query' | 'mutation'
  /** The text of a value for an argument, where any will not do. */
  readonly argumentOf?: (name: string) => string | undefined
}

/** May be invalid where fields of one key do not merge: the caller validates. */
export function randomOperation(
  schema: GraphQLSchema,
  seed: number,
  { root = 'query', argumentOf = () => undefined }: OperationOptions = {},
): RandomOperation {
  const dice = diceOf(seed)
  const fragments: string[] = []
  const definitions = ['$x: Boolean!', '$y: Boolean = true']
  const variables: Record<string, unknown> = { x: dice.chance(0.5) }
  if (dice.chance(0.5)) variables.y = dice.chance(0.5)

  const condition = (): string => {
    if (dice.chance(0.05)) return ` @include(if: $${dice.pick(['x', 'y'])})`
    if (dice.chance(0.05)) return ` @skip(if: $${dice.pick(['x', 'y'])})`
    return dice.chance(0.01) ? ` @include(if: ${dice.chance(0.5)})` : ''
  }
  /** A value or the name of a variable that has one. */
  const argument = (arg: GraphQLArgument): string => {
    const given = argumentOf(arg.name)
    if (given !== undefined) return ` ${arg.name}: ${given}`
    const value = inputValue(dice, arg.type)
    if (dice.chance(0.6)) return ` ${arg.name}: ${literal(value, arg.type)}`
    const name =
      dice.chance(0.05) && !definitions.some((d) => d.startsWith('$representations:'))
        ? 'representations'
        : `v${definitions.length}`
    const isRequired = isNonNullType(arg.type) && arg.defaultValue === undefined
    const withDefault = dice.chance(0.3) && value !== null
    definitions.push(
      `$${name}: ${isRequired || dice.chance(0.5) ? arg.type : `${arg.type}`.replace(/!$/, '')}${withDefault ? ` = ${literal(value, arg.type)}` : ''}`,
    )
    const isGiven = !withDefault || dice.chance(0.5)
    if (isGiven && (value !== null || dice.chance(0.8))) variables[name] = value
    return ` ${arg.name}: $${name}`
  }
  const field = (type: GraphQLCompositeType, depth: number): string => {
    const fields = 'getFields' in type ? Object.values(type.getFields()) : []
    const leaves = fields.filter((f) => !isCompositeType(getNamedType(f.type)))
    const choice = depth <= 0 ? dice.pick(leaves) : dice.pick(fields)
    const alias = dice.chance(0.12) ? `${dice.pick(aliases)}: ` : ''
    if (!choice || dice.chance(0.1)) return `${alias}__typename${condition()}`
    const args = choice.args
      .filter((arg) => (isNonNullType(arg.type) && arg.defaultValue === undefined) || dice.chance(0.6))
      .map(argument)
    const named = getNamedType(choice.type)
    const nested = isCompositeType(named) ? ` ${selection(named, depth - 1)}` : ''
    return `${alias}${choice.name}${args.length > 0 ? `(${args.join(',')} )` : ''}${condition()}${nested}`
  }
  const selection = (type: GraphQLCompositeType, depth: number): string => {
    const parts: string[] = []
    if (depth < -1) return '{ __typename }'
    for (let n = dice.below(type === schema.getMutationType() ? 3 : 4); n >= 0; n--) {
      if (isAbstractType(type) && (dice.chance(0.6) || !('getFields' in type))) {
        const possible = schema.getPossibleTypes(type)
        const wider = possible.flatMap((p) => (isObjectType(p) ? p.getInterfaces() : []))
        if (possible.length > 0) parts.push(fragment(dice.pick([...possible, ...wider, type]), depth))
      } else if (dice.chance(0.1)) parts.push(fragment(dice.chance(0.3) ? widened(type) : type, depth))
      else if ('getFields' in type) parts.push(field(type, depth))
    }
    if (parts.length === 0) parts.push('__typename')
    return `{ ${parts.join(' ')} }`
  }
  const widened = (type: GraphQLCompositeType): GraphQLCompositeType => {
    const wider = Object.values(schema.getTypeMap()).filter(
      (other) => isAbstractType(other) && isObjectType(type) && schema.isSubType(other, type),
    )
    return wider.length > 0 ? (dice.pick(wider) as GraphQLCompositeType) : type
  }
  const fragment = (type: GraphQLCompositeType, depth: number): string => {
    const body = selection(type, depth - 0.4)
    if (dice.chance(0.1)) return `...${condition()} { ... on ${type.name} ${body} }`
    if (dice.chance(0.7)) return `... on ${type.name}${condition()} ${body}`
    const name = `F${fragments.length}`
    fragments.push(`fragment ${name} on ${type.name} ${body}`)
    return `...${name}${condition()}`
  }
  const type = root === 'query' ? schema.getQueryType() : schema.getMutationType()
  if (!type) throw new Error(`no ${root} type`)
  const body = selection(type, 1 + dice.below(4))
  return { query: `${root} Q(${definitions.join(', ')}) ${body}\n${fragments.join('\n')}`, variables }
}

/** As a client sends it in variables. */
function inputValue(dice: Dice, type: GraphQLInputType, depth = 0): unknown {
  if (isNonNullType(type)) return inputValue(dice, type.ofType, depth) ?? inputValue(dice, type, depth)
  if (dice.chance(0.1)) return null
  if (isListType(type)) {
    return Array.from({ length: dice.below(3) }, () => inputValue(dice, type.ofType, depth))
  }
  if (isEnumType(type)) return dice.pick(type.getValues()).name
  if (isInputObjectType(type)) {
    const chosen = Object.values(type.getFields()).filter(
      (field) =>
        (isNonNullType(field.type) && field.defaultValue === undefined) || dice.chance(0.4 / (depth + 1)),
    )
    return Object.fromEntries(chosen.map(({ name, type: of }) => [name, inputValue(dice, of, depth + 1)]))
  }
  switch (type.name) {
    case 'Int':
      return dice.below(10)
    case 'Float':
      return dice.below(10) / 4
    case 'Boolean':
      return dice.chance(0.5)
    case 'String':
    case 'ID':
      return dice.pick(['', 'x', 'ü"\\', '1'])
    default:
      return dice.pick([1, 'j', [1, null], { a: { b: [] } }])
  }
}

function literal(value: unknown, type: GraphQLInputType): string {
  if (value === null) return 'null'
  if (isNonNullType(type)) return literal(value, type.ofType)
  if (Array.isArray(value) && isListType(type))
    return `[${value.map((item) => literal(item, type.ofType)).join(', ')}]`
  if (isInputObjectType(type)) {
    const fields = type.getFields()
    const parts = Object.entries(value as object).map(
      ([name, item]) => `${name}: ${literal(item, fields[name]?.type as GraphQLInputType)}`,
    )
    return `{ ${parts.join(', ')} }`
  }
  if (isEnumType(type)) return String(value)
  return untyped(value)
}

function untyped(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(untyped).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value)
      .map(([name, item]) => `${name}: ${untyped(item)}`)
      .join(', ')} }`
  }
  return JSON.stringify(value)
}
