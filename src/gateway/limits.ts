/** How large an operation may be. The same on every transport: none may be a way around. */
import {
  type ASTVisitor,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  print,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql'

export interface Limits {
  readonly maxTokens: number
  readonly maxDepth: number
  /** Fields of the root that differ in name or arguments: each may be a call to a business system of its own. */
  readonly maxRootFields: number
}

export const TOO_LARGE = 'OPERATION_TOO_LARGE'

const tooLarge = (what: string): GraphQLError =>
  new GraphQLError(`The operation ${what}. Ask for less in one operation.`, {
    extensions: { code: TOO_LARGE },
  })

const tooDeep = (limit: number): GraphQLError => tooLarge(`is nested more than ${limit} levels deep`)

/** A size is told in the same words and under the same code, whichever parser or validator met it. */
export function sizeError(error: unknown, limits: Limits): GraphQLError | null {
  if (!(error instanceof GraphQLError)) return null
  const { originalError: cause } = error
  if (cause instanceof GraphQLError && cause.extensions.code === TOO_LARGE) return cause
  return /^Syntax Error: Document contains more tha[nt] \d+ tokens/.test(error.message)
    ? tooLarge(`has more than ${limits.maxTokens} words and signs`)
    : null
}

/**
 * Looks at brackets alone, before the parser does: a parser that works by recursion cannot be given everything.
 * Arguments and types nest too, so the bound is generous.
 */
export function checkNesting(source: string, limits: Limits): GraphQLError | null {
  const bound = limits.maxDepth * 4 + 100
  let depth = 0
  for (let at = 0; at < source.length; at++) {
    const character = source.charCodeAt(at)
    if (character === HASH) at = endOfLine(source, at)
    else if (character === QUOTE) at = endOfText(source, at)
    else if (character === BRACE || character === BRACKET || character === PARENTHESIS) depth++
    else if (character === BRACE + 2 || character === BRACKET + 2 || character === PARENTHESIS + 1) depth--
    if (depth > bound) return tooDeep(limits.maxDepth)
  }
  return null
}
const QUOTE = 0x22
const HASH = 0x23
const BACKSLASH = 0x5c
const BRACE = 0x7b
const BRACKET = 0x5b
const PARENTHESIS = 0x28
const NEWLINE = 0x0a
const RETURN = 0x0d

function endOfLine(source: string, from: number): number {
  let at = from
  while (at < source.length && source.charCodeAt(at) !== NEWLINE && source.charCodeAt(at) !== RETURN) at++
  return at
}

/** @returns Where the closing quote is. One that is missing ends the line, as it does for the parser. */
function endOfText(source: string, from: number): number {
  if (source.startsWith('"""', from)) {
    let end = source.indexOf('"""', from + 3)
    while (end > 0 && source.charCodeAt(end - 1) === BACKSLASH) end = source.indexOf('"""', end + 3)
    return end < 0 ? source.length : end + 2
  }
  for (let at = from + 1; at < source.length; at++) {
    const character = source.charCodeAt(at)
    if (character === BACKSLASH) at++
    else if (character === QUOTE || character === NEWLINE || character === RETURN) return at
  }
  return source.length
}

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

/** Each time the schema is asked for costs the gateway itself, and its answer is kept: tools ask once. */
const MAX_INTROSPECTIONS = 5

/** A validation rule: fields of the root, through fragments. Aliases could otherwise keep a system busy all day. */
export function rootFieldsRule(limits: Limits): (context: ValidationContext) => ASTVisitor {
  return (context) => ({
    OperationDefinition(node) {
      const questions = new Set<string>()
      let introspections = 0
      const fragments = new Set<string>()
      const collect = (selections: SelectionSetNode): void => {
        for (const selection of selections.selections) {
          if (selection.kind === Kind.FIELD) {
            if (selection.name.value.startsWith('__') && selection.selectionSet) introspections++
            questions.add(print({ ...selection, alias: undefined, directives: [], selectionSet: undefined }))
          } else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet)
          else if (!fragments.has(selection.name.value)) {
            fragments.add(selection.name.value)
            const fragment = context.getFragment(selection.name.value)
            if (fragment) collect(fragment.selectionSet)
          }
        }
      }
      collect(node.selectionSet)
      if (questions.size > limits.maxRootFields)
        context.reportError(
          tooLarge(`asks more than ${limits.maxRootFields} different questions at the root`),
        )
      if (introspections > MAX_INTROSPECTIONS)
        context.reportError(tooLarge(`asks for the schema more than ${MAX_INTROSPECTIONS} times`))
      return false
    },
  })
}
