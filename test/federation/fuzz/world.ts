/**
 * The data of a random graph, and who tells it: each subgraph its part, and one schema all of it. Every value follows
 * from the object, the field and the arguments, so nothing is kept and all tell the same.
 *
 * A subgraph is strict: it answers only to keys that it declares, to a field that requires others only with what it
 * requires, and never for a field that another has taken over.
 */
import { buildSubgraphSchema } from '@apollo/subgraph'
import {
  buildSchema,
  type ConstDirectiveNode,
  type FieldDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  isAbstractType,
  isObjectType,
  Kind,
  parse,
  printSchema,
  type SelectionSetNode,
  type TypeNode,
  valueFromASTUntyped,
} from 'graphql'
import { documentOf } from '../kit.ts'
import { hash } from './dice.ts'
import type { Graph } from './graph.ts'

export interface Rates {
  /** Of positions that may be null. */
  readonly nulls: number
  /** Of values that go wrong: a null that may not be, or an exception. */
  readonly faults: number
}

interface Instance {
  readonly type: string
  readonly id: string
  /** How the gateway named it, where it did. */
  readonly reference?: Readonly<Record<string, unknown>>
}

interface TypeThere {
  readonly kind: Kind
  readonly fields: ReadonlyMap<string, FieldDefinitionNode>
  readonly interfaces: readonly string[]
  /** Of a union, or values of an enum. */
  readonly members: readonly string[]
  readonly keys: readonly { readonly fields: SelectionSetNode; readonly isResolvable: boolean }[]
  readonly isInterfaceObject: boolean
}

/** What is the same of a field wherever it is told. */
interface FieldSpec {
  /** The strictest of all. */
  readonly type: TypeNode
  readonly mayFail: boolean
  readonly possible: readonly string[]
  readonly args: ReadonlyMap<string, TypeNode>
  readonly requires: SelectionSetNode | undefined
}

type Arguments = Readonly<Record<string, unknown>>

const perEntity = 3

export class World {
  /** Root fields of mutations, as they were carried out. */
  readonly mutations: string[] = []
  readonly #graph: Graph
  readonly #rates: Rates
  readonly #seed: number
  readonly #subgraphs = new Map<string, Map<string, TypeThere>>()
  readonly #specs = new Map<string, FieldSpec>()
  /** `Type.field` of all that keys and requirements mention. */
  readonly #needed = new Set<string>()
  /** Types in which requirements look: a null that goes up in the client's part of such an object takes the other along. */
  readonly #lookedInto = new Set<string>()
  /** `subgraph Type.field` of what `@provides` mentions. */
  readonly #provided = new Set<string>()

  constructor(graph: Graph, seed: number, rates: Rates) {
    this.#graph = graph
    this.#rates = rates
    this.#seed = seed
    for (const [name, sdl] of Object.entries(graph)) this.#subgraphs.set(name, readTypes(sdl))
    for (const [name, types] of this.#subgraphs) {
      for (const [typeName, type] of types) {
        for (const key of type.keys) this.#need(typeName, key.fields)
        for (const field of type.fields.values()) {
          const requires = fieldSet(field.directives, 'requires')
          if (requires) this.#need(typeName, requires)
          const provides = fieldSet(field.directives, 'provides')
          for (const provided of provides?.selections ?? []) {
            if (provided.kind === Kind.FIELD)
              this.#provided.add(`${name} ${namedType(field.type)}.${provided.name.value}`)
          }
        }
      }
    }
  }

  subgraph(name: string): GraphQLSchema {
    const types = this.#subgraphs.get(name)
    if (!types) throw new Error(`no subgraph ${name}`)
    const schema = buildSubgraphSchema({ typeDefs: documentOf(this.#graph[name] ?? '') })
    this.#resolveBy(schema, (instance, field, args, parent) => {
      const spec = this.#spec(parent === 'Query' || parent === 'Mutation' ? parent : instance.type, field)
      const type = types.get(parent)
      const there = type?.fields.get(field)
      if (there && this.#takenOver(parent, field, name))
        throw new Error(`${parent}.${field} is not asked here`)
      if (
        there &&
        isExternal(there) &&
        !this.#provided.has(`${name} ${parent}.${field}`) &&
        !this.#inKey(type, field)
      ) {
        throw new Error(`${parent}.${field} is external here`)
      }
      if (!spec.requires) return this.#value(instance, field, args, spec)
      const { reference } = instance
      const isProvided = spec.requires.selections.some(
        (needed) =>
          needed.kind === Kind.FIELD && this.#provided.has(`${name} ${parent}.${needed.name.value}`),
      )
      if (!reference && !isProvided) throw new Error(`${parent}.${field} is asked without what it requires`)
      const required = reference ? pick(reference, spec.requires) : this.#required(instance, spec.requires)
      return this.#value(instance, field, args, spec, required)
    })
    const entities = schema.getQueryType()?.getFields()._entities
    if (entities) {
      entities.resolve = (_, { representations }) =>
        representations.map((reference: Record<string, unknown>) => {
          try {
            return this.#refer(types, reference)
          } catch (error) {
            return error
          }
        })
    }
    for (const type of Object.values(schema.getTypeMap())) {
      if (isAbstractType(type)) {
        type.resolveType = (instance: Instance) => (types.get(instance.type) ? instance.type : 'Medium')
      }
    }
    return schema
  }

  /** @param apiSchema What clients may ask. */
  monolith(apiSchema: GraphQLSchema): GraphQLSchema {
    const schema = buildSchema(printSchema(apiSchema))
    this.#resolveBy(schema, (instance, field, args, parent) => {
      const spec = this.#spec(parent === 'Query' || parent === 'Mutation' ? parent : instance.type, field)
      const required = spec.requires && this.#required(instance, spec.requires)
      return this.#value(instance, field, args, spec, required)
    })
    for (const type of Object.values(schema.getTypeMap())) {
      if (isAbstractType(type)) type.resolveType = (instance: Instance) => instance.type
    }
    return schema
  }

  #resolveBy(
    schema: GraphQLSchema,
    resolve: (instance: Instance, field: string, args: Arguments, parent: string) => unknown,
  ): void {
    for (const type of Object.values(schema.getTypeMap())) {
      if (!isObjectType(type) || type.name.startsWith('_')) continue
      for (const field of Object.values(type.getFields())) {
        if (field.name.startsWith('_')) continue
        field.resolve = (source, args) => {
          const instance = source ?? { type: type.name, id: type.name }
          if (type.name === 'Mutation') this.mutations.push(`${field.name} ${canonical(args)}`)
          return resolve(instance, field.name, args, type.name)
        }
      }
    }
  }

  #need(typeName: string, set: SelectionSetNode): void {
    for (const selection of set.selections) {
      if (selection.kind !== Kind.FIELD) continue
      const field = selection.name.value
      const of = [...this.#subgraphs.values()].find((types) => types.get(typeName)?.fields.has(field))
      const definition = of?.get(typeName)?.fields.get(field)
      for (const name of [typeName, ...this.#implementing(typeName)]) this.#needed.add(`${name}.${field}`)
      if (selection.selectionSet && definition) {
        const inside = namedType(definition.type)
        this.#lookedInto.add(inside)
        this.#need(inside, selection.selectionSet)
      }
    }
  }

  /** Object types that any subgraph declares as implementations. */
  #implementing(interfaceName: string): string[] {
    const found = new Set<string>()
    for (const types of this.#subgraphs.values()) {
      for (const [name, type] of types) {
        if (type.kind === Kind.OBJECT_TYPE_DEFINITION && type.interfaces.includes(interfaceName))
          found.add(name)
      }
    }
    return [...found].sort()
  }

  #takenOver(typeName: string, field: string, from: string): boolean {
    return [...this.#subgraphs.values()].some((types) =>
      types
        .get(typeName)
        ?.fields.get(field)
        ?.directives?.some(
          (directive) => directive.name.value === 'override' && argument(directive, 'from') === from,
        ),
    )
  }

  #inKey(type: TypeThere | undefined, field: string): boolean {
    return !!type?.keys.some(({ fields }) =>
      fields.selections.some((s) => s.kind === Kind.FIELD && s.name.value === field),
    )
  }

  #spec(typeName: string, field: string): FieldSpec {
    const key = `${typeName}.${field}`
    let spec = this.#specs.get(key)
    if (!spec) {
      spec = this.#findSpec(typeName, field)
      this.#specs.set(key, spec)
    }
    return spec
  }

  #findSpec(typeName: string, field: string): FieldSpec {
    const tellers = (name: string) =>
      [...this.#subgraphs].flatMap(([subgraph, types]) => {
        const definition = types.get(name)?.fields.get(field)
        const counts =
          definition &&
          (!isExternal(definition) || this.#provided.has(`${subgraph} ${name}.${field}`)) &&
          !this.#takenOver(name, field, subgraph)
        return counts ? [{ types, definition }] : []
      })
    let told = tellers(typeName)
    if (told.length === 0) {
      // Of an interface that some subgraph knows as an object.
      const interfaces = [...this.#subgraphs.values()].flatMap(
        (types) => types.get(typeName)?.interfaces ?? [],
      )
      told = [...new Set(interfaces)].flatMap(tellers)
    }
    const [first] = told
    if (!first) throw new Error(`nobody tells ${typeName}.${field}`)
    const types = told.map(({ definition }) => definition.type)
    const named = namedType(first.definition.type)
    const args = (first.definition.arguments ?? []).filter(({ name }) =>
      told.every(({ definition }) => definition.arguments?.some((arg) => arg.name.value === name.value)),
    )
    return {
      type: types.reduce(strictest),
      mayFail:
        !this.#needed.has(`${typeName}.${field}`) &&
        !this.#lookedInto.has(typeName) &&
        types.every((type) => same(type, types[0])),
      possible: told
        .map(({ types }) => this.#possible(types, named))
        .reduce((a, b) => a.filter((x) => b.includes(x))),
      args: new Map(args.map((arg) => [arg.name.value, arg.type])),
      requires: told.map(({ definition }) => fieldSet(definition.directives, 'requires')).find((r) => r),
    }
  }

  /** The object types of a composite type, or the values of an enum, that a subgraph can tell. */
  #possible(types: ReadonlyMap<string, TypeThere>, named: string): string[] {
    const type = types.get(named)
    if (type?.isInterfaceObject) return this.#implementing(named)
    if (type?.kind === Kind.INTERFACE_TYPE_DEFINITION) {
      return [...types]
        .filter(([, t]) => t.interfaces.includes(named))
        .map(([name]) => name)
        .sort()
    }
    if (type?.kind === Kind.UNION_TYPE_DEFINITION || type?.kind === Kind.ENUM_TYPE_DEFINITION) {
      return [...type.members].sort()
    }
    return type ? [named] : []
  }

  #isEntity(typeName: string): boolean {
    return [...this.#subgraphs.values()].some((types) => (types.get(typeName)?.keys.length ?? 0) > 0)
  }

  #refer(types: ReadonlyMap<string, TypeThere>, reference: Readonly<Record<string, unknown>>): Instance {
    const typeName = String(reference.__typename)
    const type = types.get(typeName)
    const keys = type?.keys.filter(({ isResolvable }) => isResolvable) ?? []
    const candidates =
      type?.isInterfaceObject || type?.kind === Kind.INTERFACE_TYPE_DEFINITION
        ? this.#implementing(typeName)
        : [typeName]
    for (const candidate of candidates) {
      for (let n = 0; n < perEntity; n++) {
        const instance: Instance = { type: candidate, id: `${candidate}-${n}` }
        const isIt = keys.some(
          ({ fields }) => canonical(this.#required(instance, fields)) === canonical(pick(reference, fields)),
        )
        if (isIt) return { ...instance, reference }
      }
    }
    throw new Error(`no key of ${typeName} in ${canonical(reference)}`)
  }

  /** What a field set says of an object. */
  #required(instance: Instance, set: SelectionSetNode): unknown {
    const result: Record<string, unknown> = {}
    for (const selection of set.selections) {
      if (selection.kind !== Kind.FIELD) continue
      const { value: field } = selection.name
      const spec = this.#spec(instance.type, field)
      const args: Record<string, unknown> = this.#defaults(instance.type, field)
      for (const arg of selection.arguments ?? []) {
        args[arg.name.value] = this.#coerce(spec.args.get(arg.name.value), valueFromASTUntyped(arg.value))
      }
      const required = spec.requires && this.#required(instance, spec.requires)
      const nested = selection.selectionSet
      const inside = (value: unknown): unknown => {
        if (Array.isArray(value)) return value.map(inside)
        return nested && value !== null ? this.#required(value as Instance, nested) : value
      }
      result[field] = inside(this.#value(instance, field, args, spec, required))
    }
    return result
  }

  #defaults(typeName: string, field: string): Record<string, unknown> {
    const found = [...this.#subgraphs.values()]
      .map((types) => types.get(typeName)?.fields.get(field))
      .find((definition) => definition && !isExternal(definition))
    const args = (found?.arguments ?? []).flatMap(({ name, type, defaultValue }) =>
      defaultValue ? [[name.value, this.#coerce(type, valueFromASTUntyped(defaultValue))]] : [],
    )
    return Object.fromEntries(args)
  }

  /** Defaults of input fields; lists of one. */
  #coerce(type: TypeNode | undefined, value: unknown): unknown {
    if (!type || value === null || value === undefined) return value
    if (type.kind === Kind.NON_NULL_TYPE) return this.#coerce(type.type, value)
    if (type.kind === Kind.LIST_TYPE) {
      return (Array.isArray(value) ? value : [value]).map((item) => this.#coerce(type.type, item))
    }
    if (type.name.value !== 'Filter' || typeof value !== 'object') return value
    const inner = (value as Record<string, unknown>).inner
    return { n: 7, ...value, ...(inner ? { inner: this.#coerce(type, inner) } : {}) }
  }

  #value(instance: Instance, field: string, args: Arguments, spec: FieldSpec, required?: unknown): unknown {
    const said = Object.fromEntries([...spec.args.keys()].sort().map((name) => [name, args[name]]))
    const about = `${instance.id}.${field}(${canonical(said)})${required === undefined ? '' : canonical(required)}`
    const isKey = this.#isEntity(instance.type) && keyValues[field]
    if (isKey) return isKey(instance)
    if (instance.type === 'Sku')
      return field === 'code' ? `code of ${instance.id}` : hash(instance.id) % 3 || null
    const make = (type: TypeNode, place: string): unknown => {
      const luck = (what: string): number => (hash(`${this.#seed} ${what} ${place}`) % 10_000) / 10_000
      if (type.kind === Kind.NON_NULL_TYPE) {
        if (spec.mayFail && luck('null') < this.#rates.faults) return null
        return make(type.type, `${place}!`)
      }
      if (type.kind === Kind.LIST_TYPE) {
        if (!place.endsWith('!') && luck('list') < this.#rates.nulls) return null
        const length = Math.floor(luck('length') * 4)
        return Array.from({ length }, (_, i) => make(type.type, `${place}[${i}]`))
      }
      if (!place.endsWith('!') && luck('value') < this.#rates.nulls) return null
      if (spec.mayFail && luck('error') < this.#rates.faults) return new GraphQLError(`${place} went wrong`)
      return this.#leafOr(type.name.value, place, spec)
    }
    const value = make(spec.type, about)
    if (value instanceof Error) throw value
    return value
  }

  #leafOr(named: string, place: string, { possible }: FieldSpec): unknown {
    const number = hash(`${this.#seed} ${place}`)
    switch (named) {
      case 'Int':
        return number % 1000
      case 'Float':
        return (number % 1000) / 8
      case 'String':
        return `s${number % 1000}${number % 7 === 0 ? ' "ü\n\u2028' : ''}`
      case 'ID':
        return `i${number % 1000}`
      case 'Boolean':
        return number % 2 === 0
      case 'Json':
        return [
          number % 10,
          'text',
          0,
          { a: [1, { __typename: 'T0', id: 1 }], n: number % 10 },
          [],
          [null, 'x'],
          false,
        ][number % 7]
    }
    const type = possible[number % possible.length]
    if (type === undefined) return null
    if (this.#isEntity(type)) return { type, id: `${type}-${(number >>> 8) % perEntity}` }
    return /^[A-Z]+$/.test(type) ? type : { type, id: `${place}` }
  }
}

/** Of keys: one to one with the entity. */
const keyValues: Readonly<Record<string, (instance: Instance) => unknown>> = {
  id: ({ id }) => id,
  upc: ({ id }) => `upc of ${id}`,
  sku: ({ id }) => ({ type: 'Sku', id: `sku ${id}` }),
  part: ({ id }) => Number(id.split('-')[1]),
  lot: ({ id }) => ({ type: 'Sku', id: `lot ${id}` }),
}

function readTypes(sdl: string): Map<string, TypeThere> {
  const types = new Map<string, TypeThere>()
  for (const definition of parse(sdl).definitions) {
    if (!('name' in definition) || !definition.name || !('directives' in definition)) continue
    const keys = (definition.directives as readonly ConstDirectiveNode[]).filter(
      ({ name }) => name.value === 'key',
    )
    types.set(definition.name.value, {
      kind: definition.kind,
      fields: new Map(
        definition.kind === Kind.OBJECT_TYPE_DEFINITION || definition.kind === Kind.INTERFACE_TYPE_DEFINITION
          ? definition.fields?.map((field) => [field.name.value, field])
          : [],
      ),
      interfaces: ('interfaces' in definition && definition.interfaces?.map(({ name }) => name.value)) || [],
      members:
        definition.kind === Kind.UNION_TYPE_DEFINITION
          ? (definition.types?.map(({ name }) => name.value) ?? [])
          : definition.kind === Kind.ENUM_TYPE_DEFINITION
            ? (definition.values?.map(({ name }) => name.value) ?? [])
            : [],
      keys: keys.map((directive) => ({
        fields: setOf(String(argument(directive, 'fields'))),
        isResolvable: argument(directive, 'resolvable') !== false,
      })),
      isInterfaceObject: (definition.directives as readonly ConstDirectiveNode[]).some(
        ({ name }) => name.value === 'interfaceObject',
      ),
    })
  }
  return types
}

function argument(directive: ConstDirectiveNode, name: string): unknown {
  const value = directive.arguments?.find((arg) => arg.name.value === name)?.value
  return value && valueFromASTUntyped(value)
}

function fieldSet(
  directives: readonly ConstDirectiveNode[] | undefined,
  name: string,
): SelectionSetNode | undefined {
  const directive = directives?.find((d) => d.name.value === name)
  return directive && setOf(String(argument(directive, 'fields')))
}

function setOf(text: string): SelectionSetNode {
  const [definition] = parse(`{${text}}`).definitions
  if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error(`no field set: ${text}`)
  return definition.selectionSet
}

const isExternal = (field: FieldDefinitionNode): boolean =>
  !!field.directives?.some(({ name }) => name.value === 'external')

const namedType = (type: TypeNode): string =>
  type.kind === Kind.NAMED_TYPE ? type.name.value : namedType(type.type)

function strictest(a: TypeNode, b: TypeNode): TypeNode {
  if (a.kind === Kind.NON_NULL_TYPE) {
    const inner = strictest(a.type, b.kind === Kind.NON_NULL_TYPE ? b.type : b)
    return inner.kind === Kind.NON_NULL_TYPE ? inner : { kind: Kind.NON_NULL_TYPE, type: inner }
  }
  if (b.kind === Kind.NON_NULL_TYPE) return strictest(b, a)
  if (a.kind === Kind.LIST_TYPE && b.kind === Kind.LIST_TYPE) {
    return { kind: Kind.LIST_TYPE, type: strictest(a.type, b.type) }
  }
  return a
}

const same = (a: TypeNode, b: TypeNode | undefined): boolean =>
  b !== undefined && JSON.stringify(bare(a)) === JSON.stringify(bare(b))

const bare = (type: TypeNode): unknown =>
  type.kind === Kind.NAMED_TYPE ? type.name.value : [type.kind, bare(type.type)]

/** The part of a representation that a field set speaks of; an exception where it lacks something. */
function pick(value: unknown, set: SelectionSetNode): unknown {
  if (value === null || value === undefined) return value
  if (Array.isArray(value)) return value.map((item) => pick(item, set))
  const object = value as Record<string, unknown>
  const result: Record<string, unknown> = {}
  for (const selection of set.selections) {
    if (selection.kind !== Kind.FIELD) continue
    const { value: name } = selection.name
    result[name] = selection.selectionSet ? pick(object[name], selection.selectionSet) : object[name]
  }
  return result
}

/** JSON with sorted keys; what is undefined differs from null. */
function canonical(value: unknown): string {
  if (value === undefined) return 'undefined'
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.keys(value)
    .filter((key) => (value as Record<string, unknown>)[key] !== undefined && !key.startsWith('only'))
    .sort()
    .map((key) => `${key}:${canonical((value as Record<string, unknown>)[key])}`)
    .join()}}`
}
