/** Whether a configured schema and what is said about its fields fit together. Everything that is wrong is told. */
import { type DocumentNode, type InputValueDefinitionNode, Kind } from 'graphql'
import type { Problem } from '../../src/config/load.ts'
import type { OwnGraph, OwnMutation, OwnSubscription } from '../../src/systems/port.ts'
import type { OwnType } from '../../src/systems/records.ts'
import type { Systems } from '../../src/systems/registry.ts'
import { fieldOf, fieldsOf, inputTypes, keysOf, nameOf, objectTypes, recordsIn } from './schema.ts'

type Tell = (path: string, message: string, hint?: string) => void

/** Root types, and where their fields are said. */
const ROOTS = { Query: 'fields', Mutation: 'mutations', Subscription: 'subscriptions' } as const

export function checkOwnGraph(
  systems: Systems,
  typeDefs: DocumentNode,
  graph: OwnGraph,
  at: string,
): Problem[] {
  const problems: Problem[] = []
  const types = objectTypes(typeDefs)
  const namesIn = (type: string) => fieldsOf(types, type).map((field) => field.name.value)
  const tell: Tell = (path, message, hint) => problems.push({ path: `${at}.${path}`, message, hint })
  const checkSystem = (path: string, id: string | undefined) => {
    if (id === undefined || systems.get(id)) return
    const known = systems.all().map((system) => system.id)
    tell(path, `names no system: "${id}"`, `Systems: ${known.join(', ')}.`)
  }

  for (const [name, { fields }] of Object.entries(graph.types)) {
    const nodes = types.get(name)
    if (!nodes) {
      tell(
        `types.${name}`,
        'is not in the schema',
        `Write "type ${name} @key(fields: …) { … }" in graph.sdl.`,
      )
      continue
    }
    const keys = keysOf(nodes)
    if (keys.length !== 1 || keys[0] === null) {
      tell('sdl', `type ${name} needs one @key of plain fields: the one by which its records are read`)
    }
    for (const field of namesIn(name)) {
      if (fields.includes(field) || `${name}.${field}` in graph.fields) continue
      tell(
        'sdl',
        `nothing tells where ${name}.${field} comes from`,
        `Add it to types.${name}.map or to fields.`,
      )
    }
  }

  for (const [name, nodes] of types) {
    const place = ROOTS[name as keyof typeof ROOTS]
    // Of entities that others own, the key comes with the reference; all else is added here.
    const keys = keysOf(nodes)
    if (name in graph.types || (keys.length === 0 && place === undefined)) continue
    const known = new Set(
      Object.keys(place === undefined || place === 'fields' ? graph.fields : graph[place]),
    )
    for (const field of namesIn(name)) {
      if (keys.some((key) => key?.includes(field))) continue
      if (known.has(place === 'mutations' || place === 'subscriptions' ? field : `${name}.${field}`)) continue
      tell('sdl', `nothing tells where ${name}.${field} comes from`, `Add it to ${place ?? 'fields'}.`)
    }
  }

  for (const [path, source] of Object.entries(graph.fields)) {
    const [type = '', field = ''] = path.split('.')
    const node = fieldOf(types, type, field)
    if (!node) tell(`fields.${path}`, 'is not in the schema')
    if (type === 'Mutation' || type === 'Subscription')
      tell(`fields.${path}`, `belongs under graph.${ROOTS[type]}, as "${field}"`)
    if ('system' in source) checkSystem(`fields.${path}.system`, source.system)
    if (source.get === 'lookup' && source.system !== undefined && (type in graph.types || type === 'Query')) {
      tell(`fields.${path}.system`, 'is for fields of Customer, Product and the like; give "key" here')
    }
    if (source.get !== 'list') continue
    const { filters = [] } = graph.types[source.type as OwnType] ?? {}
    for (const { name } of node?.arguments ?? []) {
      if (['first', 'after', ...filters].includes(name.value)) continue
      const hint = `Add it to types.${source.type}.list.filters, and to the request.`
      tell('sdl', `the argument "${name.value}" of ${path} would be overlooked`, hint)
    }
  }

  const inputs = inputTypes(typeDefs)
  for (const [field, mutation] of Object.entries(graph.mutations)) {
    checkMutation(types, inputs, graph, field, mutation, tell)
    for (const [path, { system }] of Object.entries(mutation.ids))
      checkSystem(`mutations.${field}.ids.${path}.system`, system)
  }
  for (const [field, subscription] of Object.entries(graph.subscriptions))
    checkSubscription(types, field, subscription, tell)
  return problems
}

function checkMutation(
  types: ReturnType<typeof objectTypes>,
  inputs: ReturnType<typeof inputTypes>,
  graph: OwnGraph,
  field: string,
  { type, action, ids }: OwnMutation,
  tell: Tell,
): void {
  const node = fieldOf(types, 'Mutation', field)
  if (!node) {
    tell(`mutations.${field}`, 'is not in the schema', 'Write it in type Mutation of graph.sdl.')
    return
  }
  const what = `Mutation.${field}`
  const names = (node.arguments ?? []).map(({ name }) => name.value)
  const other = names.find((name) => !['input', 'dryRun', 'waitFor'].includes(name))
  if (other !== undefined || !names.includes('input'))
    tell('sdl', `${what} must have the argument "input", and may have "dryRun: Boolean" and "waitFor: Int"`)
  const argument = node.arguments?.find(({ name }) => name.value === 'input')
  const input = argument && inputs.get(nameOf(argument.type))
  if (argument && !input) tell('sdl', `${what}(input:) must be of an input type that stands in graph.sdl`)
  const fields = new Map(input?.map((one) => [one.name.value, one]))
  if (input && !isRequired(fields.get('idempotencyKey'), 'ID'))
    tell(
      'sdl',
      `the input of ${what} must have "idempotencyKey: ID!": by it the same intention is known again`,
    )
  const [key] = keysOf(types.get(type) ?? [])
  if (input && action !== 'create') {
    for (const name of key ?? [])
      if (!fields.has(name))
        tell('sdl', `the input of ${what} must have "${name}": it says which ${type} is meant`)
  }
  if (input && action === 'update') {
    const known = new Set([
      'idempotencyKey',
      'expectedVersion',
      ...(key ?? []),
      ...(graph.types[type]?.fields ?? []),
    ])
    for (const name of fields.keys()) {
      if (known.has(name)) continue
      const message = `the input of ${what} has "${name}", which is no mapped field of ${type}: whether it was changed could not be seen`
      tell('sdl', message, `Add it to types.${type}.map, or make it an action with "done".`)
    }
  }
  for (const path of Object.keys(ids)) {
    let inner = input
    for (const step of path.split('.')) {
      const one: InputValueDefinitionNode | undefined = inner?.find(({ name }) => name.value === step)
      if (inner && !one) tell(`mutations.${field}.ids.${path}`, `is not in the input of ${what}`)
      inner = one && (inputs.get(nameOf(one.type)) ?? [])
    }
  }
  const answer = nameOf(node.type)
  if (nameOf(fieldOf(types, answer, 'writeback')?.type ?? node.type) !== 'Writeback')
    tell('sdl', `${what} must answer with a type that has "writeback: Writeback!"`)
  checkAnswer(types, what, answer, type, ['writeback'], tell)
}

/** What every message of a subscription has. */
const MESSAGE = ['cursor', 'event', 'time', 'changes', 'gap'] as const

function checkSubscription(
  types: ReturnType<typeof objectTypes>,
  field: string,
  { type, filters }: OwnSubscription,
  tell: Tell,
): void {
  const node = fieldOf(types, 'Subscription', field)
  if (!node) {
    tell(`subscriptions.${field}`, 'is not in the schema', 'Write it in type Subscription of graph.sdl.')
    return
  }
  const what = `Subscription.${field}`
  const names = (node.arguments ?? []).map(({ name }) => name.value)
  for (const name of names) {
    if (['after', 'initial', ...filters].includes(name)) continue
    tell(
      'sdl',
      `the argument "${name}" of ${what} would be overlooked`,
      `Add it to subscriptions.${field}.filters.`,
    )
  }
  for (const name of filters)
    if (!names.includes(name)) tell(`subscriptions.${field}.filters`, `"${name}" is no argument of ${what}`)
  checkAnswer(types, what, nameOf(node.type), type, MESSAGE, tell)
}

/** Every field of an answer is one of those that all have, or holds the record. */
function checkAnswer(
  types: ReturnType<typeof objectTypes>,
  what: string,
  answer: string,
  type: OwnType,
  common: readonly string[],
  tell: Tell,
): void {
  const records = recordsIn(types, answer, type)
  for (const { name } of fieldsOf(types, answer)) {
    if (common.includes(name.value) || records.includes(name.value)) continue
    tell(
      'sdl',
      `nothing tells where ${answer}.${name.value} comes from: ${what} answers with ${type} and ${common.join(', ')}`,
    )
  }
}

const isRequired = (node: InputValueDefinitionNode | undefined, type: string): boolean =>
  node?.type.kind === Kind.NON_NULL_TYPE && nameOf(node.type) === type
