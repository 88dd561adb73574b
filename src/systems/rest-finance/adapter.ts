/** A finance system behind a JSON REST interface: invoices, payments, and what customers owe. */
import { ok } from '../failure.ts'
import { queryOf } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { type Source, unsupported } from '../kit/rest/reading.ts'
import { openRest, places, standardEvents } from '../kit/rest/system.ts'
import type { CreateAdapter, InvoiceCreate, PaymentCreate } from '../port.ts'
import type { RecordType } from '../records.ts'
import type { RestFinanceConfig } from './config.ts'
import { createMapping } from './mapping.ts'

export const createRestFinance: CreateAdapter<RestFinanceConfig> = (config, options) => {
  const { fields, paths } = config
  const mapping = createMapping(config)
  const rest = openRest(config, 'finance system', options)
  const { reading } = rest
  const writing = rest.writing({
    uniqueExternalRef: config.uniqueExternalRef,
    conditional: false,
    repeatableActions: config.repeatableCancel,
  })

  const ofCustomer: Source<RecordType>['filter'] = ({ customer, search }) =>
    ok(queryOf({ customerIds: customer, search }))

  const customers: Source<'customer'> = {
    type: 'customer',
    path: paths.customers,
    read: mapping.customer,
    ...places(fields.customer),
    filter: ({ customer, search }) =>
      customer === undefined
        ? ok(queryOf({ search }))
        : unsupported('Customers cannot be listed by customer: read that one.'),
  }
  const invoices: Source<'invoice'> = {
    type: 'invoice',
    path: paths.invoices,
    read: mapping.invoice,
    ...places(fields.invoice),
    filter: ofCustomer,
  }
  const payments: Source<'payment'> = {
    type: 'payment',
    path: paths.payments,
    read: mapping.payment,
    ...places(fields.payment),
    filter: ofCustomer,
  }
  const receivables: Source<'receivable'> = {
    type: 'receivable',
    path: paths.receivables,
    read: mapping.receivable,
    keyOf: (raw) => fieldText(raw, fields.receivable.customer),
    place: [fields.receivable.customer],
    filter: () => unsupported('What customers owe cannot be listed: ask for a customer.'),
  }

  return {
    kind: 'rest-finance',
    ports: {
      customer: { ...reading.port(customers), changes: reading.changes(customers) },
      invoice: {
        ...reading.port(invoices),
        changes: reading.changes(invoices),
        lookups: {
          byOrderNumber: reading.lookup(
            invoices,
            'orderNos',
            ({ orderNumbers }) => orderNumbers,
            fields.invoice.orderNumbers,
          ),
          byCustomer: reading.lookup(
            invoices,
            'customerIds',
            ({ customer }) => [customer],
            fields.invoice.customer,
          ),
        },
        create: writing.create<InvoiceCreate, 'invoice'>({
          source: invoices,
          takes: ['lines', 'comments', 'customFields'],
          externalRefField: fields.invoice.externalRef,
          findBy: config.findInvoices ? 'externalRef' : null,
          duplicateDetail: 'invoiceId',
          refuse: mapping.refuseInvoice,
          body: mapping.invoiceBody,
        }),
        actions: {
          cancel: writing.action({
            source: invoices,
            verb: 'cancel',
            isDone: ({ status }) => status === 'CANCELLED',
          }),
        },
      },
      payment: {
        ...reading.port(payments),
        changes: reading.changes(payments),
        lookups: {
          byInvoice: reading.lookup(
            payments,
            'invoiceIds',
            ({ applications }) => applications.map(({ invoice }) => invoice),
            '', // one that cannot be read may belong to any of them
          ),
          byCustomer: reading.lookup(
            payments,
            'customerIds',
            ({ customer }) => [customer],
            fields.payment.customer,
          ),
        },
        create: writing.create<PaymentCreate, 'payment'>({
          source: payments,
          path: paths.writeback,
          takes: ['applications.discount', 'customFields'],
          externalRefField: fields.payment.externalRef,
          findBy: config.findPayments ? 'externalRef' : null,
          duplicateDetail: 'paymentId',
          refuse: mapping.refuse,
          body: mapping.paymentBody,
        }),
      },
      receivable: {
        batchLimit: reading.port(receivables).batchLimit,
        readMany: reading.port(receivables).readMany,
      },
    },
    health: rest.health(paths.invoices, 'invoices'),
    ...rest.told(standardEvents(['customer', 'invoice', 'payment'], mapping.toDateTime)),
    close: rest.close,
  }
}
