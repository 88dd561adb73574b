import { z } from 'zod'
import { codes, customFields, name, path, readingSettings, restSettings } from '../kit/rest/settings.ts'
import { SHIPMENT_STATUSES } from '../records.ts'

const shipmentFields = z.strictObject({
  id: name('shipmentId', 'Key of the shipment'),
  trackingNumber: name('trackingNo', 'Number under which the carrier knows it'),
  carrier: name('carrierCode', 'Code of the carrier'),
  carrierName: name('carrierName', 'Name of the carrier'),
  status: name('status', 'Where it is'),
  recipientRegion: name('recipientRegion', 'Where it goes'),
  phone: name('phone', 'Telephone of recipient or sender; sent only, never read'),
  expectedDelivery: name('expectedDate', 'Day on which it should arrive'),
  signedBy: name('signedBy', 'Who took it'),
  signedAt: name('signedTime', 'When it was taken'),
  orderNumbers: name('orderNos', 'Numbers of the orders that it carries: a list, or one text'),
  deliveryNumbers: name('deliveryNos', 'The same for deliveries'),
  events: name('tracks', 'What the carrier noted on the way'),
  createdAt: name('createTime', 'Date and time of creation'),
  updatedAt: name('updateTime', 'Date and time of the last change'),
})

const eventFields = z.strictObject({
  time: name('time', 'When'),
  place: name('location', 'Where'),
  text: name('description', 'What, in words of the carrier'),
  status: name('status', 'Where the shipment was from then on'),
})

/** What a transport system of the kind `rest-tms` needs to be told. */
export const restTmsConfig = z.strictObject({
  ...restSettings('TMS'),
  ...readingSettings('TMS'),
  repeatable: z
    .boolean()
    .default(true)
    .describe('Having a shipment followed a second time changes nothing, so that sending again is safe'),
  carriers: z
    .record(z.string().min(1), z.string().min(1))
    .default({})
    .describe('Names of carriers that callers may use, and the code of the TMS: `顺丰: SF`'),
  statuses: codes(SHIPMENT_STATUSES, 'What a status means; each of our own words means itself'),
  paths: z
    .strictObject({ shipments: path('/api/v1/shipments', 'Shipments') })
    .prefault({})
    .describe('Where the TMS keeps what'),
  fields: z
    .strictObject({
      shipment: shipmentFields.prefault({}).describe('Names in a shipment'),
      event: eventFields.prefault({}).describe('Names in what the carrier noted'),
    })
    .prefault({})
    .describe('How the TMS names its fields; dots lead inwards'),
  customFields: z
    .strictObject({ shipment: customFields('a shipment') })
    .prefault({})
    .describe("The company's own fields"),
})

export type RestTmsConfig = z.infer<typeof restTmsConfig>
