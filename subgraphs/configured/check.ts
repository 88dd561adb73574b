/** Whether a configured schema and what is said about its fields fit together. Everything that is wrong is told. */
import {
  type DocumentNode,
  Kind,
  type ObjectTypeDefinitionNode,
  type ObjectTypeExtensionNode,
  parse,
} from 'graphql'
import type { Problem } from '../../src/config/load.ts'
import type { OwnGraph } from '../../src/systems/port.ts'
import type { Systems } from '../../src/systems/registry.ts'

type ObjectNode = ObjectTypeDefinitionNode | ObjectTypeExtensionNode

/** Object types by name, extensions included. */
export function objectTypes(typeDefs: DocumentNode): ReadonlyMap<string, readonly ObjectNode[]> {
  const types = new Map<string, ObjectNode[]>()
  for (const node of typeDefs.definitions) {
    if (node.kind !== Kind.OBJECT_TYPE_DEFINITION && node.kind !== Kind.OBJECT_TYPE_EXTENSION) continue
    const same = types.get(node.name.value)
    if (same) same.push(node)
    else types.set(node.name.value, [node])
  }
  return types
}

/** Field names of each `@key` of a type; null for one that reaches into other types. */
export function keysOf(nodes: readonly ObjectNode[]): readonly (readonly string[] | null)[] {
  return nodes
    .flatMap((node) => node.directives ?? [])
    .filter((directive) => directive.name.value === 'key')
    .map((directive) => {
      const fields = directive.arguments?.find((argument) => argument.name.value === 'fields')?.value
      if (fields?.kind !== Kind.STRING) return null
      const [operation] = parse(`{${fields.value}}`, { noLocation: true }).definitions
      if (operation?.kind !== Kind.OPERATION_DEFINITION) return null
      const names: string[] = []
      for (const one of operation.selectionSet.selections) {
        if (one.kind !== Kind.FIELD || one.selectionSet) return null
        names.push(one.name.value)
      }
      return names
    })
}

export function checkOwnGraph(
  systems: Systems,
  typeDefs: DocumentNode,
  graph: OwnGraph,
  at: string,
): Problem[] {
  const problems: Problem[] = []
  const types = objectTypes(typeDefs)
  const fieldsOf = (type: string) =>
    (types.get(type) ?? []).flatMap((node) => node.fields ?? []).map((field) => field.name.value)
  const tell = (path: string, message: string, hint?: string) =>
    problems.push({ path: `${at}.${path}`, message, hint })

  for (const type of ['Mutation', 'Subscription']) {
    if (types.has(type)) tell('sdl', `has a type ${type}: own types can only be read`)
  }

  for (const [name, port] of Object.entries(graph.types)) {
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
    for (const field of fieldsOf(name)) {
      if (port.fields.includes(field) || `${name}.${field}` in graph.fields) continue
      tell(
        'sdl',
        `nothing tells where ${name}.${field} comes from`,
        `Add it to types.${name}.map or to fields.`,
      )
    }
  }

  for (const [name, nodes] of types) {
    // Of entities that others own, the key comes with the reference; all else is added here.
    const keys = keysOf(nodes)
    if (name in graph.types || (keys.length === 0 && name !== 'Query')) continue
    for (const field of fieldsOf(name)) {
      if (keys.some((key) => key?.includes(field)) || `${name}.${field}` in graph.fields) continue
      tell('sdl', `nothing tells where ${name}.${field} comes from`, 'Add it to fields.')
    }
  }

  for (const [path, source] of Object.entries(graph.fields)) {
    const [type = '', field = ''] = path.split('.')
    if (!fieldsOf(type).includes(field)) tell(`fields.${path}`, 'is not in the schema')
    if ('system' in source && source.system !== undefined && !systems.get(source.system)) {
      const known = systems.all().map(({ id }) => id)
      tell(`fields.${path}.system`, `names no system: "${source.system}"`, `Systems: ${known.join(', ')}.`)
    }
    if (source.get === 'lookup' && source.system !== undefined && (type in graph.types || type === 'Query')) {
      tell(`fields.${path}.system`, 'is for fields of Customer, Product and the like; give "key" here')
    }
  }
  return problems
}
