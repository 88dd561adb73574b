/**
 * A field that requires a field that requires something itself: `label` of one subgraph needs `price` of a second, which
 * needs `weight` of a third. To save a fetch the planner asks a subgraph that it is at anyway for what comes next, and
 * forgets that this is to wait: the second is asked for the price without the weight, or for a weight that it only
 * declares, as `@external`. It then answers wrongly, or not at all.
 *
 * What the planner looks at before it saves the fetch is whether a selection fits a type of that subgraph
 * (`handleRequiresTree`, `createPostRequiresGroup`). While the planner is mended, a selection fits only what the
 * subgraph can answer on its own, and nothing fits a type that has the middle of a chain.
 *
 * To save no fetch at all would be simpler, and makes the planner go round in circles.
 */
import { baseType, type CompositeType, federationMetadata, SelectionSet } from '@apollo/federation-internals'
import { type DocumentNode, Kind, parse, visit } from 'graphql'

/**
 * Names of fields that require something and are required.
 * @param supergraph As the planner gets it.
 */
export function middlesOfChains(supergraph: DocumentNode): ReadonlySet<string> {
  const requiring = new Set<string>()
  const required = new Set<string>()
  visit(supergraph, {
    FieldDefinition({ name, directives }) {
      for (const directive of directives ?? []) {
        const requires = directive.arguments?.find((argument) => argument.name.value === 'requires')?.value
        if (directive.name.value !== 'join__field' || requires?.kind !== Kind.STRING) continue
        requiring.add(name.value)
        visit(parse(`{${requires.value}}`, { noLocation: true }), {
          Field: (field) => void required.add(field.name.value),
        })
      }
    },
  })
  return requiring.intersection(required)
}

let middles: ReadonlySet<string> = new Set()

/** Plans, which takes no turn of the event loop, with the planner mended for these fields. */
export function planChains<T>(fields: ReadonlySet<string>, plan: () => T): T {
  middles = fields
  try {
    return plan()
  } finally {
    middles = new Set()
  }
}

// The planner has no option for it, and its own classes are out of reach.
const { canRebaseOn } = SelectionSet.prototype
SelectionSet.prototype.canRebaseOn = function (this: SelectionSet, type: CompositeType): boolean {
  return canRebaseOn.call(this, type) && (middles.size === 0 || (!hasMiddle(type) && isAnswered(this, type)))
}

function hasMiddle(type: CompositeType): boolean {
  const metadata = federationMetadata(type.schema())
  return (
    !!metadata &&
    'fields' in type &&
    type
      .fields()
      .some((field) => middles.has(field.name) && field.hasAppliedDirective(metadata.requiresDirective()))
  )
}

function isAnswered(selections: SelectionSet, type: CompositeType): boolean {
  const metadata = federationMetadata(type.schema())
  if (!metadata) return true
  return selections.selections().every((selection) => {
    if (selection.kind === 'FragmentSelection') {
      const condition = selection.element.typeCondition
      const there = condition && type.schema().type(condition.name)
      return isAnswered(selection.selectionSet, (there ?? type) as CompositeType)
    }
    const field = type.field(selection.element.name)
    if (!field?.type) return true
    if (metadata.isFieldExternal(field) || field.hasAppliedDirective(metadata.requiresDirective()))
      return false
    const inside = selection.selectionSet
    return !inside || isAnswered(inside, baseType(field.type) as CompositeType)
  })
}
