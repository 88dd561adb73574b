/** One operation, ready to run: planned, compiled, and knowing how to complete its answer. */
import {
  type ExecutionResult,
  executeSync,
  type FieldNode,
  GraphQLError,
  type GraphQLObjectType,
  type GraphQLSchema,
  Kind,
  type OperationTypeNode,
  type SelectionSetNode,
} from 'graphql'
import { compileFetch, compilePlan, type Fetch, type Run, type Step, type Surroundings } from './compile.ts'
import { complete } from './complete.ts'
import { type ConcreteOperation, documentOf } from './operation.ts'
import { set } from './property.ts'
import { Selection } from './selection.ts'
import type { LoadedSupergraph } from './supergraph.ts'

export interface Executable<TContext> {
  readonly kind: OperationTypeNode
  /** Asks the subgraphs. For a subscription: what follows each event; undefined where the event says it all. */
  readonly step: Step<TContext> | undefined
  readonly subscription: Fetch<TContext> | undefined
  /** From what was gathered to the answer. */
  finish(run: Run<TContext>): ExecutionResult
}

/** @throws whatever the planner throws for an operation it cannot plan. */
export function prepareExecutable<TContext>(
  supergraph: LoadedSupergraph,
  operation: ConcreteOperation,
  surroundings: Surroundings<TContext>,
): Executable<TContext> {
  const { schema } = supergraph
  const { definition, clientKeys } = operation
  const root = schema.getRootType(definition.operation)
  if (!root) throw new Error(`The schema has no ${definition.operation} type`)
  const selection = new Selection(schema, root, [definition.selectionSet], operation)
  const introspect = introspection(schema, root, operation, selection)
  const onlyTypename = selection.fields(root).every((field) => field.name.startsWith('__'))

  const plan = onlyTypename ? undefined : supergraph.plan(documentOf(operation))
  const subscription =
    plan?.kind === 'Subscription' ? compileFetch(plan.primary, [], surroundings) : undefined
  const body = plan?.kind === 'Subscription' ? plan.rest : plan

  return {
    kind: definition.operation,
    step: body && compilePlan(body, surroundings),
    subscription,
    finish(run) {
      introspect?.(run)
      const { data, errors } = complete(schema, root, selection, run.data, (path) =>
        run.explanations.covers(path),
      )
      if (run.errors.length === 0 && errors.length === 0) return { data }
      const all = [...run.errors, ...errors]
      return { errors: clientKeys.size > 0 ? all.map((error) => atClientKeys(error, clientKeys)) : all, data }
    },
  }
}

function atClientKeys(error: GraphQLError, clientKeys: ConcreteOperation['clientKeys']): GraphQLError {
  const { message, path, extensions } = error
  if (!path) return error
  return new GraphQLError(message, {
    path: path.map((element) => clientKeys.get(String(element)) ?? element),
    extensions,
  })
}

/** Answers `__schema` and `__type` from the public schema; nothing for operations that do not ask. */
function introspection<TContext>(
  schema: GraphQLSchema,
  root: GraphQLObjectType,
  { definition, fragments }: ConcreteOperation,
  selection: Selection,
): ((run: Run<TContext>) => void) | undefined {
  const asked = selection.fields(root).filter(({ name }) => name === '__schema' || name === '__type')
  if (asked.length === 0) return undefined
  const fields: FieldNode[] = []
  const collect = (set: SelectionSetNode): void => {
    for (const node of set.selections) {
      if (node.kind === Kind.FIELD) {
        if (node.name.value === '__schema' || node.name.value === '__type') fields.push(node)
      } else {
        const fragment = node.kind === Kind.INLINE_FRAGMENT ? node : fragments.get(node.name.value)
        if (fragment) collect(fragment.selectionSet)
      }
    }
  }
  collect(definition.selectionSet)
  const document = {
    kind: Kind.DOCUMENT,
    definitions: [
      { ...definition, directives: [], selectionSet: { kind: Kind.SELECTION_SET, selections: fields } },
      ...fragments.values(),
    ],
  } as const
  const answer = (variables: Run<TContext>['variables']) =>
    executeSync({ schema, document, variableValues: variables })
  // Without variables the answer is the same for everyone: graphql-js would spend milliseconds on it each time.
  const constant = definition.variableDefinitions?.length ? undefined : answer({})
  return (run) => {
    const { data, errors } = constant ?? answer(run.variables)
    for (const [key, value] of Object.entries(data ?? {})) set(run.data, key, value)
    run.errors.push(...(errors ?? []))
  }
}
