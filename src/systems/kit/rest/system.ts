/** One system with a JSON REST interface, opened: its client, reading and writing, and how it is looked after. */
import { outcomeOf } from '../../failure.ts'
import type { Adapter, AdapterContext, Notification } from '../../port.ts'
import { createRestClient, type EnvelopeStyle } from './client.ts'
import { fieldText } from './fields.ts'
import { createReading, type ReadingSettings, type Source } from './reading.ts'
import type { RestAuth, WebhookSettings } from './settings.ts'
import { createReceiver, readStandardEvent } from './webhook.ts'
import { createWriting, type WritingSettings } from './writing.ts'

/** What `restSettings` and `readingSettings` give. */
export interface RestSystemConfig extends Omit<ReadingSettings, 'keysIn'> {
  readonly baseUrl: string
  readonly verifyCertificate: boolean
  readonly auth: RestAuth
  readonly webhook?: WebhookSettings | undefined
  readonly onBehalfOfHeader: string | null
  readonly envelope: EnvelopeStyle
  readonly listItems: string
  readonly parameters: Readonly<Partial<Record<string, string>>>
  readonly periodClosedCodes?: readonly string[]
}

/** @param called What the system is, in messages: `CRM`, `WMS`. */
export function openRest(config: RestSystemConfig, called: string, { log, timeoutMs }: AdapterContext) {
  const client = createRestClient({ ...config, called, timeoutMs, log })
  const keysIn = config.batchLimit > 1 ? 'ids' : 'path'
  const reading = createReading(client, { ...config, keysIn }, log)
  return {
    client,
    reading,
    writing: (settings: Omit<WritingSettings, 'onBehalfOfHeader'>) =>
      createWriting(client, reading, { onBehalfOfHeader: config.onBehalfOfHeader, ...settings }),

    /** Asks for one record of a list. @param what Those records, for people: `customers`. */
    health:
      (path: string, what: string): Adapter['health'] =>
      (context) =>
        outcomeOf(async () => {
          await client.getPage(path, { limit: '1' }, context)
          return { detail: `REST ${called} at ${new URL(config.baseUrl).host}: ${what} can be read` }
        }),

    /** The receiver of events, where the system is configured to send such. */
    told: (read: Parameters<typeof createReceiver>[1]): Pick<Adapter, 'webhook'> =>
      config.webhook ? { webhook: createReceiver(config.webhook, read) } : {},

    async close() {
      client.close()
    },
  }
}

/** For `told`: events as seed 002 writes them. @param toDateTime See `toDateTime` of fields.ts. */
export const standardEvents =
  (types: readonly Notification['type'][], toDateTime: (text: string) => string | null | undefined) =>
  (body: unknown, id: string | null) =>
    readStandardEvent(body, id, types, toDateTime)

/** Where a record stands in lists, by its creation, and among changes. @param names The system's names of these. */
export const places = (names: {
  readonly id: string
  readonly createdAt: string
  readonly updatedAt: string
}): Pick<Source<never>, 'keyOf' | 'place' | 'changed'> => ({
  keyOf: (raw) => fieldText(raw, names.id),
  place: [names.createdAt, names.id],
  changed: [names.updatedAt, names.id],
})
