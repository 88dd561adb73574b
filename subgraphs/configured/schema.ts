/** What a configured schema says: its types, their keys, and what its mutations and subscriptions take and answer. */
import {
  type DocumentNode,
  type FieldDefinitionNode,
  type InputObjectTypeDefinitionNode,
  type InputObjectTypeExtensionNode,
  type InputValueDefinitionNode,
  Kind,
  type ObjectTypeDefinitionNode,
  type ObjectTypeExtensionNode,
  parse,
  type TypeNode,
} from 'graphql'
import { joinKey, type Key } from '../../src/systems/records.ts'

export type ObjectNode = ObjectTypeDefinitionNode | ObjectTypeExtensionNode
export type ObjectTypes = ReadonlyMap<string, readonly ObjectNode[]>

/** Object types by name, extensions included. */
export const objectTypes = (typeDefs: DocumentNode): ObjectTypes =>
  Map.groupBy(
    typeDefs.definitions.filter(
      (node): node is ObjectNode =>
        node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.OBJECT_TYPE_EXTENSION,
    ),
    (node) => node.name.value,
  )

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

/** The key of a record whose `@key` has these fields. */
export function keyFrom(fields: readonly string[], of: Readonly<Record<string, unknown>>): Key {
  const parts = fields.map((field) => String(of[field] ?? ''))
  return parts.length === 1 ? (parts[0] as Key) : joinKey(parts)
}

export const fieldsOf = (types: ObjectTypes, type: string): readonly FieldDefinitionNode[] =>
  (types.get(type) ?? []).flatMap((node) => node.fields ?? [])

export const fieldOf = (types: ObjectTypes, type: string, field: string): FieldDefinitionNode | undefined =>
  fieldsOf(types, type).find((one) => one.name.value === field)

/** The name of a type without lists and exclamation marks. */
export const nameOf = (type: TypeNode): string =>
  type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type)

/** Fields of what a mutation or subscription answers with that hold the record. */
export const recordsIn = (types: ObjectTypes, answer: string, type: string): readonly string[] =>
  fieldsOf(types, answer)
    .filter((field) => nameOf(field.type) === type)
    .map((field) => field.name.value)

/** Input fields by the name of the input type. */
export function inputTypes(typeDefs: DocumentNode): ReadonlyMap<string, readonly InputValueDefinitionNode[]> {
  const nodes = typeDefs.definitions.filter(
    (node): node is InputObjectTypeDefinitionNode | InputObjectTypeExtensionNode =>
      node.kind === Kind.INPUT_OBJECT_TYPE_DEFINITION || node.kind === Kind.INPUT_OBJECT_TYPE_EXTENSION,
  )
  const fields = new Map<string, InputValueDefinitionNode[]>()
  for (const node of nodes) {
    const { value } = node.name
    fields.set(value, [...(fields.get(value) ?? []), ...(node.fields ?? [])])
  }
  return fields
}
