/** A transport system behind a JSON REST interface: shipments, and what carriers noted on the way. */
import { ok, outcomeOf } from '../failure.ts'
import { createRestClient, queryOf } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { createReading, type Source, unsupported } from '../kit/rest/reading.ts'
import { createReceiver, readStandardEvent } from '../kit/rest/webhook.ts'
import { createWriting } from '../kit/rest/writing.ts'
import type { CreateAdapter, ShipmentTrack } from '../port.ts'
import type { RestTmsConfig } from './config.ts'
import { createMapping } from './mapping.ts'

export const createRestTms: CreateAdapter<RestTmsConfig> = (config, { log, timeoutMs }) => {
  const { paths } = config
  const names = config.fields.shipment
  const client = createRestClient({ ...config, called: 'TMS', timeoutMs, log })
  const mapping = createMapping(config)
  const reading = createReading(
    client,
    {
      ...config,
      keysIn: config.batchLimit > 1 ? 'ids' : 'path',
      momentOf: (text) => Date.parse(mapping.toDateTime(text) ?? ''),
    },
    log,
  )
  const writing = createWriting(client, reading, {
    ...config,
    uniqueExternalRef: config.repeatable,
    conditional: false,
    repeatableActions: config.repeatable,
  })

  const shipments: Source<'shipment'> = {
    type: 'shipment',
    path: paths.shipments,
    read: mapping.shipment,
    keyOf: (raw) => fieldText(raw, names.id),
    place: [names.createdAt, names.id],
    changed: [names.updatedAt, names.id],
    filter: ({ customer, search }) =>
      customer === undefined
        ? ok(queryOf({ search }))
        : unsupported('Shipments cannot be listed by customer: a carrier knows none.'),
  }

  return {
    kind: 'rest-tms',
    ports: {
      shipment: {
        ...reading.port(shipments),
        changes: reading.changes(shipments),
        lookups: {
          byNumber: reading.lookup(
            shipments,
            'trackingNos',
            ({ trackingNumber }) => [trackingNumber],
            names.trackingNumber,
          ),
          byOrderNumber: reading.lookup(
            shipments,
            'orderNos',
            ({ orderNumbers }) => orderNumbers,
            names.orderNumbers,
          ),
          byDeliveryNumber: reading.lookup(
            shipments,
            'deliveryNos',
            ({ deliveryNumbers }) => deliveryNumbers,
            names.deliveryNumbers,
          ),
        },
        create: writing.create<ShipmentTrack, 'shipment'>({
          source: shipments,
          // The carrier's number stands for the parcel, whoever asks to have it followed.
          referenceOf: ({ trackingNumber }) => trackingNumber,
          externalRefField: names.trackingNumber,
          findBy: 'trackingNos',
          duplicateDetail: 'shipmentId',
          body: mapping.shipmentBody,
        }),
      },
    },
    health: (context) =>
      outcomeOf(async () => {
        await client.getPage(paths.shipments, { limit: '1' }, context)
        return { detail: `REST TMS at ${new URL(config.baseUrl).host}: shipments can be read` }
      }),
    ...(config.webhook
      ? {
          webhook: createReceiver(config.webhook, (body, id) =>
            readStandardEvent(body, id, ['shipment'], mapping.toDateTime),
          ),
        }
      : {}),
    async close() {
      client.close()
    },
  }
}
