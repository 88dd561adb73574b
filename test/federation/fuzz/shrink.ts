/** A failure made small: whatever can go while it still fails is taken out, first of the operation, then of the graph. */
import { type ASTNode, type DocumentNode, Kind, parse, print, visit } from 'graphql'
import type { RandomOperation } from './operations.ts'
import { bench, type Case } from './run.ts'

export interface Failure extends Case {
  readonly operation: RandomOperation
}

/** What may be taken out of a document, and a selection for what is in it. */
const removable = new Set<string>([
  Kind.FIELD,
  Kind.INLINE_FRAGMENT,
  Kind.FRAGMENT_SPREAD,
  Kind.FRAGMENT_DEFINITION,
  Kind.DIRECTIVE,
  Kind.ARGUMENT,
  Kind.VARIABLE_DEFINITION,
  Kind.OBJECT_TYPE_DEFINITION,
  Kind.INTERFACE_TYPE_DEFINITION,
  Kind.UNION_TYPE_DEFINITION,
  Kind.ENUM_TYPE_DEFINITION,
  Kind.INPUT_OBJECT_TYPE_DEFINITION,
  Kind.SCALAR_TYPE_DEFINITION,
  Kind.FIELD_DEFINITION,
  Kind.INPUT_VALUE_DEFINITION,
])

/** @param maxTries Of checks; each composes a graph, which takes a tenth of a second. */
export async function shrink(failure: Failure, maxTries = 1500): Promise<Failure> {
  const wanted = kindOf(await attempt(failure))
  if (wanted === undefined) return failure
  let left = maxTries
  const fails = async (candidate: Failure): Promise<boolean> =>
    left-- > 0 && kindOf(await attempt(candidate)) === wanted

  let current = failure
  for (let changed = true; changed && left > 0; ) {
    changed = false
    for (const [text, put] of parts(current)) {
      let now = text
      for (let index = 0; left > 0; ) {
        const smaller = without(now, index)
        if (smaller === undefined) break
        const candidate = put(current, smaller)
        if (smaller !== now && (await fails(candidate))) {
          current = candidate
          now = smaller
          changed = true
        } else index++
      }
    }
  }
  return current
}

type Put = (failure: Failure, text: string) => Failure

function parts({ operation, graph }: Failure): [string, Put][] {
  return [
    [operation.query, (f, query) => ({ ...f, operation: { ...f.operation, query } })],
    ...Object.entries(graph).map(([name, sdl]): [string, Put] => [
      sdl,
      (f, text) => ({ ...f, graph: { ...f.graph, [name]: text } }),
    ]),
  ]
}

/** @returns The document without its n-th removable node, or with an inline fragment's selections in its place. */
function without(text: string, index: number): string | undefined {
  if (text.trim() === '') return undefined
  let document: DocumentNode
  try {
    document = parse(text, { noLocation: true })
  } catch {
    return undefined
  }
  let seen = -1
  let found = false
  const smaller = visit(document, {
    enter(node: ASTNode) {
      if (found) return false
      if (node.kind === Kind.INLINE_FRAGMENT && ++seen === index) {
        found = true
        // Unwrapped, what is in it may stand where it stood.
        return { ...node, typeCondition: undefined, directives: [] }
      }
      if (node.kind === Kind.NON_NULL_TYPE && ++seen === index) {
        found = true
        return node.type
      }
      if (!removable.has(node.kind)) return undefined
      if (++seen !== index) return undefined
      found = true
      return null
    },
  })
  if (!found) return undefined
  const cleaned = visit(smaller, {
    SelectionSet: { leave: (node) => (node.selections.length === 0 ? null : undefined) },
    InlineFragment: { leave: (node) => (node.selectionSet ? undefined : null) },
    FragmentDefinition: { leave: (node) => (node.selectionSet ? undefined : null) },
    ObjectTypeDefinition: { leave: (node) => (node.fields?.length ? undefined : null) },
    InterfaceTypeDefinition: { leave: (node) => (node.fields?.length ? undefined : null) },
  })
  try {
    return print(cleaned)
  } catch {
    // Something had to have it: the text stays.
    return text
  }
}

async function attempt({ operation, ...of }: Failure): Promise<string | undefined> {
  try {
    return await bench(of).check(operation)
  } catch {
    return undefined
  }
}

function kindOf(outcome: string | undefined): string | undefined {
  return outcome === 'invalid' ? undefined : outcome?.split('\n')[0]?.split(' at ')[0]
}
