/** How large an operation may be. The same on every transport: none may be a way around. */
import {
  type ASTVisitor,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql'

export interface Limits {
  readonly maxTokens: number
  readonly maxDepth: number
}

export const TOO_LARGE = 'OPERATION_TOO_LARGE'

function tooDeep(limit: number): GraphQLError {
  return new GraphQLError(
    `The operation is nested more than ${limit} levels deep. Ask for less in one operation.`,
    {
      extensions: { code: TOO_LARGE },
    },
  )
}

/**
 * Looks at brackets alone, before the parser does: a parser that works by recursion cannot be given everything.
 * Text and comments may hold brackets too, so the bound is generous.
 */
export function checkNesting(source: string, limits: Limits): GraphQLError | null {
  const bound = limits.maxDepth * 4 + 100
  let depth = 0
  let inText = false
  for (let at = 0; at < source.length; at++) {
    const character = source.charCodeAt(at)
    if (character === QUOTE && source.charCodeAt(at - 1) !== BACKSLASH) inText = !inText
    else if (inText) continue
    else if (character === BRACE || character === BRACKET || character === PARENTHESIS) depth++
    else if (character === BRACE + 2 || character === BRACKET + 2 || character === PARENTHESIS + 1) depth--
    if (depth > bound) return tooDeep(limits.maxDepth)
  }
  return null
}
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE = 0x7b
const BRACKET = 0x5b
const PARENTHESIS = 0x28

/** A validation rule: fields below fields, through fragments. Introspection may go deeper, as explorers ask it to. */
export function depthRule(limits: Limits): (context: ValidationContext) => ASTVisitor {
  return (context) => {
    const ofFragment = new Map<FragmentDefinitionNode, number>()
    const depthOf = (selections: SelectionSetNode, within: ReadonlySet<string>): number => {
      let deepest = 0
      for (const selection of selections.selections) {
        let depth = 0
        if (selection.kind === Kind.FIELD) {
          if (selection.name.value.startsWith('__')) continue
          depth = 1 + (selection.selectionSet ? depthOf(selection.selectionSet, within) : 0)
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          depth = depthOf(selection.selectionSet, within)
        } else {
          const name = selection.name.value
          const fragment = context.getFragment(name)
          // A circle is another rule's finding.
          if (!fragment || within.has(name)) continue
          const known = ofFragment.get(fragment)
          depth = known ?? depthOf(fragment.selectionSet, new Set([...within, name]))
          ofFragment.set(fragment, depth)
        }
        if (depth > deepest) deepest = depth
      }
      return deepest
    }
    return {
      OperationDefinition(node) {
        if (depthOf(node.selectionSet, new Set()) > limits.maxDepth)
          context.reportError(tooDeep(limits.maxDepth))
        return false
      },
    }
  }
}
