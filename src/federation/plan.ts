/** Plans, looked at and changed before they become functions. */
import type { FetchNode, PlanNode, SubscriptionNode } from '@apollo/query-planner'
import { type DocumentNode, Kind, parse, print, stripIgnoredCharacters } from 'graphql'
import { type Shape, shapeOf } from './merge.ts'

export const documentOf = (fetch: FetchNode): DocumentNode =>
  fetch.operationDocumentNode ?? parse(fetch.operation, { noLocation: true })

export const withDocument = (fetch: FetchNode, document: DocumentNode): FetchNode => ({
  ...fetch,
  operationDocumentNode: document,
  operation: stripIgnoredCharacters(print(document)),
})

/** What a fetch asks: its document and the one operation in it. */
export function questionOf(node: FetchNode) {
  const document = documentOf(node)
  const definition = document.definitions.find((d) => d.kind === Kind.OPERATION_DEFINITION)
  if (!definition) throw new Error('A fetch without an operation')
  return { document, definition }
}

/** The keys of what a fetch brings, of one entity where it is about entities; those that travel, after its rewrites. */
export function answerShape(node: FetchNode): Shape {
  const whole = shapeOf(questionOf(node).definition.selectionSet)
  const shape = node.requires ? whole.get('_entities') : whole
  if (!shape) throw new Error('An entity fetch without _entities')
  for (const rewrite of node.outputRewrites ?? []) {
    if (rewrite.kind === 'KeyRenamer') renameInShape(shape, rewrite.path, rewrite.renameKeyTo)
  }
  return shape
}

/** After the rewrite the value is under its own key: the merge must look for it there. */
function renameInShape(shape: Shape, path: readonly string[], key: string): void {
  let at: Shape | null | undefined = shape
  for (const element of path.slice(0, -1)) {
    if (!element.startsWith('... on ')) at = at?.get(element)
  }
  const alias = path.at(-1)
  if (!at || alias === undefined || !at.has(alias)) return
  const renamed = at.get(alias) ?? null
  const present = at.get(key)
  if (renamed && present) for (const [k, v] of renamed) present.set(k, present.get(k) ?? v)
  else at.set(key, renamed)
}

/** @param change What stands for one fetch; several are independent of each other. A subscription's own stays one. */
export function mapFetches<T extends PlanNode | SubscriptionNode>(
  node: T,
  change: (fetch: FetchNode) => readonly FetchNode[],
): T {
  return mapNode(node, change) as T
}

function mapNode(
  node: PlanNode | SubscriptionNode,
  change: (fetch: FetchNode) => readonly FetchNode[],
): PlanNode | SubscriptionNode {
  const inner = (child: PlanNode): PlanNode => mapNode(child, change) as PlanNode
  switch (node.kind) {
    case 'Sequence':
    case 'Parallel':
      return { ...node, nodes: node.nodes.map(inner) }
    case 'Flatten':
      return { ...node, node: inner(node.node) }
    case 'Condition':
      return {
        ...node,
        ...(node.ifClause ? { ifClause: inner(node.ifClause) } : {}),
        ...(node.elseClause ? { elseClause: inner(node.elseClause) } : {}),
      }
    case 'Subscription':
      return {
        ...node,
        primary: change(node.primary)[0] ?? node.primary,
        ...(node.rest ? { rest: inner(node.rest) } : {}),
      }
    case 'Fetch': {
      const fetches = change(node)
      const [only] = fetches
      return only && fetches.length === 1 ? only : { kind: 'Parallel', nodes: [...fetches] }
    }
    case 'Defer':
      return node
  }
}
