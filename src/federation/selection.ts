/**
 * What a client's selection means for an object of a given type: the fields that apply, merged over fragments, in
 * the order the specification prescribes (GraphQL October 2021, 6.3.2 CollectFields).
 *
 * Built once per operation and asked per type the first time an object of that type is seen.
 */
import {
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLInterfaceType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isObjectType,
  Kind,
  SchemaMetaFieldDef,
  type SelectionSetNode,
  TypeMetaFieldDef,
  TypeNameMetaFieldDef,
} from 'graphql'
import type { ConcreteOperation } from './operation.ts'

export interface FieldPlan {
  /** The key under which the value travels. */
  readonly key: string
  /** The key in the answer. */
  readonly clientKey: string
  readonly name: string
  readonly parent: string
  readonly type: GraphQLOutputType
  /** For objects, interfaces and unions. */
  readonly selection: Selection | undefined
}

/** What all selections of one operation know of each other. */
interface Shared {
  readonly known: Map<string, Selection>
  readonly ids: Map<SelectionSetNode, number>
}

export class Selection {
  readonly type: GraphQLCompositeType
  readonly #schema: GraphQLSchema
  readonly #sets: readonly SelectionSetNode[]
  readonly #operation: ConcreteOperation
  readonly #shared: Shared
  readonly #byType = new Map<string, readonly FieldPlan[]>()
  #dependsOnType: boolean | undefined

  constructor(
    schema: GraphQLSchema,
    type: GraphQLCompositeType,
    sets: readonly SelectionSetNode[],
    operation: ConcreteOperation,
    shared: Shared = { known: new Map(), ids: new Map() },
  ) {
    this.#schema = schema
    this.type = type
    this.#sets = sets
    this.#operation = operation
    this.#shared = shared
  }

  /** @param type A possible type of this selection's type, or the interface itself where no type is known. */
  fields(type: GraphQLObjectType | GraphQLInterfaceType): readonly FieldPlan[] {
    const known = this.#byType.get(type.name)
    if (known) return known
    const groups = new Map<string, { name: string; sets: SelectionSetNode[] }>()
    const visited = new Set<string>()
    for (const set of this.#sets) this.#collect(type, set, groups, visited)
    const fields: FieldPlan[] = []
    for (const [key, { name, sets }] of groups) {
      const definition = fieldOf(this.#schema, type, name)
      if (!definition) continue
      const named = getNamedType(definition.type)
      fields.push({
        key,
        clientKey: this.#operation.clientKeys.get(key) ?? key,
        name,
        parent: type.name,
        type: definition.type,
        selection: isCompositeType(named) ? this.#nested(named, sets) : undefined,
      })
    }
    this.#byType.set(type.name, fields)
    return fields
  }

  possibleTypes(): readonly GraphQLObjectType[] {
    return isObjectType(this.type) ? [this.type] : this.#schema.getPossibleTypes(this.type)
  }

  /** One object for the same selection of the same type, whatever the ways that lead there. */
  #nested(type: GraphQLCompositeType, sets: readonly SelectionSetNode[]): Selection {
    const { known, ids } = this.#shared
    const key = sets.reduce((text, set) => {
      let id = ids.get(set)
      if (id === undefined) {
        id = ids.size
        ids.set(set, id)
      }
      return `${text} ${id}`
    }, type.name)
    let nested = known.get(key)
    if (!nested) {
      nested = new Selection(this.#schema, type, sets, this.#operation, this.#shared)
      known.set(key, nested)
    }
    return nested
  }

  /** Whether the answer differs between possible types: `__typename`, or a fragment that not all of them match. */
  get dependsOnType(): boolean {
    this.#dependsOnType ??= this.#sets.some((set) => this.#looksAtType(set, new Set()))
    return this.#dependsOnType
  }

  #looksAtType(set: SelectionSetNode, visited: Set<string>): boolean {
    return set.selections.some((selection) => {
      if (selection.kind === Kind.FIELD) {
        return selection.name.value === '__typename' && selection.alias?.value !== this.#operation.fillerKey
      }
      const fragment =
        selection.kind === Kind.INLINE_FRAGMENT ? selection : this.#spread(selection.name.value, visited)
      if (!fragment) return false
      const condition = fragment.typeCondition?.name.value
      if (condition !== undefined && condition !== this.type.name) {
        const type = this.#schema.getType(condition)
        const always = isAbstractType(type) && !isObjectType(this.type) && this.#covers(type)
        if (!always) return true
      }
      return this.#looksAtType(fragment.selectionSet, visited)
    })
  }

  #covers(condition: GraphQLCompositeType): boolean {
    return (
      isAbstractType(condition) &&
      isAbstractType(this.type) &&
      this.#schema.getPossibleTypes(this.type).every((type) => this.#schema.isSubType(condition, type))
    )
  }

  #spread(name: string, visited: Set<string>): FragmentDefinitionNode | undefined {
    if (visited.has(name)) return undefined
    visited.add(name)
    return this.#operation.fragments.get(name)
  }

  #collect(
    type: GraphQLObjectType | GraphQLInterfaceType,
    set: SelectionSetNode,
    groups: Map<string, { name: string; sets: SelectionSetNode[] }>,
    visited: Set<string>,
  ): void {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value
        if (key === this.#operation.fillerKey) continue
        let group = groups.get(key)
        if (!group) {
          group = { name: selection.name.value, sets: [] }
          groups.set(key, group)
        }
        if (selection.selectionSet) group.sets.push(selection.selectionSet)
        continue
      }
      const fragment =
        selection.kind === Kind.INLINE_FRAGMENT ? selection : this.#spread(selection.name.value, visited)
      if (fragment && this.#matches(type, fragment.typeCondition?.name.value)) {
        this.#collect(type, fragment.selectionSet, groups, visited)
      }
    }
  }

  #matches(type: GraphQLObjectType | GraphQLInterfaceType, condition: string | undefined): boolean {
    if (condition === undefined || condition === type.name) return true
    const conditional = this.#schema.getType(condition)
    return isAbstractType(conditional) && this.#schema.isSubType(conditional, type)
  }
}

function fieldOf(
  schema: GraphQLSchema,
  type: GraphQLObjectType | GraphQLInterfaceType,
  name: string,
): GraphQLField<unknown, unknown> | undefined {
  if (name === '__typename') return TypeNameMetaFieldDef
  if (type === schema.getQueryType()) {
    if (name === '__schema') return SchemaMetaFieldDef
    if (name === '__type') return TypeMetaFieldDef
  }
  return type.getFields()[name]
}
