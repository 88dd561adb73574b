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

const customerFields = z.strictObject({
  id: name('customerId', 'Key of the customer'),
  name: name('customerName', 'Name'),
  taxNumber: name('taxNumber', 'Tax number; other systems recognise the customer by it'),
  ...times,
})

const invoiceFields = z.strictObject({
  id: name('invoiceId', 'Key of the invoice'),
  number: name('invoiceNo', 'Number that people use'),
  type: name('invoiceType', 'STANDARD, CREDIT_NOTE, DOWN_PAYMENT, CANCELLATION or PRO_FORMA'),
  customer: name('customerId', 'Key of the customer'),
  orderNumbers: name('orderNos', 'Numbers of the orders that it bills: a list, or one text'),
  issueDate: name('issueDate', 'Day on which it was issued'),
  dueDate: name('dueDate', 'Day on which it is due'),
  currency: name('currency', 'Currency of the amounts'),
  net: name('netAmount', 'Net total'),
  tax: name('taxAmount', 'Tax'),
  gross: name('grossAmount', 'Gross total'),
  paid: name('paidAmount', 'What was paid'),
  open: name('openAmount', 'What is still to be paid'),
  status: name('status', 'Status'),
  lines: name('lines', 'What is billed'),
  taxInvoices: name('taxInvoices', 'Tax invoices (发票) that were issued for it'),
  comments: name('remark', 'Free text; sent only'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
  revision: name('revision', 'Mark that changes with every change'),
  ...times,
})

const invoiceLineFields = z.strictObject({
  id: name('lineNo', 'Number of the line'),
  product: name('productId', 'Key of the product'),
  description: name('description', 'What is billed'),
  quantity: name('quantity', 'Quantity'),
  unit: name('unit', 'Its unit'),
  unitPrice: name('unitPrice', 'Net price of one'),
  taxRate: name('taxRate', 'Tax rate, in per cent'),
  net: name('netAmount', 'Net total of the line'),
  tax: name('taxAmount', 'Tax of the line'),
  gross: name('grossAmount', 'Gross total of the line'),
})

const taxInvoiceFields = z.strictObject({
  kind: name('kind', 'Kind, for example 增值税专用发票'),
  code: name('code', 'Code (发票代码)'),
  number: name('number', 'Number (发票号码)'),
  issuedOn: name('issueDate', 'Day on which it was issued'),
  redLetterOf: name('redLetterOf', 'Number of the one that it takes back'),
  file: name('file', 'Where the document can be fetched'),
})

const paymentFields = z.strictObject({
  id: name('paymentId', 'Key of the payment'),
  number: name('paymentNo', 'Number that people use'),
  customer: name('customerId', 'Key of the customer'),
  date: name('payDate', 'Day of the payment'),
  amount: name('amount', 'Amount'),
  currency: name('currency', 'Currency of all amounts of the payment'),
  method: name('method', 'How it was paid'),
  reference: name('reference', 'What the payer wrote'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
  applications: name('applications', 'Which invoices it settles'),
  unapplied: name('unappliedAmount', 'What settles nothing yet'),
  status: name('status', 'Status'),
  revision: name('revision', 'Mark that changes with every change'),
  ...times,
})

const applicationFields = z.strictObject({
  invoice: name('invoiceId', 'Key of the invoice'),
  amount: name('amount', 'Part of the payment that settles it'),
  discount: name('discount', 'What is let off beside it for paying early'),
})

const receivableFields = z.strictObject({
  customer: name('customerId', 'Key of the customer'),
  asOf: name('asOf', 'Day of the balance'),
  balances: name('balances', 'One for each currency'),
})

const balanceFields = z.strictObject({
  currency: name('currency', 'Currency'),
  open: name('openAmount', 'What is owed'),
  overdue: name('overdueAmount', 'What of it is overdue'),
})

/** What a finance system of the kind `rest-finance` needs to be told. */
export const restFinanceConfig = z.strictObject({
  ...restSettings('finance system'),
  ...readingSettings('system'),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'is no ISO 4217 code')
    .optional()
    .describe('Currency of amounts that come without one'),
  uniqueExternalRef: z
    .boolean()
    .default(true)
    .describe('The system refuses a second payment with the same reference, so that sending again is safe'),
  findPayments: z
    .boolean()
    .default(true)
    .describe('Payments can be looked for by the parameter `externalRef`'),
  findInvoices: z
    .boolean()
    .default(true)
    .describe('Invoices can be looked for by the parameter `externalRef`'),
  repeatableCancel: z
    .boolean()
    .default(true)
    .describe('Cancelling an invoice a second time changes nothing, so that asking again is safe'),
  periodClosedCodes: z
    .array(z.string().min(1))
    .default(['40903'])
    .describe('Codes that say that the period of a posting is closed'),
  methodCodes: z
    .record(z.string().min(1), z.string().min(1))
    .default({})
    .describe('Our word for how a payment was made, and the word of the system: `TRANSFER: 电汇`'),
  defaultMethod: z.string().min(1).optional().describe('How it was paid where the caller does not say'),
  unitCodes,
  invoiceStatuses: codes(
    ['OPEN', 'PARTIALLY_PAID', 'PAID', 'CANCELLED'],
    'What a status of an invoice means, besides OPEN, PARTIALLY_PAID, PAID and CANCELLED',
  ),
  paymentStatuses: codes(
    ['POSTED', 'CANCELLED'],
    'What a status of a payment means, besides POSTED and CANCELLED',
  ),
  paths: z
    .strictObject({
      customers: path('/api/customers', 'Customers'),
      invoices: path('/api/invoices', 'Invoices'),
      payments: path('/api/payments', 'Payments'),
      writeback: path('/api/payments/writeback', 'Where new payments go'),
      receivables: path('/api/receivables', 'What customers owe'),
    })
    .prefault({})
    .describe('Where the system keeps what'),
  fields: z
    .strictObject({
      customer: customerFields.prefault({}).describe('Names in a customer'),
      invoice: invoiceFields.prefault({}).describe('Names in an invoice'),
      invoiceLine: invoiceLineFields.prefault({}).describe('Names in a line of an invoice'),
      taxInvoice: taxInvoiceFields.prefault({}).describe('Names in a tax invoice'),
      payment: paymentFields.prefault({}).describe('Names in a payment'),
      application: applicationFields.prefault({}).describe('Names in what a payment settles'),
      receivable: receivableFields.prefault({}).describe('Names in a receivable'),
      balance: balanceFields.prefault({}).describe('Names in one of its balances'),
    })
    .prefault({})
    .describe('How the system names its fields; dots lead inwards'),
  customFields: z
    .strictObject({
      invoice: customFields('an invoice, also when one is made'),
      payment: customFields('a payment, also when one is recorded'),
    })
    .prefault({})
    .describe("The company's own fields"),
})

export type RestFinanceConfig = z.infer<typeof restFinanceConfig>
