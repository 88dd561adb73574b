/** The ports of a Salesforce org: accounts with their contacts, and opportunities. */
import { outcomeOf, SourceError } from '../failure.ts'
import type { CreateAdapter } from '../port.ts'
import { createChanges } from './changes.ts'
import { checkConfiguration } from './check.ts'
import { createSalesforceClient } from './client.ts'
import type { SalesforceConfig } from './config.ts'
import { createMapping } from './mapping.ts'
import { createReading, type Held, type Tools } from './reading.ts'
import { createStream } from './stream.ts'
import { createWrites } from './writes.ts'

export const createSalesforce: CreateAdapter<SalesforceConfig> = (config, context) => {
  const client = createSalesforceClient(config, context)
  const tools: Tools = { config, client, mapping: createMapping(config), context }
  const reading = createReading(tools)
  const changesOf = createChanges(tools, reading)
  const writes = createWrites(tools, reading)

  const readingPort = <T extends Held>(type: T) => ({
    batchLimit: config.batchLimit,
    readMany: (...[keys, call]: [readonly string[], Parameters<typeof reading.readMany>[2]]) =>
      reading.readMany(type, keys, call),
    list: (...[query, call]: [Parameters<typeof reading.list>[1], Parameters<typeof reading.list>[2]]) =>
      reading.list(type, query, call),
    changes: changesOf(type),
  })

  return {
    kind: 'salesforce',
    ports: {
      customer: {
        ...readingPort('customer'),
        parts: { contacts: ['contacts'] },
        ...(writes.createCustomer ? { create: writes.createCustomer } : {}),
        update: writes.updateCustomer,
        ...(writes.addNote ? { actions: { addNote: writes.addNote } } : {}),
      },
      opportunity: {
        ...readingPort('opportunity'),
        parts: { lines: ['lines'] },
        lookups: { byCustomer: reading.byCustomer },
        create: writes.createOpportunity,
        update: writes.updateOpportunity,
        actions: { win: writes.win, lose: writes.lose },
      },
    },
    ...(config.changeEvents ? { stream: createStream(tools, config.changeEvents) } : {}),
    connect: (call) => outcomeOf(() => client.connect(call)),
    health: (call) =>
      outcomeOf(async () => {
        const asked = await outcomeOf(() =>
          client.query(['SELECT Id, Name, IsSandbox FROM Organization LIMIT 1'], call),
        )
        // Who may not see the org's own record may still read its accounts.
        const mayNot = !asked.ok && (asked.failure.kind === 'rejected' || asked.failure.kind === 'not-found')
        if (mayNot) await client.query(['SELECT Id FROM Account LIMIT 1'], call)
        else if (!asked.ok) throw new SourceError(asked.failure)
        const org = asked.ok ? asked.value[0]?.[0] : undefined
        const sort = org?.IsSandbox === true ? 'sandbox' : 'production'
        const name = org ? ` ${client.clean(String(org.Name))} (${sort})` : ''
        const used = client.usage()
        const calls = used === undefined ? '' : `, ${used} calls used in 24 hours`
        return { detail: `Salesforce${name} at ${client.host()}, API ${config.apiVersion}${calls}` }
      }),
    checkConfiguration: checkConfiguration(tools),
    async close() {
      client.close()
    },
  }
}
