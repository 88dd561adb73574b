/** Plans, looked at and changed before they become functions. */
import type { FetchNode, PlanNode, SubscriptionNode } from '@apollo/query-planner'
import { type DocumentNode, parse, print, stripIgnoredCharacters } from 'graphql'

export const documentOf = (fetch: FetchNode): DocumentNode =>
  fetch.operationDocumentNode ?? parse(fetch.operation, { noLocation: true })

export const withDocument = (fetch: FetchNode, document: DocumentNode): FetchNode => ({
  ...fetch,
  operationDocumentNode: document,
  operation: stripIgnoredCharacters(print(document)),
})

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
