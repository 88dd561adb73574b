/** What the configuration says about flows. Nothing here: no flow runs. */
import { z } from 'zod'

const system = (what: string) => z.string().describe(`Id of the system that ${what}`)

const leadToCash = z.strictObject({
  crm: system('keeps the opportunities'),
  erp: system('takes the sales order'),
  wms: system('sets stock aside; absent: none is set aside').optional(),
  finance: system('books the receivable'),
  dueDays: z
    .int()
    .min(0)
    .max(365)
    .default(14)
    .describe('The goods are due so many days after the run began; also the receivable: see paymentDays'),
  paymentDays: z.int().min(0).max(365).default(30).describe('The receivable is due so many days after that'),
  product: z
    .string()
    .optional()
    .describe('Key in the ERP of what is sold where an opportunity has no lines: one, at its amount'),
  linesFrom: z
    .string()
    .optional()
    .describe('Whose keys the products on the lines of an opportunity are; default: the ERP'),
})

const paymentReceived = z.strictObject({
  finance: system('books the payments'),
  erp: system('has the orders'),
  crm: system('is told of the payment'),
})

export const flowsSchema = z
  .strictObject({
    tenant: z.string().min(1).default('default').describe('Whose the runs are that events begin'),
    leadToCash: leadToCash
      .optional()
      .describe('An opportunity is won: order, stock, receivable, and a link back'),
    paymentReceived: paymentReceived
      .optional()
      .describe('A payment is booked: noted at the orders it is for, and at the customer'),
    modules: z
      .array(z.string())
      .default([])
      .describe('TypeScript or JavaScript files whose default export is a flow, or a list of flows'),
  })
  .prefault({})
  .describe('What is carried out across systems by itself')

export type FlowsConfig = z.infer<typeof flowsSchema>
export type LeadToCashConfig = z.infer<typeof leadToCash>
export type PaymentReceivedConfig = z.infer<typeof paymentReceived>
