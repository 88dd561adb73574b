/**
 * Random graphs: the schemas of two to four subgraphs that, more often than not, compose. All that the directives of
 * Federation 2 can say of who has what is said here by dice.
 *
 * Only the schemas: what the data is follows from them (`world.ts`), so that a shrunk graph is one too.
 */
import { type Dice, diceOf } from './dice.ts'

/** Subgraph name to its SDL. */
export type Graph = Readonly<Record<string, string>>

interface Field {
  readonly name: string
  /** As SDL. */
  readonly type: string
  readonly args: string
  /** Directives but for `@external` and `@shareable`. */
  readonly directives: string
  readonly isExternal?: boolean
  readonly isShareable?: boolean
}

interface ObjectType {
  readonly name: string
  readonly interfaces: Set<string>
  readonly keys: Map<string, string>
  readonly fields: Map<string, Field>
}

interface Entity {
  readonly name: string
  /** Field sets that can be its keys; each subgraph has some of them. */
  readonly keys: readonly string[]
  readonly implements: readonly string[]
}

const keyFields: Readonly<Record<string, readonly Field[]>> = {
  id: [{ name: 'id', type: 'ID!', args: '', directives: '' }],
  upc: [{ name: 'upc', type: 'String!', args: '', directives: '' }],
  'sku { code region }': [{ name: 'sku', type: 'Sku!', args: '', directives: '' }],
  'part lot { code }': [
    { name: 'part', type: 'Int!', args: '', directives: '' },
    { name: 'lot', type: 'Sku!', args: '', directives: '' },
  ],
}

const leaves = ['Int', 'String', 'Float', 'Boolean', 'ID', 'Color', 'Mood', 'Json']

export function randomGraph(seed: number): Graph {
  const dice = diceOf(seed)
  const names = ['alpha', 'beta', 'gamma', 'delta'].slice(0, 2 + dice.below(3))
  const drafts = new Map(names.map((name) => [name, new Draft(name)]))
  const draft = (name: string): Draft => drafts.get(name) as Draft
  const some = (): Draft => draft(dice.pick(names))

  // An interface that one part of the subgraphs knows as such, with a key, and perhaps the other as an object.
  const hasMedia = dice.chance(0.6)
  const hasInterfaceObject = hasMedia && names.length > 1 && dice.chance(0.6)
  const objectSide = hasInterfaceObject ? names.slice(-1 - dice.below(Math.max(1, names.length - 2))) : []
  const interfaceSide = names.filter((name) => !objectSide.includes(name))
  const entities: Entity[] = [0, 1, 2, 3].slice(0, 2 + dice.below(3)).map((n) => {
    const isMedium = hasMedia && n < 2 + dice.below(2)
    const interfaces = [...(isMedium ? ['Medium'] : []), ...(dice.chance(0.5) ? ['Named'] : [])]
    const keys = isMedium || interfaces.length > 0 ? ['id'] : []
    for (const key of Object.keys(keyFields)) if (dice.chance(0.4) && !keys.includes(key)) keys.push(key)
    return { name: `T${n}`, keys: keys.length > 0 ? keys : ['id'], implements: interfaces }
  })
  const media = entities.filter((entity) => entity.implements.includes('Medium'))
  const named = entities.filter((entity) => entity.implements.includes('Named'))
  const members = entities.filter(() => dice.chance(0.6))
  const mayHave = (at: Draft, { implements: interfaces }: Entity): boolean =>
    !(objectSide.includes(at.name) && interfaces.includes('Medium'))

  const enter = (at: Draft, entity: Entity): ObjectType => {
    const type = at.type(entity.name)
    if (type.keys.size > 0) return type
    const chosen = entity.keys.filter((_, i) => (i === 0 ? dice.chance(0.85) : dice.chance(0.5)))
    for (const key of chosen.length > 0 ? chosen : [dice.pick(entity.keys)]) {
      type.keys.set(key, '')
      for (const field of keyFields[key] ?? []) type.fields.set(field.name, field)
    }
    if (entity.implements.length > 0) {
      if (!type.keys.has('id')) type.keys.set('id', '')
      type.fields.set('id', (keyFields.id as Field[])[0] as Field)
    }
    for (const name of entity.implements) {
      type.interfaces.add(name)
      at.interfaces.add(name)
    }
    // Where the interface has a key, all that implement it are to be there.
    if (entity.implements.includes('Medium')) for (const other of media) enter(at, other)
    return type
  }

  /** A composite type that this subgraph can answer with. */
  const compositeFor = (at: Draft): string | undefined => {
    const kind = dice.below(10)
    if (kind < 5) {
      const able = entities.filter((entity) => mayHave(at, entity))
      if (able.length === 0) return undefined
      const entity = dice.pick(able)
      enter(at, entity)
      return entity.name
    }
    if (kind === 5 && media.length > 0) {
      if (objectSide.includes(at.name)) at.interfaceObject()
      else for (const entity of media) enter(at, entity)
      return 'Medium'
    }
    if (kind === 6) {
      const able = named.filter((entity) => mayHave(at, entity))
      if (able.length === 0) return undefined
      for (const entity of able) if (dice.chance(0.6)) enter(at, entity)
      enter(at, dice.pick(able))
      return 'Named'
    }
    if (kind === 7) {
      const able = members.filter((entity) => mayHave(at, entity))
      if (able.length === 0) return undefined
      for (const entity of able) if (dice.chance(0.6)) enter(at, entity)
      enter(at, dice.pick(able))
      at.unionMembers = new Set(members.map(({ name }) => name))
      if (dice.chance(0.5)) at.unionMembers.add('Box')
      return 'Thing'
    }
    return dice.pick(['Box', 'Crate'])
  }
  const typeFor = (at: Draft): string => {
    const name = (dice.chance(0.45) ? compositeFor(at) : undefined) ?? dice.pick(leaves)
    return dice.pick([
      name,
      name,
      name,
      `${name}!`,
      `${name}!`,
      `[${name}]`,
      `[${name}!]`,
      `[${name}!]!`,
      `[${name}]!`,
      `[[${name}]!]`,
      `[[${name}!]]!`,
    ])
  }
  const argumentsFor = (): string => {
    if (!dice.chance(0.3)) return ''
    const all = [
      'n: Int',
      'n: Int! = 3',
      'text: String = "x\\"y"',
      'color: Color = RED',
      'wish: Wish = HIGH',
      'filter: Filter',
      'filter: Filter! = { n: 1 }',
      'ns: [Int!]',
      'filters: [Filter!]',
      'id: ID',
      'json: Json',
      'ratio: Float = 1.5',
    ]
    const chosen = all.filter(() => dice.chance(0.15))
    const unique = new Map(chosen.map((arg) => [arg.split(':')[0], arg]))
    return unique.size > 0 ? `(${[...unique.values()].join(', ')})` : ''
  }

  for (const entity of entities) {
    for (const name of names)
      if (mayHave(draft(name), entity) && dice.chance(0.55)) enter(draft(name), entity)
  }
  // What interfaces promise, each implementation has in subgraphs of its own or in the same.
  const promise = (type: string, of: readonly Entity[], field: string, allowed: readonly string[]): void => {
    if (of.length === 0) return
    const together = dice.chance(0.7) ? dice.pick(allowed) : undefined
    const args = argumentsFor()
    for (const entity of of) {
      const able = allowed.filter((name) => mayHave(draft(name), entity))
      const at = draft(together && able.includes(together) ? together : dice.pick(able))
      const exact = dice.chance(0.2) && !type.endsWith('!') ? `${type}!` : type
      enter(at, entity).fields.set(field, { name: field, type: exact, args, directives: '' })
    }
  }
  const leafType = (): string => dice.pick(['Int', 'String', 'Color', '[Int!]', 'Box'])
  if (media.length > 0) {
    promise(leafType(), media, 'title', interfaceSide)
    if (dice.chance(0.5)) promise(leafType(), media, 'rating', interfaceSide)
  }
  if (named.length > 0) promise(leafType(), named, 'label', names)

  // Fields of entities, of one subgraph or shared by several.
  for (const entity of entities) {
    const count = 2 + dice.below(5)
    for (let n = 0; n < count; n++) {
      const able = names.map(draft).filter((at) => mayHave(at, entity))
      const at = dice.pick(able)
      const field: Field = { name: `f${n}`, type: typeFor(at), args: argumentsFor(), directives: '' }
      const type = enter(at, entity)
      const other = dice.pick(able)
      const isLeaf = leaves.includes(field.type.replace(/[[\]!]/g, '')) || /Box|Crate/.test(field.type)
      if (other !== at && isLeaf && dice.chance(0.3)) {
        if (dice.chance(0.3)) {
          const from = enter(other, entity)
          from.fields.set(field.name, field)
          type.fields.set(field.name, { ...field, directives: ` @override(from: "${other.name}")` })
          continue
        }
        const looser = dice.chance(0.3) ? field.type.replace(/!$/, '') : field.type
        enter(other, entity).fields.set(field.name, { ...field, type: looser, isShareable: true })
        type.fields.set(field.name, { ...field, isShareable: true })
        continue
      }
      const directives = dice.chance(0.05) ? ' @inaccessible' : ''
      type.fields.set(field.name, { ...field, directives })
    }
  }
  if (hasInterfaceObject) {
    for (const name of objectSide) {
      const type = draft(name).interfaceObject()
      const count = 1 + dice.below(3)
      for (let n = 0; n < count; n++) {
        const field = `x${objectSide.indexOf(name)}${n}`
        type.fields.set(field, {
          name: field,
          type: typeFor(draft(name)),
          args: argumentsFor(),
          directives: '',
        })
      }
    }
  }

  const ownersOf = (typeName: string, field: string): Draft[] =>
    [...drafts.values()].filter((at) => {
      const found = at.types.get(typeName)?.fields.get(field)
      return found !== undefined && !found.isExternal
    })
  const overridden = (typeName: string, field: string): boolean =>
    ownersOf(typeName, field).some((at) =>
      at.types.get(typeName)?.fields.get(field)?.directives.includes('@override'),
    )

  // What some fields require of other subgraphs.
  const external = (at: Draft, typeName: string, field: Field): void => {
    const type = at.type(typeName)
    if (type.fields.has(field.name)) return
    type.fields.set(field.name, { ...field, directives: '', isShareable: false, isExternal: true })
  }
  const literalArguments = (args: string): string => {
    if (args === '') return ''
    const chosen = [
      ['n', '2'],
      ['text', '"t"'],
      ['color', 'GREEN'],
      ['filter', '{ n: 5, color: BLUE }'],
      ['ns', '[1, 2]'],
      ['id', '"i"'],
      ['ratio', '0.5'],
    ].filter(([name]) => new RegExp(`(\\(|, )${name}:`).test(args) && dice.chance(0.6))
    return chosen.length > 0 ? `(${chosen.map(([name, value]) => `${name}: ${value}`).join(', ')})` : ''
  }
  let requiring = 0
  const requirement = (at: Draft, typeName: string, depth: number): string | undefined => {
    const candidates = new Map<string, Field>()
    for (const other of drafts.values()) {
      if (other === at) continue
      for (const field of other.types.get(typeName)?.fields.values() ?? []) {
        const own = at.types.get(typeName)?.fields.get(field.name)
        if (field.isExternal || (own && !own.isExternal) || overridden(typeName, field.name)) continue
        if (field.directives.includes('@inaccessible')) continue
        candidates.set(field.name, field)
      }
    }
    const chosen = dice.shuffle([...candidates.values()]).slice(0, 1 + dice.below(3))
    const parts: string[] = []
    for (const field of chosen) {
      const named = field.type.replace(/[[\]!]/g, '')
      let nested = ''
      if (named === 'Box') nested = dice.pick([' { size }', ' { size crate { weight } }'])
      else if (named === 'Crate') nested = ' { weight }'
      else if (entities.some(({ name }) => name === named)) {
        const entity = entities.find(({ name }) => name === named) as Entity
        if (depth > 0 || !mayHave(at, entity)) continue
        enter(at, entity)
        const inner = requirement(at, named, depth + 1)
        if (!inner) continue
        nested = ` { ${inner} }`
      } else if (!leaves.includes(named)) continue
      external(at, typeName, field)
      parts.push(`${field.name}${literalArguments(field.args)}${nested}`)
    }
    return parts.length > 0 ? parts.join(' ') : undefined
  }
  const require = (typeName: string, at: Draft): void => {
    const fields = requirement(at, typeName, 0)
    if (!fields) return
    const name = `r${requiring++}`
    at.type(typeName).fields.set(name, {
      name,
      type: dice.pick(['String', 'String', 'Int', 'String!', '[String]', 'Box']),
      args: argumentsFor(),
      directives: ` @requires(fields: "${fields.replaceAll('"', '\\"')}")`,
    })
  }
  for (const entity of entities) {
    for (let n = dice.below(4); n > 0; n--) {
      const at = some()
      if (!mayHave(at, entity)) continue
      enter(at, entity)
      require(entity.name, at)
    }
  }

  // Root fields, and mutations.
  const roots = new Map<string, number>()
  for (const at of drafts.values()) {
    const count = at.name === 'alpha' ? 2 + dice.below(3) : dice.below(3)
    for (let n = 0; n < count; n++) {
      const name = `${at.name[0]}q${n}`
      at.query.set(name, { name, type: typeFor(at), args: argumentsFor(), directives: '' })
      roots.set(at.name, n)
    }
    const entity = dice.pick(entities)
    if ((dice.chance(0.6) || at.name === 'alpha') && mayHave(at, entity)) {
      enter(at, entity)
      const name = `${at.name[0]}all`
      at.query.set(name, {
        name,
        type: dice.pick([`[${entity.name}!]!`, `[${entity.name}]`]),
        args: '',
        directives: '',
      })
    }
    if (dice.chance(0.35)) {
      for (let n = 0; n <= dice.below(2); n++) {
        const name = `${at.name[0]}m${n}`
        at.mutation.set(name, { name, type: typeFor(at), args: argumentsFor(), directives: '' })
      }
    }
  }
  if (names.length > 1 && dice.chance(0.4)) {
    const type = dice.pick(entities.map(({ name }) => name))
    const able = names.map(draft).filter((at) => at.types.has(type) && !objectSide.includes(at.name))
    if (able.length > 1) {
      for (const at of able) {
        at.query.set('shared', { name: 'shared', type, args: '', directives: '', isShareable: true })
      }
    }
  }

  // What a field brings with it.
  for (const at of drafts.values()) {
    const holders = [at.query, ...[...at.types.values()].map(({ fields }) => fields)]
    for (const fields of holders) {
      for (const field of [...fields.values()]) {
        const named = field.type.replace(/[[\]!]/g, '')
        if (field.isExternal || field.isShareable || field.directives || !dice.chance(0.25)) continue
        if (!entities.some(({ name }) => name === named)) continue
        const candidates = [...drafts.values()].flatMap((other) =>
          other === at
            ? []
            : [...(other.types.get(named)?.fields.values() ?? [])].filter((candidate) => {
                const own = at.types.get(named)?.fields.get(candidate.name)
                return (
                  !candidate.isExternal &&
                  candidate.directives === '' &&
                  candidate.args === '' &&
                  (!own || own.isExternal) &&
                  leaves.includes(candidate.type.replace(/[[\]!]/g, ''))
                )
              }),
        )
        if (candidates.length === 0) continue
        const provided = dice.pick(candidates)
        if (overridden(named, provided.name)) continue
        for (const owner of ownersOf(named, provided.name)) {
          const type = owner.type(named)
          type.fields.set(provided.name, {
            ...(type.fields.get(provided.name) as Field),
            isShareable: true,
          })
        }
        external(at, named, provided)
        fields.set(field.name, { ...field, directives: ` @provides(fields: "${provided.name}")` })
      }
    }
  }

  // A subgraph that only points at an entity need not answer for it.
  for (const at of drafts.values()) {
    for (const type of at.types.values()) {
      const keyNames = new Set(
        [...type.keys.keys()].flatMap((key) => keyFields[key] ?? []).map((f) => f.name),
      )
      if ([...type.fields.keys()].some((field) => !keyNames.has(field))) continue
      if (!type.interfaces.has('Medium') && dice.chance(0.3)) {
        for (const key of type.keys.keys()) type.keys.set(key, ', resolvable: false')
      }
    }
  }
  return Object.fromEntries([...drafts.values()].map((at) => [at.name, at.print(dice)]))
}

/** A subgraph that is being thought up. */
class Draft {
  readonly name: string
  readonly types = new Map<string, ObjectType>()
  readonly interfaces = new Set<string>()
  readonly query = new Map<string, Field>()
  readonly mutation = new Map<string, Field>()
  unionMembers = new Set<string>()
  #knowsMediumAsObject = false

  constructor(name: string) {
    this.name = name
  }

  type(name: string): ObjectType {
    let type = this.types.get(name)
    if (!type) {
      type = { name, interfaces: new Set(), keys: new Map(), fields: new Map() }
      this.types.set(name, type)
    }
    return type
  }

  interfaceObject(): ObjectType {
    this.#knowsMediumAsObject = true
    const type = this.type('Medium')
    type.keys.set('id', '')
    type.fields.set('id', { name: 'id', type: 'ID!', args: '', directives: '' })
    return type
  }

  print(dice: Dice): string {
    const parts: string[] = []
    const block = (head: string, fields: Iterable<Field>): void => {
      const lines = [...fields].map((field) => {
        const external = field.isExternal ? ' @external' : ''
        const shareable = field.isShareable ? ' @shareable' : ''
        return `  ${field.name}${field.args}: ${field.type}${external}${shareable}${field.directives}`
      })
      if (lines.length > 0) parts.push(`${head} {\n${lines.join('\n')}\n}`)
    }
    block('type Query', this.query.values())
    block('type Mutation', this.mutation.values())
    for (const { name, interfaces, keys, fields } of this.types.values()) {
      const implemented = interfaces.size > 0 ? ` implements ${[...interfaces].join(' & ')}` : ''
      const directives = [...keys].map(([key, more]) => ` @key(fields: "${key}"${more})`).join('')
      const isObject = name === 'Medium' && this.#knowsMediumAsObject ? ' @interfaceObject' : ''
      block(`type ${name}${implemented}${isObject}${directives}`, fields.values())
    }
    for (const name of this.interfaces) {
      const types = [...this.types.values()].filter((type) => type.interfaces.has(name))
      const [first, ...others] = types
      if (!first) continue
      const common = [...first.fields.values()]
        .filter(({ name: field }) => ['id', 'title', 'rating', 'label'].includes(field))
        .filter((field) => others.every((type) => type.fields.has(field.name)))
        .map(({ name: field, type, args }) => ({
          name: field,
          type: field === 'id' ? type : type.replace(/!$/, ''),
          args,
          directives: '',
        }))
      block(`interface ${name}${name === 'Medium' ? ' @key(fields: "id")' : ''}`, common)
    }
    const inUnion = [...this.unionMembers].filter((name) => name === 'Box' || this.types.has(name))
    if (inUnion.length > 0) parts.push(`union Thing = ${inUnion.join(' | ')}`)
    const text = parts.join('\n')
    const mentions = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(text)
    if (mentions('Sku')) parts.push('type Sku @shareable {\n  code: String!\n  region: Int\n}')
    const box = mentions('Box')
    if (box) {
      const size = dice.chance(0.3) ? 'Int!' : 'Int'
      parts.push(
        `type Box @shareable {\n  size(unit: Color = RED): ${size}\n  crate: Crate\n  crates: [Crate!]\n  mood: String\n}`,
      )
    }
    if (box || mentions('Crate'))
      parts.push('type Crate @shareable {\n  weight: Float!\n  tags: [[String!]]\n}')
    const all = parts.join('\n')
    const needs = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(all)
    if (needs('Color') || needs('Filter')) parts.push('enum Color {\n  RED\n  GREEN\n  BLUE\n}')
    // Of values that only come, each subgraph may have some; of those that only go, all must know what is sent.
    if (needs('Mood'))
      parts.push(`enum Mood {\n  CALM\n  ${dice.pick(['MERRY', 'SAD', 'ODD', 'ODD\n  SAD'])}\n}`)
    if (needs('Wish'))
      parts.push(`enum Wish {\n  HIGH\n  ${dice.pick(['LOW', 'LOW\n  NONE', 'LOW\n  SOME'])}\n}`)
    if (needs('Filter')) {
      const more = dice.chance(0.3) ? `\n  only${this.name}: Int` : ''
      parts.push(
        `input Filter {\n  n: Int = 7\n  color: Color\n  wish: String\n  ns: [[Int!]]\n  inner: Filter${more}\n}`,
      )
    }
    if (needs('Json')) parts.push('scalar Json')
    return parts.join('\n')
  }
}
