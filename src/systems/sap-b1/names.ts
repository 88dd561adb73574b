/** Small tables of codes and names: payment terms, groups, industries. Records carry only the codes. */
import { fail, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import type { CallContext } from '../port.ts'
import type { ServiceLayer } from './client.ts'
import type { SapB1Config } from './config.ts'
import { type Names, rowKey } from './mapping.ts'

/** The names hardly ever change. */
const KEPT_MS = 600_000

export const NO_NAMES: Names = new Map()

export interface NameTable {
  /** Names by code; empty where this user may not read them, or the company has no such table. @throws SourceError */
  read(context: Pick<CallContext, 'caller'>): Promise<Names>
  /** The code of a name, or of a code itself; `rejected` with the names there are. */
  codeOf(name: string, context: Pick<CallContext, 'caller'>): Promise<Outcome<string>>
}

export interface NameTableOptions {
  readonly entity: string
  readonly code: string
  readonly name: string
  /** What a name stands for, in refusals: `payment terms`. */
  readonly what: string
}

export function createNames(
  client: ServiceLayer,
  config: SapB1Config,
  { entity, code, name, what }: NameTableOptions,
): NameTable {
  let names: Names = NO_NAMES
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<Outcome<void>> | undefined
  const load = async (context: CallContext) => {
    const rows = await client.rows(
      {
        entity,
        select: [code, name],
        orderby: `${code} asc`,
        pageSize: config.pageLimit,
      },
      context,
    )
    names = new Map(
      rows.flatMap((row) => {
        const [key, value] = [rowKey(row, code), rowKey(row, name)]
        return key === undefined || value === undefined ? [] : [[key, value] as const]
      }),
    )
  }
  const read: NameTable['read'] = async ({ caller }) => {
    if (Date.now() - readAt < KEPT_MS) return names
    // Without the caller's signal: others wait for the same answer.
    reading ??= outcomeOf(() => load({ caller })).finally(() => {
      reading = undefined
    })
    const outcome = await reading
    if (!outcome.ok && outcome.failure.kind === 'unavailable' && names.size === 0) {
      throw new SourceError(outcome.failure) // the records themselves would not be reached either
    }
    // Without the right to read them, records show the codes.
    readAt = Date.now()
    return names
  }
  return {
    read,
    async codeOf(wanted, context) {
      const known = await outcomeOf(() => read(context))
      if (!known.ok) return known
      if (known.value.has(wanted)) return ok(wanted)
      const found = [...known.value].find(([, own]) => own === wanted)
      if (found) return ok(found[0])
      const all = [...known.value.values()].slice(0, 20).join(', ')
      const message = `This company has no ${what} "${wanted}"${all === '' ? '' : `; it has: ${all}`}.`
      return fail({ kind: 'rejected', code: 'NAME', message })
    },
  }
}

/** The tables of one company. */
export interface Tables {
  readonly paymentTerms: NameTable
  readonly partnerGroups: NameTable
  readonly industries: NameTable
  readonly itemGroups: NameTable
  readonly users: NameTable
}

export function createTables(client: ServiceLayer, config: SapB1Config): Tables {
  const table = (options: NameTableOptions) => createNames(client, config, options)
  return {
    paymentTerms: table({
      entity: 'PaymentTermsTypes',
      code: 'GroupNumber',
      name: 'PaymentTermsGroupName',
      what: 'payment terms',
    }),
    partnerGroups: table({
      entity: 'BusinessPartnerGroups',
      code: 'Code',
      name: 'Name',
      what: 'customer group',
    }),
    industries: table({
      entity: 'Industries',
      code: 'IndustryCode',
      name: 'IndustryName',
      what: 'industry',
    }),
    itemGroups: table({ entity: 'ItemGroups', code: 'Number', name: 'GroupName', what: 'item group' }),
    users: table({ entity: 'Users', code: 'InternalKey', name: 'UserCode', what: 'user' }),
  }
}
