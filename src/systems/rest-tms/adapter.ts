/** A transport system behind a JSON REST interface: shipments, and what carriers noted on the way. */
import { ok } from '../failure.ts'
import { queryOf } from '../kit/rest/client.ts'
import { type Source, unsupported } from '../kit/rest/reading.ts'
import { openRest, places, standardEvents } from '../kit/rest/system.ts'
import type { CreateAdapter, ShipmentTrack } from '../port.ts'
import type { RestTmsConfig } from './config.ts'
import { createMapping } from './mapping.ts'

export const createRestTms: CreateAdapter<RestTmsConfig> = (config, options) => {
  const { paths } = config
  const names = config.fields.shipment
  const mapping = createMapping(config)
  const rest = openRest(config, 'TMS', options)
  const { reading } = rest
  const writing = rest.writing({
    uniqueExternalRef: config.repeatable,
    conditional: false,
    repeatableActions: config.repeatable,
  })

  const shipments: Source<'shipment'> = {
    type: 'shipment',
    path: paths.shipments,
    read: mapping.shipment,
    ...places(names),
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
    health: rest.health(paths.shipments, 'shipments'),
    ...rest.told(standardEvents(['shipment'], mapping.toDateTime)),
    close: rest.close,
  }
}
