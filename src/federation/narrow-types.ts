/**
 * `media: Media` in one subgraph, `media: Book` in another. Asked of the latter the planner leaves out `__typename`,
 * as only one type can come there; but in the public schema the field is a `Media`, and nobody knows any more that
 * it is a book. So `__typename` is asked for.
 */
import type { FetchNode } from '@apollo/query-planner'
import { type DocumentNode, Kind, type TypeNode, visit } from 'graphql'
import { documentOf, withDocument } from './plan.ts'

/** By subgraph: names of fields whose type is narrower there. */
export type NarrowFields = ReadonlyMap<string, ReadonlySet<string>>

export function narrowFieldsOf(supergraph: DocumentNode): NarrowFields {
  const subgraphs = new Map<string, string>()
  const found = new Map<string, Set<string>>()
  visit(supergraph, {
    EnumValueDefinition({ name, directives }) {
      const graph = directives?.find((directive) => directive.name.value === 'join__graph')
      const subgraph = graph?.arguments?.find((argument) => argument.name.value === 'name')?.value
      if (subgraph?.kind === Kind.STRING) subgraphs.set(name.value, subgraph.value)
    },
    FieldDefinition({ name, type, directives }) {
      for (const directive of directives ?? []) {
        if (directive.name.value !== 'join__field') continue
        const there = directive.arguments?.find((argument) => argument.name.value === 'type')?.value
        const graph = directive.arguments?.find((argument) => argument.name.value === 'graph')?.value
        if (there?.kind !== Kind.STRING || graph?.kind !== Kind.ENUM) continue
        if (there.value.replace(/[[\]!]/g, '') === nameOf(type)) continue
        found.set(graph.value, (found.get(graph.value) ?? new Set()).add(name.value))
      }
    },
  })
  return new Map([...found].map(([graph, fields]) => [subgraphs.get(graph) ?? graph, fields]))
}

const nameOf = (type: TypeNode): string =>
  type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type)

export function askForTypes(fetch: FetchNode, narrow: NarrowFields): FetchNode {
  const names = narrow.get(fetch.serviceName)
  if (!names) return fetch
  let changed = false
  const document = visit(documentOf(fetch), {
    // On the way out: what was added inside stays.
    Field: {
      leave(field) {
        const { selectionSet } = field
        if (!selectionSet || !names.has(field.name.value)) return undefined
        const isAsked = selectionSet.selections.some(
          (selection) =>
            selection.kind === Kind.FIELD && !selection.alias && selection.name.value === '__typename',
        )
        if (isAsked) return undefined
        changed = true
        const typename = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } } as const
        return {
          ...field,
          selectionSet: { ...selectionSet, selections: [typename, ...selectionSet.selections] },
        }
      },
    },
  })
  return changed ? withDocument(fetch, document) : fetch
}
