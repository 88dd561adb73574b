/**
 * `{ vehicle { ... on Electric { range } } }`, where a subgraph knows the interface `Vehicle` as an object
 * (`@interfaceObject`): the planner looks for the interface `Electric` in that subgraph too, does not find it, and
 * fails in place of going to a subgraph that knows the types. Of object types it finds its way, so it is told them:
 * `... on Car { ... on Electric { range } } ... on Tram { ... on Electric { range } }`.
 *
 * @see https://github.com/apollographql/router/issues/8127
 */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLSchema,
  getNamedType,
  type InlineFragmentNode,
  isAbstractType,
  isCompositeType,
  isObjectType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql'
import { filler } from './operation.ts'

/** The interfaces that a subgraph knows as objects. */
export function interfaceObjectsOf(supergraph: DocumentNode): ReadonlySet<string> {
  const names = new Set<string>()
  for (const definition of supergraph.definitions) {
    if (definition.kind !== Kind.INTERFACE_TYPE_DEFINITION) continue
    for (const directive of definition.directives ?? []) {
      const isObject = directive.arguments?.some(
        ({ name, value }) => name.value === 'isInterfaceObject' && value.kind === Kind.BOOLEAN && value.value,
      )
      if (isObject) names.add(definition.name.value)
    }
  }
  return names
}

/** @param operation Valid by `schema`. */
export function expandCasts(
  schema: GraphQLSchema,
  interfaceObjects: ReadonlySet<string>,
  operation: DocumentNode,
): DocumentNode {
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of operation.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  const typeNamed = (name: string | undefined): GraphQLCompositeType | undefined => {
    const type = name === undefined ? undefined : schema.getType(name)
    return isCompositeType(type) ? type : undefined
  }

  /** @param settled Whether a fragment around this one has fixed the object type. */
  const expand = (
    { selections }: SelectionSetNode,
    parent: GraphQLCompositeType | undefined,
    settled = isObjectType(parent),
  ): SelectionSetNode => {
    const expanded = selections.flatMap((selection): SelectionNode[] => {
      if (selection.kind === Kind.FIELD) {
        if (!selection.selectionSet) return [selection]
        const field = parent && 'getFields' in parent ? parent.getFields()[selection.name.value] : undefined
        const type = field && getNamedType(field.type)
        return [
          {
            ...selection,
            selectionSet: expand(selection.selectionSet, isCompositeType(type) ? type : undefined),
          },
        ]
      }
      const name =
        selection.kind === Kind.INLINE_FRAGMENT
          ? selection.typeCondition?.name.value
          : fragments.get(selection.name.value)?.typeCondition.name.value
      const condition = typeNamed(name) ?? parent
      const isLost =
        !settled &&
        isAbstractType(parent) &&
        interfaceObjects.has(parent.name) &&
        isAbstractType(condition) &&
        condition !== parent
      const inner: SelectionNode =
        selection.kind === Kind.INLINE_FRAGMENT
          ? {
              ...selection,
              selectionSet: expand(
                selection.selectionSet,
                condition,
                settled || isLost || isObjectType(condition),
              ),
            }
          : selection
      if (!isLost) return [inner]
      return schema
        .getPossibleTypes(parent)
        .filter((type) => schema.isSubType(condition, type))
        .map(
          (type): InlineFragmentNode => ({
            kind: Kind.INLINE_FRAGMENT,
            typeCondition: { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: type.name } },
            selectionSet: { kind: Kind.SELECTION_SET, selections: [inner] },
          }),
        )
    })
    return { kind: Kind.SELECTION_SET, selections: expanded.length > 0 ? expanded : [filler] }
  }

  return {
    kind: Kind.DOCUMENT,
    definitions: operation.definitions.map((definition) => {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) {
        const selectionSet = expand(definition.selectionSet, typeNamed(definition.typeCondition.name.value))
        return { ...definition, selectionSet }
      }
      if (definition.kind !== Kind.OPERATION_DEFINITION) return definition
      const root = schema.getRootType(definition.operation) ?? undefined
      return { ...definition, selectionSet: expand(definition.selectionSet, root) }
    }),
  }
}
