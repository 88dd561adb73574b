import { z } from 'zod'
import {
  codes,
  customFields,
  name,
  path,
  readingSettings,
  restSettings,
  unitCodes,
} from '../kit/rest/settings.ts'

const times = {
  createdAt: name('createTime', 'Date and time of creation'),
  updatedAt: name('updateTime', 'Date and time of the last change'),
}

const warehouseFields = z.strictObject({
  id: name('warehouseId', 'Key of the warehouse'),
  name: name('warehouseName', 'Name'),
})

const productFields = z.strictObject({
  id: name('skuId', 'Key of the product'),
  name: name('skuName', 'Name'),
  barcode: name('barcode', 'Bar code; other systems recognise the product by it'),
  unit: name('unit', 'Unit of the stock figures'),
  active: name('active', 'Whether the product may be used'),
  ...times,
})

const stockFields = z.strictObject({
  product: name('skuId', 'Key of the product'),
  warehouse: name('warehouseId', 'Key of the warehouse'),
  onHand: name('onHandQty', 'Physically there'),
  reserved: name('reservedQty', 'Set aside'),
  available: name('availableQty', 'What can still be set aside'),
  incoming: name('incomingQty', 'Announced by inbound deliveries'),
  unit: name('unit', 'Unit of these figures'),
  updatedAt: name('updateTime', 'Date and time of the last change'),
})

const documentFields = {
  orderNumber: name('orderNo', 'Number of the order, as the ordering system prints it'),
  status: name('status', 'Status'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
  comments: name('remark', 'Free text'),
  revision: name('revision', 'Counter or mark that changes with every change'),
  lines: name('lines', 'The lines'),
  ...times,
}

const reservationFields = z.strictObject({
  id: name('reservationId', 'Key of the reservation'),
  expiresAt: name('expireTime', 'When the reservation lapses'),
  ...documentFields,
})

const reservationLineFields = z.strictObject({
  id: name('lineNo', 'Number of the line'),
  product: name('skuId', 'Key of the product'),
  warehouse: name('warehouseId', 'Key of the warehouse'),
  quantity: name('qty', 'Quantity'),
  open: name('openQty', 'What of it is still set aside'),
  unit: name('unit', 'Unit of the quantities'),
})

const deliveryFields = z.strictObject({
  id: name('deliveryId', 'Key of the delivery'),
  direction: name('direction', 'OUT or IN'),
  type: name('deliveryType', 'Type of the delivery, needed by new ones'),
  reservation: name('reservationId', 'Key of the reservation whose goods it takes'),
  warehouse: name('warehouseId', 'Key of the warehouse'),
  date: name('planDate', 'Day for which it is planned'),
  recipient: name('recipient', 'Who gets the goods'),
  trackingNumber: name('trackingNo', 'Number under which the carrier knows it'),
  ...documentFields,
})

const deliveryLineFields = z.strictObject({
  id: name('lineNo', 'Number of the line'),
  product: name('skuId', 'Key of the product'),
  description: name('skuName', 'Name of the product'),
  quantity: name('qty', 'Quantity'),
  unit: name('unit', 'Unit of the quantity'),
})

const recipientFields = z.strictObject({
  name: name('name', 'Name'),
  phone: name('phone', 'Telephone'),
  street: name('street', 'Street and number'),
  city: name('city', 'City'),
  province: name('province', 'Province or state'),
  postalCode: name('postalCode', 'Postal code'),
  country: name('country', 'ISO 3166-1 alpha-2'),
})

/** What a WMS of the kind `rest-wms` needs to be told. The defaults are the contract in `openapi.yaml`. */
export const restWmsConfig = z.strictObject({
  ...restSettings('WMS'),
  ...readingSettings('WMS'),
  feed: z
    .boolean()
    .default(true)
    .describe(
      'The WMS keeps a feed of changes; false: they are polled by `updatedSince`, of stock, reservations and deliveries each',
    ),
  conditionalWrites: z
    .boolean()
    .default(true)
    .describe(
      'The WMS honours If-Match with the revision; otherwise actions that expect a version are refused',
    ),
  findExternalRef: z
    .boolean()
    .default(true)
    .describe(
      'Documents can be looked for by the parameter `externalRef`; otherwise a lost create is left to a person',
    ),
  uniqueExternalRef: z
    .boolean()
    .default(true)
    .describe('The WMS refuses a second document with the same reference, so that sending again is safe'),
  repeatableActions: z
    .boolean()
    .default(true)
    .describe('An action that was carried out before changes nothing when it is asked for again'),
  defaultWarehouse: z
    .string()
    .min(1)
    .optional()
    .describe('Warehouse of reservations and deliveries whose caller names none; absent: one must be named'),
  reservationMinutes: z
    .int()
    .min(1)
    .max(525_600)
    .optional()
    .describe('How long a new reservation holds whose caller does not say; absent: until it is released'),
  deliveryTypes: z
    .strictObject({
      outbound: z.string().min(1).default('SALES').describe('Type of new outbound deliveries'),
      inbound: z.string().min(1).default('PURCHASE').describe('Type of new inbound deliveries'),
    })
    .prefault({})
    .describe('What new deliveries need and callers do not know'),
  unitCodes,
  reservationStatuses: codes(
    ['ACTIVE', 'FULFILLED', 'RELEASED', 'EXPIRED'],
    'What a status of a reservation means, besides ACTIVE, FULFILLED, RELEASED and EXPIRED',
  ),
  deliveryStatuses: codes(
    ['OPEN', 'CLOSED', 'CANCELLED'],
    'What a status of a delivery means, besides CREATED, SHIPPED, RECEIVED and CANCELLED',
  ),
  paths: z
    .strictObject({
      warehouses: path('/api/v1/warehouses', 'Warehouses'),
      products: path('/api/v1/skus', 'Products'),
      inventory: path('/api/v1/inventory', 'Stock by product and warehouse'),
      reservations: path('/api/v1/reservations', 'Reservations; /ID/release below it'),
      deliveries: path('/api/v1/deliveries', 'Deliveries; /ID/ship, /ID/receive and /ID/cancel below it'),
      events: path('/api/v1/events', 'The feed of changes'),
    })
    .prefault({})
    .describe('Where the WMS keeps what'),
  fields: z
    .strictObject({
      warehouse: warehouseFields.prefault({}).describe('Names in a warehouse'),
      product: productFields.prefault({}).describe('Names in a product'),
      stock: stockFields.prefault({}).describe('Names in a row of stock'),
      reservation: reservationFields.prefault({}).describe('Names in a reservation'),
      reservationLine: reservationLineFields.prefault({}).describe('Names in a line of a reservation'),
      delivery: deliveryFields.prefault({}).describe('Names in a delivery'),
      deliveryLine: deliveryLineFields.prefault({}).describe('Names in a line of a delivery'),
      recipient: recipientFields.prefault({}).describe('Names in a recipient'),
    })
    .prefault({})
    .describe('How the WMS names its fields'),
  customFields: z
    .strictObject({
      product: customFields('a product'),
      reservation: customFields('a reservation, also when one is created'),
      delivery: customFields('a delivery, also when one is created'),
    })
    .prefault({})
    .describe("The company's own fields"),
})

export type RestWmsConfig = z.infer<typeof restWmsConfig>
