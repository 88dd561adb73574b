/** Which texts in a system's settings are secrets: those that its schema marks as such. */
import type { z } from 'zod'

type Inspectable = z.ZodType & {
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly def: {
    readonly type: string
    readonly options?: readonly z.ZodType[]
    readonly innerType?: z.ZodType
    readonly in?: z.ZodType
    readonly element?: z.ZodType
    readonly valueType?: z.ZodType
  }
}

export function secretsIn(schema: z.ZodType, settings: unknown): string[] {
  const { shape, def } = schema as Inspectable
  if (schema.meta()?.secret === true) return typeof settings === 'string' ? [settings] : []
  const inner = def.innerType ?? def.in
  if (inner) return secretsIn(inner, settings)
  if (def.type === 'union') return (def.options ?? []).flatMap((option) => secretsIn(option, settings))
  if (typeof settings !== 'object' || settings === null) return []
  const parts = Object.entries(settings)
  return parts.flatMap(([name, value]) => {
    const part = shape ? shape[name] : (def.element ?? def.valueType)
    return part ? secretsIn(part, value) : []
  })
}
