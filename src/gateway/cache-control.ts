/**
 * How long whoever asked may keep an answer, and what they said about how new it must be.
 *
 * @see RFC 9111 section 5.2
 */
import {
  type ConstDirectiveNode,
  type DocumentNode,
  type GraphQLSchema,
  getNamedType,
  getOperationAST,
  isCompositeType,
  Kind,
  OperationTypeNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql'

interface Hint {
  readonly maxAge?: number
  readonly inherit?: boolean
}

/** By `Type` and by `Type.field`. */
export type CacheHints = ReadonlyMap<string, Hint>

/** From the `@cacheControl` of the subgraphs; composition leaves them out, so they are read where they stand. */
export function cacheHints(documents: readonly DocumentNode[]): CacheHints {
  const hints = new Map<string, Hint>()
  const note = (name: string, directives: readonly ConstDirectiveNode[] | undefined) => {
    const found = directives?.find((directive) => directive.name.value === 'cacheControl')
    if (!found) return
    const hint: { maxAge?: number; inherit?: boolean } = {}
    for (const { name: of, value } of found.arguments ?? []) {
      if (of.value === 'maxAge' && value.kind === Kind.INT) hint.maxAge = Number(value.value)
      if (of.value === 'inheritMaxAge' && value.kind === Kind.BOOLEAN) hint.inherit = value.value
    }
    hints.set(name, hint)
  }
  for (const definition of documents.flatMap((document) => document.definitions)) {
    if (definition.kind !== Kind.OBJECT_TYPE_DEFINITION) continue
    const type = definition.name.value
    note(type, definition.directives)
    for (const field of definition.fields ?? []) note(`${type}.${field.name.value}`, field.directives)
  }
  return hints
}

/**
 * Seconds that the schema lets an answer be kept: the least of what its fields say. As Apollo reads the directive: a
 * root field, and a field with fields of its own, that say nothing are not kept; a plain field follows its parent.
 */
export function createMaxAgeOf(hints: CacheHints) {
  const known = new WeakMap<DocumentNode, Map<string, number>>()
  return (schema: GraphQLSchema, document: DocumentNode, operationName?: string | null): number => {
    const byName = known.get(document) ?? new Map<string, number>()
    known.set(document, byName)
    const name = operationName ?? ''
    let maxAge = byName.get(name)
    if (maxAge === undefined) {
      maxAge = leastOf(hints, schema, document, operationName)
      byName.set(name, maxAge)
    }
    return maxAge
  }
}

function leastOf(
  hints: CacheHints,
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName?: string | null,
): number {
  const operation = getOperationAST(document, operationName)
  if (operation?.operation !== OperationTypeNode.QUERY) return 0
  const root = schema.getQueryType()?.name
  const types = new TypeInfo(schema)
  let least = Number.POSITIVE_INFINITY
  // Fragments of other operations count too: that can only shorten.
  visit(
    document,
    visitWithTypeInfo(types, {
      Field(node) {
        const parent = types.getParentType()?.name ?? ''
        const type = getNamedType(types.getType())
        if (!type || node.name.value.startsWith('__')) return undefined
        const own = hints.get(`${parent}.${node.name.value}`)
        const ofType = isCompositeType(type) ? hints.get(type.name) : undefined
        const follows = !isCompositeType(type) || own?.inherit || (!own && ofType?.inherit)
        const maxAge = own?.maxAge ?? ofType?.maxAge ?? (follows && parent !== root ? undefined : 0)
        if (maxAge !== undefined) least = Math.min(least, maxAge)
        return undefined
      },
    }),
  )
  return Number.isFinite(least) ? least : 0
}

/**
 * @param maxAge Seconds, by the schema.
 * @param freshUntil Milliseconds since 1970 until which the values themselves hold; null where none were read.
 */
export function cacheControlHeader(maxAge: number, freshUntil: number | null, now = Date.now()): string {
  const left = freshUntil === null ? 0 : Math.floor((freshUntil - now) / 1_000)
  const seconds = Math.min(maxAge, left)
  // Never for a shared cache: what a caller may see is the caller's.
  return seconds > 0 ? `private, max-age=${seconds}` : 'no-store'
}

/**
 * The same where an operation has no header of its own: `extensions: { cacheControl: "max-age=0" }`.
 * @param header Of the connection. Only an age counts: an EventSource says `no-cache` without being told to.
 */
export function demandedOf(extensions: unknown, header?: unknown): number | undefined {
  const { cacheControl } = Object(extensions) as { cacheControl?: unknown }
  if (typeof cacheControl === 'string') return demandedAgeMs(cacheControl)
  return typeof header === 'string' && /max-age/i.test(header) ? demandedAgeMs(header) : undefined
}

/** @returns Milliseconds: nothing older is wanted; undefined where the client does not say. */
export function demandedAgeMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  if (/(^|[\s,])no-(cache|store)\b/i.test(header)) return 0
  const seconds = /(^|[\s,])max-age=(\d{1,9})/i.exec(header)?.[2]
  return seconds === undefined ? undefined : Number(seconds) * 1_000
}
