/**
 * `@requires(fields: "price(currency: \"USD\")")`: the planner drops the arguments when it merges such a field with
 * the client's own `price`, or with another field's `price(currency: "EUR")`, and one of them gets the other's value.
 *
 * So the planner never sees them. Before it reads the supergraph each required field with arguments becomes a field
 * of its own without arguments, `price__required1`; in the finished plan it is turned back, as an alias in the
 * operations and as the real key in the representations. Two of them that a representation cannot hold at once, as
 * both are called `price`, make two fetches.
 */
import type { FetchNode, PlanNode, QueryPlanSelectionNode, SubscriptionNode } from '@apollo/query-planner'
import {
  type ArgumentNode,
  type DirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type FieldNode,
  type InterfaceTypeDefinitionNode,
  Kind,
  type ObjectTypeDefinitionNode,
  parse,
  print,
  type SelectionNode,
  type SelectionSetNode,
  type TypeNode,
  visit,
} from 'graphql'
import { documentOf, mapFetches, withDocument } from './plan.ts'

interface RequiredField {
  readonly name: string
  readonly arguments: readonly ArgumentNode[]
}

export interface RequiredArguments {
  /** The supergraph for the planner. */
  readonly document: DocumentNode
  /** Names that stand for a field with arguments. */
  readonly fields: ReadonlyMap<string, RequiredField>
  /** Turns a plan's stand-ins back. */
  restore<T extends PlanNode | SubscriptionNode>(node: T): T
}

type FieldsDefinition = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode

export function separateRequiredArguments(supergraph: DocumentNode): RequiredArguments {
  const fields = new Map<string, RequiredField>()
  const standIns = new Map<string, string>()
  /** By type: stand-ins to add. */
  const added = new Map<string, Map<string, string>>()
  /** By `Type.field`: the fields and stand-ins its `@requires` mentions, at any depth, over all subgraphs. */
  const neededBy = new Map<string, Set<string>>()

  const types = new Map<string, FieldsDefinition>()
  for (const definition of supergraph.definitions) {
    if (
      definition.kind === Kind.OBJECT_TYPE_DEFINITION ||
      definition.kind === Kind.INTERFACE_TYPE_DEFINITION
    ) {
      types.set(definition.name.value, definition)
    }
  }

  const standInFor = (type: FieldsDefinition, field: FieldNode): string => {
    const args = field.arguments ?? []
    const what = `${field.name.value}(${args.map((argument) => print(argument)).sort()})`
    let name = standIns.get(what)
    if (!name) {
      name = `${field.name.value}__required${standIns.size + 1}`
      standIns.set(what, name)
      fields.set(name, { name: field.name.value, arguments: args })
    }
    for (const candidate of types.values()) {
      const implementsType = candidate.interfaces?.some((i) => i.name.value === type.name.value)
      if (candidate === type || implementsType) {
        const own = added.get(candidate.name.value) ?? new Map<string, string>()
        own.set(name, field.name.value)
        added.set(candidate.name.value, own)
      }
    }
    return name
  }

  const replace = (
    typeName: string | undefined,
    { selections }: SelectionSetNode,
    needed: Set<string>,
  ): SelectionSetNode => {
    const type = typeName === undefined ? undefined : types.get(typeName)
    return {
      kind: Kind.SELECTION_SET,
      selections: selections.map((selection): SelectionNode => {
        if (selection.kind === Kind.FRAGMENT_SPREAD) return selection
        if (selection.kind === Kind.INLINE_FRAGMENT) {
          const condition = selection.typeCondition?.name.value ?? typeName
          return { ...selection, selectionSet: replace(condition, selection.selectionSet, needed) }
        }
        const definition = type?.fields?.find((field) => field.name.value === selection.name.value)
        const nested =
          selection.selectionSet && replace(namedType(definition?.type), selection.selectionSet, needed)
        const field: FieldNode = nested ? { ...selection, selectionSet: nested } : selection
        if (!type || !selection.arguments?.length) {
          needed.add(selection.name.value)
          return field
        }
        const name = standInFor(type, selection)
        needed.add(name)
        return { ...field, name: { kind: Kind.NAME, value: name }, arguments: [] }
      }),
    }
  }

  const rewritten = visit(supergraph, {
    FieldDefinition(field, _key, _parent, _path, ancestors) {
      const owner = ancestors.findLast(
        (a): a is FieldsDefinition =>
          'kind' in a &&
          (a.kind === Kind.OBJECT_TYPE_DEFINITION || a.kind === Kind.INTERFACE_TYPE_DEFINITION),
      )
      if (!owner) return undefined
      const needed = new Set<string>()
      const directives = field.directives?.map((directive) =>
        withRequires(directive, (requires) => replace(owner.name.value, requires, needed)),
      )
      if (needed.size === 0) return undefined
      neededBy.set(`${owner.name.value}.${field.name.value}`, needed)
      return { ...field, directives }
    },
  })
  if (fields.size === 0) return { document: supergraph, fields, restore: (node) => node }

  const addFields = <T extends FieldsDefinition>(type: T): T => {
    const own: FieldDefinitionNode[] = []
    for (const [standIn, name] of added.get(type.name.value) ?? []) {
      const original = type.fields?.find((field) => field.name.value === name)
      if (original) own.push({ ...original, name: { kind: Kind.NAME, value: standIn }, arguments: [] })
    }
    return own.length > 0 ? { ...type, fields: [...(type.fields ?? []), ...own] } : type
  }
  const document = visit(rewritten, { ObjectTypeDefinition: addFields, InterfaceTypeDefinition: addFields })

  const restoring = { fields, neededBy }
  const restore = <T extends PlanNode | SubscriptionNode>(node: T): T =>
    mapFetches(node, (fetch) =>
      splitConflicts(fetch, restoring).map((part) => restoreOperation(part, restoring)),
    )
  return { document, fields, restore }
}

function withRequires(
  directive: DirectiveNode,
  change: (selectionSet: SelectionSetNode) => SelectionSetNode,
): DirectiveNode {
  if (directive.name.value !== 'join__field') return directive
  return {
    ...directive,
    arguments:
      directive.arguments?.map((argument) => {
        const { value } = argument
        if (argument.name.value !== 'requires' || value.kind !== Kind.STRING) {
          return argument
        }
        const changed = print(change(selectionSetOf(value.value)))
        return { ...argument, value: { ...value, block: false, value: changed.slice(1, -1).trim() } }
      }) ?? [],
  }
}

function selectionSetOf(text: string): SelectionSetNode {
  const [definition] = parse(`{${text}}`, { noLocation: true }).definitions
  if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error('not a selection set')
  return definition.selectionSet
}

function namedType(type: TypeNode | undefined): string | undefined {
  if (!type) return undefined
  return type.kind === Kind.NAMED_TYPE ? type.name.value : namedType(type.type)
}

interface Restoring {
  readonly fields: ReadonlyMap<string, RequiredField>
  readonly neededBy: ReadonlyMap<string, ReadonlySet<string>>
}

function restoreOperation(fetch: FetchNode, { fields }: Restoring): FetchNode {
  const document = documentOf(fetch)
  let found = false
  const restored = visit(document, {
    Field(field) {
      const original = fields.get(field.name.value)
      if (!original) return undefined
      found = true
      return {
        ...field,
        alias: field.alias ?? field.name,
        name: { kind: Kind.NAME, value: original.name },
        arguments: original.arguments,
      }
    },
  })
  return found ? withDocument(fetch, restored) : fetch
}

/** Stand-ins of one fetch that want the same key of the same object. */
function conflictsIn(selections: readonly QueryPlanSelectionNode[], { fields }: Restoring): Set<string>[] {
  const conflicts: Set<string>[] = []
  const look = (level: readonly QueryPlanSelectionNode[]): void => {
    const byName = new Map<string, Set<string>>()
    const add = (selection: QueryPlanSelectionNode): void => {
      if (selection.kind === 'InlineFragment') {
        for (const inner of selection.selections) add(inner)
        return
      }
      const key = fields.get(selection.name)?.name ?? selection.name
      byName.set(key, (byName.get(key) ?? new Set()).add(selection.name))
      if (selection.selections) look(selection.selections)
    }
    for (const selection of level) add(selection)
    for (const names of byName.values()) if (names.size > 1) conflicts.push(names)
  }
  look(selections)
  return conflicts
}

function splitConflicts(fetch: FetchNode, restoring: Restoring): FetchNode[] {
  const conflicts = fetch.requires ? conflictsIn(fetch.requires, restoring) : []
  if (!fetch.requires || conflicts.length === 0) return [fetch]
  const conflicting = new Set(conflicts.flatMap((names) => [...names]))

  // Each field joins the first group whose representation can also hold what it needs.
  const groups: { readonly needs: Set<string>; readonly fields: Set<string> }[] = []
  const place = (typeName: string, field: FieldNode): void => {
    const needs = new Set(
      [...(restoring.neededBy.get(`${typeName}.${field.name.value}`) ?? [])].filter((name) =>
        conflicting.has(name),
      ),
    )
    const fits = groups.find((group) =>
      conflicts.every((names) => {
        const together = new Set([...group.needs, ...needs].filter((name) => names.has(name)))
        return together.size <= 1
      }),
    )
    const group = fits ?? { needs: new Set<string>(), fields: new Set<string>() }
    if (!fits) groups.push(group)
    for (const name of needs) group.needs.add(name)
    group.fields.add(`${typeName}.${field.alias?.value ?? field.name.value}`)
  }
  const eachEntityField = (
    set: SelectionSetNode,
    typeName: string,
    keep: (typeName: string, field: FieldNode) => boolean,
  ): SelectionSetNode => ({
    kind: Kind.SELECTION_SET,
    selections: set.selections.flatMap((selection): SelectionNode[] => {
      if (selection.kind === Kind.FIELD) return keep(typeName, selection) ? [selection] : []
      if (selection.kind === Kind.FRAGMENT_SPREAD) return [selection]
      const inner = eachEntityField(
        selection.selectionSet,
        selection.typeCondition?.name.value ?? typeName,
        keep,
      )
      return inner.selections.length > 0 ? [{ ...selection, selectionSet: inner }] : []
    }),
  })
  const document = documentOf(fetch)
  const entityFields = (keep: (typeName: string, field: FieldNode) => boolean): DocumentNode =>
    visit(document, {
      Field(field) {
        if (field.name.value !== '_entities' || !field.selectionSet) return undefined
        return { ...field, selectionSet: eachEntityField(field.selectionSet, '', keep) }
      },
    })
  entityFields((typeName, field) => {
    place(typeName, field)
    return true
  })

  return groups.map((group) => {
    const without = (selections: readonly QueryPlanSelectionNode[]): QueryPlanSelectionNode[] =>
      selections.flatMap((selection): QueryPlanSelectionNode[] => {
        if (selection.kind === 'InlineFragment')
          return [{ ...selection, selections: without(selection.selections) }]
        if (conflicting.has(selection.name) && !group.needs.has(selection.name)) return []
        return [
          selection.selections ? { ...selection, selections: without(selection.selections) } : selection,
        ]
      })
    const narrowed = dropUnusedVariables(
      entityFields((typeName, field) =>
        group.fields.has(`${typeName}.${field.alias?.value ?? field.name.value}`),
      ),
    )
    return {
      ...withDocument(fetch, narrowed.document),
      requires: without(fetch.requires ?? []),
      variableUsages: fetch.variableUsages?.filter((name) => narrowed.used.has(name)) ?? [],
    }
  })
}

function dropUnusedVariables(document: DocumentNode): { document: DocumentNode; used: ReadonlySet<string> } {
  const used = new Set<string>()
  visit(document, {
    VariableDefinition: () => false,
    Variable(variable) {
      used.add(variable.name.value)
    },
  })
  return {
    used,
    document: visit(document, {
      VariableDefinition: (definition) => (used.has(definition.variable.name.value) ? false : null),
    }),
  }
}
