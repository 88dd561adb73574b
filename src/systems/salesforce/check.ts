/** Holds what the configuration names against the org's own description of its objects. */
import { z } from 'zod'
import { outcomeOf, SourceError } from '../failure.ts'
import type { CallContext } from '../port.ts'
import { STAGES } from './config.ts'
import type { ObjectName } from './ids.ts'
import type { Tools } from './reading.ts'

const fieldSchema = z.object({
  name: z.string(),
  length: z.string().nullish(),
  createable: z.boolean(),
  updateable: z.boolean(),
  nillable: z.boolean(),
  defaultedOnCreate: z.boolean(),
  externalId: z.boolean().nullish(),
  unique: z.boolean().nullish(),
  picklistValues: z.array(z.object({ value: z.string(), active: z.boolean() })).nullish(),
})
const describeSchema = z.object({
  queryable: z.boolean(),
  createable: z.boolean(),
  updateable: z.boolean(),
  fields: z.array(fieldSchema),
})
type Field = z.infer<typeof fieldSchema>

/** The gateway's references have so many characters. */
const REFERENCE_LENGTH = 32

export const checkConfiguration =
  ({ client, config, mapping }: Tools) =>
  (context: CallContext) =>
    outcomeOf(async (): Promise<readonly string[]> => {
      const findings: string[] = []
      const describe = async (object: ObjectName | 'OpportunityLineItem' | 'Task') => {
        const read = describeSchema.safeParse(await client.get(`sobjects/${object}/describe`, context))
        if (!read.success) {
          throw new SourceError({ kind: 'invalid-response', detail: `describe ${object}: no list of fields` })
        }
        if (!read.data.queryable) findings.push(`${object} may not be read by this user.`)
        return { ...read.data, byName: new Map(read.data.fields.map((field) => [field.name, field])) }
      }
      const account = await describe('Account')
      const contact = await describe('Contact')
      const opportunity = await describe('Opportunity')
      if (!account.updateable) findings.push('Account may not be changed by this user.')
      if (!opportunity.createable) findings.push('Opportunity may not be created by this user.')

      const expectFields = (object: string, byName: ReadonlyMap<string, Field>, names: Iterable<string>) => {
        for (const name of names) {
          // Owner.Name is a field of another object.
          if (!name.includes('.') && !byName.has(name)) {
            findings.push(`${object} has no field ${name}, or this user may not see it.`)
          }
        }
      }
      expectFields('Account', account.byName, mapping.accountFields)
      expectFields('Contact', contact.byName, mapping.contactFields)
      if (mapping.lineFields.length > 0) {
        const line = await describe('OpportunityLineItem')
        expectFields('OpportunityLineItem', line.byName, mapping.lineFields)
      }
      expectFields('Opportunity', opportunity.byName, [
        ...mapping.opportunityFields,
        ...Object.keys(config.defaults.opportunity),
        ...(config.fields.onBehalfOf === null ? [] : [config.fields.onBehalfOf]),
      ])

      const expectReference = (object: string, reference: Field | undefined) => {
        if (!reference) return
        const name = `${object}.${reference.name}`
        if (!reference.externalId) findings.push(`${name} is no External ID.`)
        if (config.uniqueExternalReference && !reference.unique) {
          findings.push(`${name} is not unique: mark it, or set uniqueExternalReference to false.`)
        }
        if (Number(reference.length ?? REFERENCE_LENGTH) < REFERENCE_LENGTH) {
          findings.push(`${name} is shorter than ${REFERENCE_LENGTH} characters.`)
        }
      }
      const { customerReference, externalReference, noteReference } = config.fields
      if (noteReference !== null) {
        const task = await describe('Task')
        expectFields('Task', task.byName, [noteReference, ...Object.keys(config.defaults.note)])
        expectReference('Task', task.byName.get(noteReference))
        if (!task.createable) findings.push('Task may not be created by this user.')
      }
      if (customerReference !== null) {
        expectFields('Account', account.byName, [customerReference])
        expectReference('Account', account.byName.get(customerReference))
        if (!contact.createable) findings.push('Contact may not be created by this user.')
        if (!account.createable) findings.push('Account may not be created by this user.')
      }
      expectReference('Opportunity', opportunity.byName.get(externalReference))

      const expectValues = (
        setting: string,
        object: ObjectName,
        field: Field | undefined,
        values: string[],
      ) => {
        const active = field?.picklistValues?.filter((value) => value.active).map(({ value }) => value)
        if (!field || !active || active.length === 0) return
        for (const value of values.filter((one) => !active.includes(one))) {
          findings.push(`${setting}: ${object}.${field.name} has no active value "${value}".`)
        }
      }
      const { level } = config.fields
      if (level !== null) {
        expectValues('levelCodes', 'Account', account.byName.get(level), Object.keys(config.levelCodes))
      }
      const stages = opportunity.byName.get('StageName')
      // Of several labels for one stage only the first is written, and has to be there.
      const written = STAGES.flatMap((stage) => {
        const label = Object.keys(config.stageCodes).find((one) => config.stageCodes[one] === stage)
        return label === undefined ? [] : [label]
      })
      expectValues('stageCodes', 'Opportunity', stages, written)

      const filled = new Set([
        'Name',
        'AccountId',
        'StageName',
        'CloseDate',
        ...Object.keys(config.defaults.opportunity),
      ])
      if (config.fields.onBehalfOf !== null) filled.add(config.fields.onBehalfOf)
      for (const field of opportunity.fields) {
        const isNeeded = field.createable && !field.nillable && !field.defaultedOnCreate
        if (isNeeded && !filled.has(field.name)) {
          findings.push(`Opportunity needs ${field.name}: give it in defaults.opportunity.`)
        }
      }
      return findings
    })
