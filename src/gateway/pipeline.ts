/**
 * What every transport does with an operation before the engine sees it: limit, parse, validate. Apollo Server is
 * one host of it; it does the same steps with the same rules.
 */
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  type ValidationRule,
  validate,
} from 'graphql'
import { LRUCache } from 'lru-cache'
import { checkNesting, depthRule, type Limits, rootFieldsRule, sizeError } from './limits.ts'

export interface Pipeline {
  /** Rules beyond the specification's. */
  readonly rules: readonly ValidationRule[]
  readonly limits: Limits
  /** @returns The document, or what is wrong with it. */
  prepare(schema: GraphQLSchema, source: string): DocumentNode | readonly GraphQLError[]
}

export interface PipelineOptions extends Limits {
  readonly introspection: boolean
}

const KEPT = 1_000
/** Characters: a document takes some hundred times its text, with the plans that hang on it. */
const KEPT_TEXT = 1_000_000

export function createPipeline(options: PipelineOptions): Pipeline {
  const rules: ValidationRule[] = [
    depthRule(options),
    rootFieldsRule(options),
    ...(options.introspection ? [] : [NoSchemaIntrospectionCustomRule]),
  ]
  // Documents that passed, per schema: the engine knows a document again by its object.
  let schemaOf: GraphQLSchema | undefined
  const known = new LRUCache<string, DocumentNode>({
    max: KEPT,
    maxSize: KEPT_TEXT,
    sizeCalculation: (_document, source) => source.length + 1,
  })

  return {
    rules,
    limits: options,
    prepare(schema, source) {
      if (schema !== schemaOf) known.clear()
      schemaOf = schema
      const document = known.get(source)
      if (document) return document
      const deep = checkNesting(source, options)
      if (deep) return [deep]
      let parsed: DocumentNode
      try {
        parsed = parse(source, { maxTokens: options.maxTokens })
      } catch (error) {
        return [sizeError(error, options) ?? withCode(error as GraphQLError, 'GRAPHQL_PARSE_FAILED')]
      }
      const errors = validate(schema, parsed, [...specifiedRules, ...rules])
      if (errors.length > 0) return errors.map((error) => withCode(error, 'GRAPHQL_VALIDATION_FAILED'))
      known.set(source, parsed)
      return parsed
    },
  }
}

/** Adds the code that Apollo Server gives on its own way, where the error has none. */
function withCode(error: GraphQLError, code: string): GraphQLError {
  if (error.extensions?.code) return error
  return new GraphQLError(error.message, {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    extensions: { ...error.extensions, code },
  })
}
