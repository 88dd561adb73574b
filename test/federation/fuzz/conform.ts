/** Whether data can be an answer to an operation at all: the keys asked for, in order, with values of their types. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLIncludeDirective,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getDirectiveValues,
  getVariableValues,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql'

/** @returns Where and why not; undefined where it can. */
export function misfit(
  schema: GraphQLSchema,
  document: DocumentNode,
  inputs: Record<string, unknown>,
  data: unknown,
): string | undefined {
  const fragments = new Map<string, FragmentDefinitionNode>()
  let operation: OperationDefinitionNode | undefined
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
    else if (definition.kind === Kind.OPERATION_DEFINITION) operation = definition
  }
  const root = operation && schema.getRootType(operation.operation)
  if (!operation || !root) return 'no operation'
  const variables = getVariableValues(schema, operation.variableDefinitions ?? [], inputs).coerced ?? {}

  const collect = (type: GraphQLObjectType, sets: readonly SelectionSetNode[]) => {
    const fields = new Map<string, { name: string; sets: SelectionSetNode[] }>()
    const visit = (set: SelectionSetNode): void => {
      for (const node of set.selections) {
        if (getDirectiveValues(GraphQLSkipDirective, node, variables)?.if === true) continue
        if (getDirectiveValues(GraphQLIncludeDirective, node, variables)?.if === false) continue
        if (node.kind === Kind.FIELD) {
          const key = node.alias?.value ?? node.name.value
          const field = fields.get(key) ?? { name: node.name.value, sets: [] }
          if (node.selectionSet) field.sets.push(node.selectionSet)
          fields.set(key, field)
          continue
        }
        const fragment = node.kind === Kind.INLINE_FRAGMENT ? node : fragments.get(node.name.value)
        const condition = fragment?.typeCondition && schema.getType(fragment.typeCondition.name.value)
        const applies =
          !condition || condition === type || (isAbstractType(condition) && schema.isSubType(condition, type))
        if (fragment && applies) visit(fragment.selectionSet)
      }
    }
    for (const set of sets) visit(set)
    return fields
  }
  const object = (
    type: GraphQLObjectType,
    sets: readonly SelectionSetNode[],
    value: object,
    at: string,
  ): string | undefined => {
    const fields = collect(type, sets)
    const [wanted, found] = [[...fields.keys()].join(), Object.keys(value).join()]
    if (wanted !== found) return `${at} has ${found} in place of ${wanted}`
    for (const [key, { name, sets: nested }] of fields) {
      const item: unknown = (value as Record<string, unknown>)[key]
      if (name === '__typename') {
        if (item !== type.name) return `${at}.${key} is ${item} in place of ${type.name}`
        continue
      }
      const wrong = anything(type.getFields()[name]?.type, nested, item, `${at}.${key}`)
      if (wrong) return wrong
    }
    return undefined
  }
  const anything = (
    type: GraphQLOutputType | undefined,
    sets: readonly SelectionSetNode[],
    value: unknown,
    at: string,
  ): string | undefined => {
    if (!type) return `${at} is no field`
    if (isNonNullType(type)) return value === null ? `${at} is null` : anything(type.ofType, sets, value, at)
    if (value === null) return undefined
    if (isListType(type)) {
      if (!Array.isArray(value)) return `${at} is no list`
      return value.map((item, i) => anything(type.ofType, sets, item, `${at}.${i}`)).find((wrong) => wrong)
    }
    if (isLeafType(type))
      return isOf(type, value) ? undefined : `${at} is ${JSON.stringify(value)}, no ${type}`
    if (typeof value !== 'object' || Array.isArray(value) || value === null) return `${at} is no object`
    const possible: readonly GraphQLObjectType[] = isObjectType(type) ? [type] : schema.getPossibleTypes(type)
    const wrong = possible.map((one) => object(one, sets, value, at))
    return wrong.includes(undefined) ? undefined : (wrong[0] ?? `${at} has no type`)
  }
  return data === null || data === undefined ? undefined : object(root, [operation.selectionSet], data, '')
}

function isOf(type: GraphQLOutputType, value: unknown): boolean {
  if (isEnumType(type)) return typeof value === 'string' && !!type.getValue(value)
  switch (`${type}`) {
    case 'Int':
      return typeof value === 'number' && (value | 0) === value
    case 'Float':
      return typeof value === 'number'
    case 'String':
    case 'ID':
      return typeof value === 'string'
    case 'Boolean':
      return typeof value === 'boolean'
    default:
      return true
  }
}
