/**
 * From a client's document to the operation that is planned: one operation, only its fragments, and no
 * conditions left in it.
 *
 * `@skip` and `@include` are decided before planning. Each combination of the booleans that an operation really
 * uses is planned as an operation of its own, so a skipped field never costs a fetch and nothing downstream has to
 * know that conditions exist. The plan cache bounds how many combinations are kept.
 */
import {
  type DirectiveNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
  visit,
} from 'graphql'
import { type TravelKeys, travelKeys } from './client-keys.ts'

/** One operation of a document with the fragments it reaches. */
export interface SelectedOperation {
  readonly definition: OperationDefinitionNode
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>
  /** Variables that decide `@skip` or `@include` anywhere in the operation, sorted. */
  readonly conditionVariables: readonly string[]
}

/**
 * @param operationName An empty one is none (GraphQL over HTTP, GET).
 * @throws GraphQLError as graphql-js words it, when the name is missing or unknown.
 */
export function selectOperation(
  document: DocumentNode,
  operationName: string | null | undefined,
): SelectedOperation {
  let definition: OperationDefinitionNode | undefined
  const all = new Map<string, FragmentDefinitionNode>()
  for (const node of document.definitions) {
    if (node.kind === Kind.FRAGMENT_DEFINITION) all.set(node.name.value, node)
    else if (node.kind === Kind.OPERATION_DEFINITION) {
      if (!operationName) {
        if (definition) {
          throw unresolved('Must provide operation name if query contains multiple operations.')
        }
        definition = node
      } else if (node.name?.value === operationName) definition = node
    }
  }
  if (!definition) {
    throw unresolved(
      operationName ? `Unknown operation named "${operationName}".` : 'Must provide an operation.',
    )
  }

  const fragments = new Map<string, FragmentDefinitionNode>()
  const conditionVariables = new Set<string>()
  const reach = (node: OperationDefinitionNode | FragmentDefinitionNode): void => {
    visit(node, {
      FragmentSpread({ name: { value: name } }) {
        const fragment = all.get(name)
        if (fragment && !fragments.has(name)) {
          fragments.set(name, fragment)
          reach(fragment)
        }
      },
      Directive(directive) {
        const condition = conditionOf(directive)
        if (typeof condition === 'string') conditionVariables.add(condition)
      },
    })
  }
  reach(definition)
  return { definition, fragments, conditionVariables: [...conditionVariables].sort() }
}

const fillerKey = 'nothing__asked'

/** Stands where nothing is left to ask, as a selection must not be empty. */
export const filler: FieldNode = {
  kind: Kind.FIELD,
  alias: { kind: Kind.NAME, value: fillerKey },
  name: { kind: Kind.NAME, value: '__typename' },
}

/** The operation as it is planned: conditions decided, keys that the planner would mix up replaced. */
export interface ConcreteOperation {
  readonly definition: OperationDefinitionNode
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>
  readonly clientKeys: TravelKeys['clientKeys']
  /** Of the `filler`: not in the answer. */
  readonly fillerKey: string
}

/** @param reserved Keys that the planner may use on its own. */
export function decideConditions(
  operation: SelectedOperation,
  variables: Readonly<Record<string, unknown>>,
  reserved: ReadonlySet<string>,
): ConcreteOperation {
  const { definition, fragments } = operation
  const sets = [definition, ...fragments.values()].map(({ selectionSet }) => selectionSet)
  const keys = travelKeys(sets, reserved)

  const keeps = (directive: DirectiveNode): boolean => {
    const condition = conditionOf(directive)
    if (condition === undefined) return true
    const value = typeof condition === 'string' ? variables[condition] === true : condition
    return value === (directive.name.value === 'include')
  }
  const concrete = (set: SelectionSetNode): SelectionSetNode => {
    const selections: SelectionNode[] = []
    for (const selection of set.selections) {
      if (!selection.directives?.every(keeps)) continue
      const directives = selection.directives.filter((d) => conditionOf(d) === undefined)
      if (selection.kind === Kind.FRAGMENT_SPREAD) selections.push({ ...selection, directives })
      else if (selection.kind === Kind.INLINE_FRAGMENT) {
        selections.push({ ...selection, directives, selectionSet: concrete(selection.selectionSet) })
      } else {
        const { selectionSet } = selection
        selections.push({
          ...keys.rename(selection),
          directives,
          ...(selectionSet ? { selectionSet: concrete(selectionSet) } : {}),
        })
      }
    }
    if (selections.length === 0) selections.push(filler)
    return { kind: Kind.SELECTION_SET, selections }
  }
  const clashes = definition.variableDefinitions?.some(
    ({ variable }) => variable.name.value === plannersVariable,
  )
  const settled = <T extends OperationDefinitionNode | FragmentDefinitionNode>(node: T): T => {
    const decided = { ...node, selectionSet: concrete(node.selectionSet) }
    return clashes ? renameVariable(decided) : decided
  }
  return {
    definition: settled(definition),
    fragments: new Map([...fragments].map(([name, fragment]) => [name, settled(fragment)])),
    clientKeys: keys.clientKeys,
    fillerKey,
  }
}

/** Entity fetches have a variable of this name; a client's own must have another. */
const plannersVariable = 'representations'
const renamedVariable = 'representations__client'

const renameVariable = <T extends OperationDefinitionNode | FragmentDefinitionNode>(node: T): T =>
  visit(node, {
    Variable: (variable) =>
      variable.name.value === plannersVariable
        ? { ...variable, name: { kind: Kind.NAME, value: renamedVariable } }
        : undefined,
  })

/** The variables as the planned operation calls them. */
export function travelVariables(variables: Record<string, unknown>): Record<string, unknown> {
  return plannersVariable in variables
    ? { ...variables, [renamedVariable]: variables[plannersVariable] }
    : variables
}

export const documentOf = ({ definition, fragments }: ConcreteOperation): DocumentNode => ({
  kind: Kind.DOCUMENT,
  definitions: [definition, ...fragments.values()],
})

/** Selections after fragments are expanded: what the planner will have to look at. */
export function countSelections({ definition, fragments }: SelectedOperation): number {
  const counted = new Map<string, number>()
  const count = (set: SelectionSetNode): number => {
    let sum = 0
    for (const selection of set.selections) {
      if (selection.kind !== Kind.FRAGMENT_SPREAD) {
        sum += 1 + (selection.selectionSet ? count(selection.selectionSet) : 0)
        continue
      }
      const name = selection.name.value
      let inside = counted.get(name)
      if (inside === undefined) {
        const fragment = fragments.get(name)
        // Until it is known: validation has refused fragments that contain themselves.
        counted.set(name, 0)
        inside = fragment ? count(fragment.selectionSet) : 0
        counted.set(name, inside)
      }
      sum += inside
    }
    return sum
  }
  return count(definition.selectionSet)
}

/** The variable's name or the constant of a `@skip` or `@include`; undefined for every other directive. */
function conditionOf(directive: DirectiveNode): string | boolean | undefined {
  const { value: name } = directive.name
  if (name !== 'skip' && name !== 'include') return undefined
  const value = directive.arguments?.[0]?.value
  if (value?.kind === Kind.VARIABLE) return value.name.value
  return value?.kind === Kind.BOOLEAN ? value.value : undefined
}

/** Under Apollo's code: clients know it. */
const unresolved = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })
