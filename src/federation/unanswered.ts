/** What a plan never asks for, though the client does. */
import type { PlanNode, SubscriptionNode } from '@apollo/query-planner'
import { GraphQLError, isObjectType } from 'graphql'
import { anyItem } from './errors.ts'
import type { Shape } from './merge.ts'
import { answerShape } from './plan.ts'
import type { Selection } from './selection.ts'

/** Where fields are: travelling keys without indices, joined by newlines. */
export type Places = ReadonlySet<string>

/**
 * The planner leaves out, without a word, a field that no subgraph can answer as it is asked for: of an interface
 * without implementations, for one. That is an error at its place, and not null without a reason.
 *
 * Looks at fields of object types only. A field of one possible type of many is rightly left out where an object of
 * that type cannot stand.
 */
export function unanswered(selection: Selection, plan: PlanNode | SubscriptionNode | undefined): Places {
  const asked: Shape = new Map()
  if (plan?.kind === 'Subscription') {
    addTo(asked, answerShape(plan.primary))
    if (plan.rest) gather(plan.rest, asked)
  } else if (plan) gather(plan, asked)

  const places = new Set<string>()
  const seen = new Map<Shape, Set<Selection>>()
  const look = (chosen: Selection, known: Shape, path: string): void => {
    const looked = seen.get(known) ?? new Set()
    if (looked.has(chosen)) return
    seen.set(known, looked.add(chosen))
    for (const type of chosen.possibleTypes()) {
      for (const { key, name, selection: nested } of chosen.fields(type)) {
        if (name.startsWith('__')) continue
        const place = path === '' ? key : `${path}\n${key}`
        const inside = known.get(key)
        if (inside === undefined) {
          if (isObjectType(chosen.type)) places.add(place)
        } else if (inside && nested) look(nested, inside, place)
      }
    }
  }
  look(selection, asked, '')
  return places
}

export const unansweredError = (field: string): GraphQLError =>
  new GraphQLError(`No subgraph can answer field ${field} as it is asked for.`, {
    extensions: { code: 'OPERATION_NOT_PLANNABLE' },
  })

function gather(node: PlanNode, at: Shape): void {
  switch (node.kind) {
    case 'Fetch':
      addTo(at, answerShape(node))
      return
    case 'Flatten': {
      let place = at
      for (const element of node.path) {
        if (element === anyItem) continue
        const nested: Shape = place.get(String(element)) ?? new Map()
        place.set(String(element), nested)
        place = nested
      }
      gather(node.node, place)
      return
    }
    case 'Sequence':
    case 'Parallel':
      for (const child of node.nodes) gather(child, at)
      return
    case 'Condition':
      for (const clause of [node.ifClause, node.elseClause]) if (clause) gather(clause, at)
      return
    case 'Defer':
      return
  }
}

function addTo(shape: Shape, more: Shape): void {
  for (const [key, nested] of more) {
    const present = shape.get(key)
    if (present && nested) addTo(present, nested)
    else shape.set(key, nested ?? present ?? null)
  }
}
