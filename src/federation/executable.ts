/** One operation, ready to run: planned, compiled, and knowing how to complete its answer. */
import type { FetchNode, PlanNode } from '@apollo/query-planner'
import {
  type ArgumentNode,
  type DocumentNode,
  type ExecutionResult,
  executeSync,
  type FieldNode,
  GraphQLError,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationTypeNode,
  print,
  type SelectionSetNode,
  stripIgnoredCharacters,
  visit,
} from 'graphql'
import { DataText } from './answer.ts'
import { Places } from './collect.ts'
import { compileFetch, compilePlan, type Fetch, type Run, type Step, type Surroundings } from './compile.ts'
import { complete } from './complete.ts'
import { askEachType } from './each-type.ts'
import { type ConcreteOperation, documentOf } from './operation.ts'
import { documentOf as documentOfFetch } from './plan.ts'
import { get, isObject, type Json, set } from './property.ts'
import { type FieldPlan, Selection } from './selection.ts'
import type { LoadedSupergraph } from './supergraph.ts'
import { unanswered, unansweredError } from './unanswered.ts'
import { compileWriter, type Write } from './write.ts'

/** One of the questions that a plan has. */
export interface PlannedFetch {
  readonly subgraph: string
  readonly document: DocumentNode
}

export interface Executable<TContext> {
  readonly kind: OperationTypeNode
  /** All that it may ask; of a subscription, what follows its events. */
  readonly fetches: readonly PlannedFetch[]
  /** Asks the subgraphs. For a subscription: what follows each event; undefined where the event says it all. */
  readonly step: Step<TContext> | undefined
  readonly subscription: SubscriptionPlan<TContext> | undefined
  /**
   * From what was gathered to the answer.
   * @param asText Data becomes a `DataText`, where it is without fault.
   */
  finish(run: Run<TContext>, asText?: boolean): ExecutionResult
}

/** How a subscription begins, and who may share its stream. */
export interface SubscriptionPlan<TContext> {
  readonly fetch: Fetch<TContext>
  /** The key of the one root field. */
  readonly rootKey: string
  /** Equal for operations whose events and answers are equal, whatever event they begin with. */
  readonly identity: string
  /** @param variables Coerced. */
  withoutReplay(variables: Readonly<Record<string, unknown>>): {
    /** Those that the events depend on, sorted by name. */
    readonly common: Readonly<Record<string, unknown>>
    /** Whether the stream begins before now. */
    readonly isReplay: boolean
    /** Whether asking with `common` alone would begin now: no literal says otherwise. */
    readonly canBeginNow: boolean
  }
}

/** Under this key an event's cursor travels, whether the client asked for it or not. */
export const eventCursorKey = 'event__cursor'

/**
 * @param draw Of `drawOverride`.
 * @throws whatever the planner throws for an operation it cannot plan.
 */
export function prepareExecutable<TContext>(
  supergraph: LoadedSupergraph,
  operation: ConcreteOperation,
  surroundings: Surroundings<TContext>,
  replay: { readonly arguments: readonly string[]; readonly cursorField: string },
  draw: number,
): Executable<TContext> {
  const { schema } = supergraph
  const { definition, clientKeys } = operation
  const root = schema.getRootType(definition.operation)
  if (!root) throw new Error(`The schema has no ${definition.operation} type`)
  const selection = new Selection(schema, root, [definition.selectionSet], operation)
  const introspect = introspection(schema, root, operation, selection)
  const onlyTypename = selection.fields(root).every((field) => field.name.startsWith('__'))

  const plan = onlyTypename ? undefined : supergraph.plan(documentOf(operation), draw)
  const subscription =
    plan?.kind === 'Subscription'
      ? planSubscription(schema, operation, plan.primary, surroundings, replay)
      : undefined
  const rest = plan?.kind === 'Subscription' ? plan.rest : plan
  const body = rest && askEachType(schema, selection, rest)
  const left = unanswered(selection, plan)
  // Nothing is to be had of the operation then; further down the rest of it is.
  for (const { key, name } of selection.fields(root)) {
    if (left.has(key)) throw unansweredError(`${root.name}.${name}`)
  }

  const inClientKeys = (errors: readonly GraphQLError[]): readonly GraphQLError[] =>
    clientKeys.size > 0 ? errors.map((error) => atClientKeys(error, clientKeys)) : errors
  const told = (run: Run<TContext>): readonly GraphQLError[] =>
    run.errors.map((error) => withinAnswer(schema, selection, run.data, error))
  let writer: Write | undefined

  const sure = selection.fields(root).filter(({ type }) => isNonNullType(type))
  const isLost = ({ data, explanations }: Run<TContext>): boolean =>
    sure.some(({ key }) => get(data, key) == null && explanations.covers([key]))
  /** Once a mutation's answer is lost, nobody would learn what the next ones did: they are not sent, as in one server. */
  const whileOfUse = (node: PlanNode): Step<TContext> => {
    const places = new Places(node, [])
    const steps = (node.kind === 'Sequence' ? node.nodes : [node]).map((child) =>
      compilePlan(child, surroundings, [], places),
    )
    return async (run) => {
      for (const step of steps) {
        await step(run)
        if (isLost(run)) return
      }
    }
  }

  return {
    kind: definition.operation,
    fetches: body ? fetchesOf(body) : [],
    step: body && (definition.operation === 'mutation' ? whileOfUse(body) : compilePlan(body, surroundings)),
    subscription,
    finish(run, asText = false) {
      introspect?.(run)
      if (asText && left.size === 0) {
        writer ??=
          compileWriter(schema, root, selection, repeatedSelections(selection, body)) ?? (() => undefined)
        const text = writer(run.data)
        if (text !== undefined) {
          const data = new DataText(text) as never
          return run.errors.length === 0 ? { data } : { errors: inClientKeys(told(run)), data }
        }
      }
      const { data, errors } = complete(
        supergraph,
        root,
        selection,
        run.data,
        (path) => run.explanations.covers(path),
        left,
      )
      if (run.errors.length === 0 && errors.length === 0) return { data }
      return { errors: inClientKeys([...told(run), ...errors]), data }
    },
  }
}

function fetchesOf(node: PlanNode): PlannedFetch[] {
  switch (node.kind) {
    case 'Fetch':
      return [{ subgraph: node.serviceName, document: documentOfFetch(node) }]
    case 'Flatten':
      return fetchesOf(node.node)
    case 'Sequence':
    case 'Parallel':
      return node.nodes.flatMap(fetchesOf)
    case 'Condition':
      return [node.ifClause, node.elseClause].flatMap((clause) => (clause ? fetchesOf(clause) : []))
    case 'Defer':
      return []
  }
}

/** Selections of the objects that walks make one. */
function repeatedSelections(root: Selection, plan: PlanNode | undefined): Set<Selection> {
  const repeated = new Set<Selection>()
  if (!plan) return repeated
  const find = (selection: Selection, keys: readonly (string | number)[]): void => {
    const [key, ...rest] = keys
    if (key === undefined) {
      repeated.add(selection)
      return
    }
    for (const type of selection.possibleTypes()) {
      for (const field of selection.fields(type)) {
        if (field.key === key && field.selection) find(field.selection, rest)
      }
    }
  }
  for (const keys of new Places(plan).keys()) find(root, keys)
  return repeated
}

/**
 * An error's path leads to a place of the answer (GraphQL October 2021, 7.1.2). Of what was asked for on the way,
 * a field that another one requires for instance, it ends where the answer does.
 */
function withinAnswer(
  schema: GraphQLSchema,
  selection: Selection,
  data: Json,
  error: GraphQLError,
): GraphQLError {
  const { message, path, extensions } = error
  let chosen: Selection | undefined = selection
  let type: GraphQLOutputType | undefined
  let value: unknown = data
  for (const [index, element] of (path ?? []).entries()) {
    const present = value
    const expected: GraphQLOutputType | undefined = isNonNullType(type) ? type.ofType : type
    if (isListType(expected)) {
      // A subgraph can write any path; beneath a null nobody knows how long the list would have been.
      if (
        typeof element === 'number' &&
        (Array.isArray(present) ? element < present.length : present == null)
      ) {
        type = expected.ofType
        value = Array.isArray(present) ? present[element] : undefined
        continue
      }
    } else if (typeof element === 'string') {
      const known: unknown = isObject(present) ? get(present, '__typename') : undefined
      const actual = typeof known === 'string' ? schema.getType(known) : undefined
      const field: FieldPlan | undefined = (isObjectType(actual) ? [actual] : (chosen?.possibleTypes() ?? []))
        .flatMap((possible) => chosen?.fields(possible) ?? [])
        .find(({ key }) => key === element)
      if (field) {
        chosen = field.selection
        type = field.type
        value = isObject(present) ? get(present, element) : undefined
        continue
      }
    }
    return new GraphQLError(message, { ...(index > 0 ? { path: path?.slice(0, index) } : {}), extensions })
  }
  return error
}

function atClientKeys(error: GraphQLError, clientKeys: ConcreteOperation['clientKeys']): GraphQLError {
  const { message, path, extensions } = error
  if (!path) return error
  return new GraphQLError(message, {
    path: path.map((element) => clientKeys.get(String(element)) ?? element),
    extensions,
  })
}

function planSubscription<TContext>(
  schema: GraphQLSchema,
  operation: ConcreteOperation,
  primary: FetchNode,
  surroundings: Surroundings<TContext>,
  replay: { readonly arguments: readonly string[]; readonly cursorField: string },
): SubscriptionPlan<TContext> {
  const isReplayArgument = (argument: ArgumentNode): boolean => replay.arguments.includes(argument.name.value)
  const isNothing = ({ value }: ArgumentNode): boolean =>
    value.kind === Kind.NULL || (value.kind === Kind.BOOLEAN && !value.value)

  const document = documentOfFetch(primary)
  const definition = document.definitions.find((d) => d.kind === Kind.OPERATION_DEFINITION)
  // Validation allows one root field; in the subgraph's operation fragments are expanded.
  const field = definition?.selectionSet.selections.find((s) => s.kind === Kind.FIELD)
  if (!definition || !field) throw new Error('A subscription without a field')
  const fieldDefinition = schema.getSubscriptionType()?.getFields()[field.name.value]
  const canReplay = fieldDefinition?.args.some(({ name }) => replay.arguments.includes(name)) ?? false
  const payload = fieldDefinition && getNamedType(fieldDefinition.type)
  const hasCursor = canReplay && isObjectType(payload) && replay.cursorField in payload.getFields()

  let fetched = primary
  if (hasCursor && field.selectionSet) {
    const cursor: FieldNode = {
      kind: Kind.FIELD,
      alias: { kind: Kind.NAME, value: eventCursorKey },
      name: { kind: Kind.NAME, value: replay.cursorField },
    }
    const selections = [...field.selectionSet.selections, cursor]
    const withCursor = visit(document, {
      Field: (node) =>
        node === field ? { ...node, selectionSet: { kind: Kind.SELECTION_SET, selections } } : undefined,
    })
    fetched = {
      ...primary,
      operationDocumentNode: withCursor,
      operation: stripIgnoredCharacters(print(withCursor)),
    }
  }

  // The operation as all see it who differ only in where they begin.
  const replayVariables = new Set<string>()
  let literalReplay = false
  const common = visit(documentOf(operation), {
    VariableDefinition: () => null,
    OperationDefinition: (node) => ({ ...node, name: undefined }),
    Field: (node) => {
      if (node.name.value !== field.name.value || !node.arguments?.some(isReplayArgument)) return undefined
      for (const argument of node.arguments.filter(isReplayArgument)) {
        if (argument.value.kind === Kind.VARIABLE) replayVariables.add(argument.value.name.value)
        else if (!isNothing(argument)) literalReplay = true
      }
      return { ...node, arguments: node.arguments.filter((argument) => !isReplayArgument(argument)) }
    },
  })
  visit(common, {
    Variable(variable) {
      // It says more than where to begin.
      replayVariables.delete(variable.name.value)
    },
  })
  return {
    fetch: compileFetch(fetched, [], surroundings),
    rootKey: field.alias?.value ?? field.name.value,
    identity: `${stripIgnoredCharacters(print(common))}${JSON.stringify([...operation.clientKeys])}`,
    withoutReplay(variables) {
      const entries = Object.entries(variables)
      const begins = entries.some(
        ([name, value]) => replayVariables.has(name) && value != null && value !== false,
      )
      return {
        common: Object.fromEntries(
          entries.filter(([name]) => !replayVariables.has(name)).sort(([a], [b]) => (a < b ? -1 : 1)),
        ),
        isReplay: literalReplay || begins,
        canBeginNow: !literalReplay,
      }
    },
  }
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
