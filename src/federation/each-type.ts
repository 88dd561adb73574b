/**
 * `{ vehicles { ... on Car { range } ... on Tram { stops } } }`, where a subgraph knows the interface `Vehicle` as an
 * object (`@interfaceObject`) and has both fields: it cannot be told of cars, so the planner asks it for both of
 * every vehicle. An error of a tram's range, which nobody asked for, would take the tram's stops along. Here each
 * type is asked for its own.
 */
import type { FetchNode, PlanNode } from '@apollo/query-planner'
import { type GraphQLSchema, isInterfaceType, Kind, print, stripIgnoredCharacters, visit } from 'graphql'
import { anyItem } from './errors.ts'
import { questionOf } from './plan.ts'
import type { Selection } from './selection.ts'

type Requires = NonNullable<FetchNode['requires']>

/** @returns The plan itself where there is nothing to tell apart. */
export function askEachType(schema: GraphQLSchema, root: Selection, plan: PlanNode): PlanNode {
  const required = new Set<string>()
  collectRequired(plan, required)

  const walk = (node: PlanNode, path: readonly (string | number)[]): PlanNode => {
    switch (node.kind) {
      case 'Sequence':
      case 'Parallel':
        return { ...node, nodes: node.nodes.map((child) => walk(child, path)) }
      case 'Condition': {
        const [ifClause, elseClause] = [node.ifClause, node.elseClause].map((c) => c && walk(c, path))
        return { ...node, ifClause, elseClause } as PlanNode
      }
      case 'Flatten': {
        const inside = [...path, ...node.path]
        if (node.node.kind !== 'Fetch') return { ...node, node: walk(node.node, inside) }
        const fetches = perType(schema, node.node, () => selectionsAt(root, inside), required)
        if (!fetches) return node
        return { kind: 'Parallel', nodes: fetches.map((fetch) => ({ ...node, node: fetch })) }
      }
      case 'Fetch':
      case 'Defer':
        return node
    }
  }
  return walk(plan, [])
}

function perType(
  schema: GraphQLSchema,
  fetch: FetchNode,
  selectionsThere: () => readonly Selection[],
  required: ReadonlySet<string>,
): FetchNode[] | undefined {
  const { requires, inputRewrites, outputRewrites } = fetch
  const name = inputRewrites?.[0]?.kind === 'ValueSetter' ? inputRewrites[0].setValueTo : undefined
  const type = typeof name === 'string' ? schema.getType(name) : undefined
  const plain = inputRewrites?.every(
    (rewrite) =>
      rewrite.kind === 'ValueSetter' && rewrite.path[1] === '__typename' && rewrite.setValueTo === name,
  )
  if (!requires || !plain || outputRewrites?.length || !isInterfaceType(type)) return undefined
  const { document, definition } = questionOf(fetch)
  const [entities] = definition.selectionSet.selections
  const [object, ...others] = (entities?.kind === Kind.FIELD && entities.selectionSet?.selections) || []
  if (object?.kind !== Kind.INLINE_FRAGMENT || others.length > 0) return undefined
  const keys: string[] = []
  for (const selection of object.selectionSet.selections) {
    if (selection.kind !== Kind.FIELD) return undefined
    keys.push(selection.alias?.value ?? selection.name.value)
  }

  const chosen = selectionsThere()
  const asked = new Map<string, Set<string>>()
  for (const selection of chosen) {
    for (const possible of selection.possibleTypes()) {
      const fields = asked.get(possible.name) ?? new Set()
      asked.set(possible.name, fields)
      for (const { key } of selection.fields(possible)) fields.add(key)
    }
  }
  const clients = new Set([...asked.values()].flatMap((fields) => [...fields]))
  const groups = new Map<string, { keys: ReadonlySet<string>; types: string[] }>()
  for (const { name: possible } of schema.getPossibleTypes(type)) {
    // What the planner needs for itself, it may need of all.
    const wanted = keys.filter(
      (key) => !clients.has(key) || required.has(key) || asked.get(possible)?.has(key),
    )
    if (wanted.every((key) => key === '__typename')) continue
    const text = wanted.join(' ')
    const group = groups.get(text) ?? { keys: new Set(wanted), types: [] }
    groups.set(text, group)
    group.types.push(possible)
  }
  if ([...groups.values()].every((group) => group.keys.size === keys.length)) return undefined

  return [...groups.values()].map((group) => {
    const narrow = visit(document, {
      InlineFragment: (node) =>
        node === object
          ? {
              ...node,
              selectionSet: {
                kind: Kind.SELECTION_SET,
                selections: node.selectionSet.selections.filter(
                  (s) => s.kind === Kind.FIELD && group.keys.has(s.alias?.value ?? s.name.value),
                ),
              },
            }
          : undefined,
    })
    const used = new Set<string>()
    visit(narrow, {
      Field: { enter: (node) => void visit(node, { Variable: (v) => void used.add(v.name.value) }) },
    })
    const own = visit(narrow, {
      VariableDefinition: (node) => (used.has(node.variable.name.value) ? undefined : null),
    })
    return {
      ...fetch,
      requires: group.types.flatMap((possible) => {
        const selections = requires.flatMap((part) =>
          part.kind === 'InlineFragment' && covers(schema, part.typeCondition, possible)
            ? part.selections
            : [],
        )
        return selections.length > 0
          ? [{ kind: 'InlineFragment', typeCondition: possible, selections } as Requires[number]]
          : []
      }),
      inputRewrites: group.types.map((possible) => ({
        kind: 'ValueSetter',
        path: [`... on ${possible}`, '__typename'],
        setValueTo: name,
      })),
      variableUsages: fetch.variableUsages?.filter((variable) => used.has(variable)),
      operationDocumentNode: own,
      operation: stripIgnoredCharacters(print(own)),
    } as FetchNode
  })
}

function covers(schema: GraphQLSchema, condition: string | undefined, possible: string): boolean {
  if (condition === undefined || condition === possible) return true
  const abstract = schema.getType(condition)
  return isInterfaceType(abstract) && schema.getPossibleTypes(abstract).some(({ name }) => name === possible)
}

function selectionsAt(root: Selection, path: readonly (string | number)[]): readonly Selection[] {
  let found = new Set([root])
  for (const element of path) {
    if (element === anyItem) continue
    const next = new Set<Selection>()
    for (const selection of found) {
      for (const type of selection.possibleTypes()) {
        for (const { key, selection: nested } of selection.fields(type)) {
          if (key === element && nested) next.add(nested)
        }
      }
    }
    found = next
  }
  return [...found]
}

/** All names in what fetches of entities need to know. */
function collectRequired(node: PlanNode, names: Set<string>): void {
  const add = (parts: Requires): void => {
    for (const part of parts) {
      if (part.kind === 'Field') names.add(part.alias ?? part.name)
      if (part.selections) add(part.selections)
    }
  }
  if (node.kind === 'Fetch') add(node.requires ?? [])
  else if (node.kind === 'Flatten') collectRequired(node.node, names)
  else if (node.kind === 'Sequence' || node.kind === 'Parallel') {
    for (const child of node.nodes) collectRequired(child, names)
  } else if (node.kind === 'Condition') {
    for (const clause of [node.ifClause, node.elseClause]) if (clause) collectRequired(clause, names)
  }
}
