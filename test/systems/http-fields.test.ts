/** The page of mappable fields says what the mapping takes. README_UPDATE=1 writes it anew. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { z } from 'zod'
import { type MappedType, RECORD_FIELDS, recordShape } from '../../src/systems/http/mapping.ts'

const page = new URL('../../src/systems/http/fields.md', import.meta.url)

/** As much of a schema as tells its shape. */
interface Definition {
  readonly type: string
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly element?: z.ZodType
  readonly innerType?: z.ZodType
  readonly in?: z.ZodType
  readonly out?: z.ZodType
  readonly valueType?: z.ZodType
}

interface Told {
  readonly holds: string
  readonly needed: boolean
}

function tell(schema: z.ZodType): Told {
  const { holds, needed } = (schema.meta() ?? {}) as { holds?: string; needed?: boolean }
  // Codes of ours; inside an object a comma would part them from what follows.
  if (holds !== undefined)
    return { holds: /^[A-Z_, ]+$/.test(holds) ? holds.replaceAll(', ', ' | ') : holds, needed: false }
  const definition = schema.def as unknown as Definition
  const inner = (): Told => {
    switch (definition.type) {
      case 'object':
        return { holds: `{ ${fieldsOf(definition.shape ?? {}).join(', ')} }`, needed: false }
      case 'array':
        return { holds: `[${tell(definition.element as z.ZodType).holds || 'text'}]`, needed: false }
      case 'optional':
      case 'nullable':
        return tell(definition.innerType as z.ZodType)
      case 'pipe': {
        const [before, after] = [tell(definition.in as z.ZodType), tell(definition.out as z.ZodType)]
        return { holds: before.holds || after.holds, needed: before.needed }
      }
      case 'record':
        return { holds: '{ … }', needed: false }
      default:
        return { holds: '', needed: false }
    }
  }
  const told = inner()
  return { ...told, needed: needed ?? told.needed }
}

const fieldsOf = (shape: Readonly<Record<string, z.ZodType>>): string[] =>
  Object.entries(shape).map(([name, schema]) => {
    const { holds, needed } = tell(schema)
    return `${name}${needed ? '!' : ''}${holds === '' ? '' : `: ${holds}`}`
  })

function write(): string {
  const sections = (Object.keys(RECORD_FIELDS) as MappedType[]).map((type) => {
    const { customFields: _, ...shape } = recordShape(type) as Record<string, z.ZodType>
    return `## ${type}\n\n${fieldsOf(shape)
      .map((field) => `- \`${field}\`\n`)
      .join('')}`
  })
  return `# What \`map\` can hold

By record type. \`!\` is needed; what has no form is a text; \`[…]\` is a list, where one alone will do. Codes other than
those that are listed become \`UNKNOWN\` where a field \`vendor…\` stands beside them. Written by a test from
[mapping.ts](mapping.ts).

${sections.join('\n')}`
}

test('every field stands on the page, with its form', () => {
  const text = write()
  if (process.env.README_UPDATE) writeFileSync(page, text)
  expect(readFileSync(page, 'utf8')).toBe(text)
  expect(text).toContain('- `contacts: [{ name!, title, phone, email, primary: true or false }]`')
})
