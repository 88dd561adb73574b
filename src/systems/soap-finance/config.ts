import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { codes, unitCodes, webhook } from '../kit/rest/settings.ts'
import { MAX_NUMBER_LENGTH, MAX_ROWS, namesProblems } from './contract.ts'

const xmlName = /^[\p{L}_][\p{L}\p{N}_.-]*$/u

const customFields = (what: string) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), z.string().min(1).max(MAX_NUMBER_LENGTH))
    .default({})
    .describe(`Our name of a custom field of ${what}, and its Name in the element Custom there.`)

const security = z
  .strictObject({
    profile: z
      .enum(['usernameToken', 'authorization', 'basic'])
      .default('usernameToken')
      .describe(
        'usernameToken: WS-Security. authorization: a header element with "Basic" and user and password in Base64. basic: the same as HTTP header, no element. Both only over https, loopback excepted. The other settings here are for usernameToken.',
      ),
    passwordType: z
      .enum(['digest', 'text'])
      .default('digest')
      .describe('PasswordDigest, or PasswordText: then only over https, loopback excepted.'),
    nonce: z.boolean().default(true).describe('Send a nonce. Some servers refuse one beside PasswordText.'),
    created: z
      .boolean()
      .default(true)
      .describe('Send the creation time inside the token. Some servers refuse it beside PasswordText.'),
    timestamp: z.boolean().default(true).describe('Send wsu:Timestamp with creation and expiry.'),
    lifetimeSeconds: z
      .int()
      .min(1)
      .max(3600)
      .default(300)
      .describe('Time from creation to expiry in wsu:Timestamp.'),
    mustUnderstand: z
      .boolean()
      .default(true)
      .describe('Mark the header with mustUnderstand="1": some servers need it, others fail on it.'),
  })
  .prefault({})
  .describe('How the header says who we are.')

/** Settings of one finance system behind `finance.wsdl`, or behind a service that differs from it in names only. */
export const soapFinanceConfig = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/ })
      .describe('Where the service really is; the address written in a WSDL is never used.'),
    path: z
      .string()
      .regex(/^\//, 'must start with "/"')
      .default('/webservice')
      .describe('Path of the service below baseUrl.'),
    username: z.string().min(1).describe('User of the finance system.'),
    password: z.string().min(1).meta({ secret: true }).describe('Password of that user.'),
    security,
    namespace: z
      .string()
      .min(1)
      .default('http://finance.company.com/webservice')
      .describe('Target namespace of requests and answers.'),
    prefix: z
      .string()
      .regex(xmlName)
      .refine((prefix) => !['soap', 'wsse', 'wsu'].includes(prefix), 'is used by the envelope')
      .default('fin')
      .describe('Prefix for that namespace; for servers that compare text instead of namespaces.'),
    qualified: z
      .boolean()
      .default(true)
      .describe(
        'elementFormDefault of the service: false for elements without namespace inside the operation.',
      ),
    soapVersion: z
      .enum(['1.1', '1.2'])
      .default('1.1')
      .describe('Version of the envelope; 1.2 names the action in Content-Type instead of SOAPAction.'),
    soapAction: z
      .string()
      .regex(/^[^"\r\n]*$/, 'must not contain quotation marks or line breaks')
      .default('{namespace}/{operation}')
      .describe('The action, sent in quotation marks; "{namespace}" and "{operation}" are filled in.'),
    names: z
      .record(z.string(), z.string().regex(xmlName, 'must be an XML name'))
      .default({})
      .describe(
        'Operations and elements that have another name there: contract name, or "Parent.Name" for one place, to theirs. Example: {"GetInvoice": "QueryInvoice", "Invoice.OrderNo": "SalesOrder"}.',
      )
      .superRefine((names, context) => {
        for (const { name, problem } of namesProblems(names)) {
          context.addIssue({ code: 'custom', path: [name], message: problem })
        }
      }),
    customFields: z
      .strictObject({
        invoice: customFields('an invoice, also when one is made'),
        payment: customFields('a payment, also when one is posted'),
      })
      .prefault({})
      .describe("The company's own fields."),
    invoiceTypes: codes(
      ['STANDARD', 'CREDIT_NOTE', 'DOWN_PAYMENT', 'CANCELLATION', 'PRO_FORMA'],
      'What Kind means, beside the words of the contract.',
    ),
    invoiceStatuses: codes(
      ['OPEN', 'PARTIALLY_PAID', 'PAID', 'CANCELLED'],
      'What the Status of an invoice means, beside the words of the contract.',
    ),
    paymentStatuses: codes(
      ['POSTED', 'CANCELLED'],
      'What the Status of a payment means, beside the words of the contract.',
    ),
    unitCodes,
    duplicateFaultCode: z
      .string()
      .default('DUPLICATE')
      .describe('Code of the business fault for a payment whose ExternalReference exists already.'),
    cancelledFaultCode: z
      .string()
      .default('INVOICE_CANCELLED')
      .describe('Code of the business fault for an invoice that is to be cancelled and is so already.'),
    periodClosedFaultCodes: z
      .array(z.string())
      .default(['PERIOD_CLOSED', 'GL-104'])
      .describe('Codes of business faults for a date whose accounting period is closed.'),
    temporaryFaultCodes: z
      .array(z.string())
      .default([])
      .describe('Codes of business faults that only mean "later", with nothing done (locks, closed hours).'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'must be an IANA time zone or an offset like "+08:00"')
      .default('UTC')
      .describe('Zone of times that the system sends without one: IANA name or offset.'),
    batchSize: z.int().min(1).max(MAX_ROWS).default(100).describe('Most keys in one request.'),
    pageSize: z.int().min(1).max(MAX_ROWS).default(MAX_ROWS).describe('Records asked for in one page.'),
    changeOverlapSeconds: z
      .int()
      .min(0)
      .max(3600)
      .default(10)
      .describe('How far each poll for changes looks back behind the last one, for records committed late.'),
    maxAnswerBytes: z
      .int()
      .min(1024)
      .default(4 * 1024 * 1024)
      .describe('A longer answer is refused while it arrives. A page of 200 invoices has about 0.2 MB.'),
    maxConnections: z.int().min(1).default(8).describe('Sockets kept open to the system.'),
    verifyCertificate: z.boolean().default(true).describe('Refuse certificates that do not verify.'),
    webhook: webhook.optional().describe('Present where the finance system reports changes to us.'),
  })
  .superRefine((config, context) => {
    const { profile, passwordType } = config.security
    const isPrivate = isPrivateTransport(config.baseUrl)
    if (profile !== 'usernameToken' && !isPrivate) {
      context.addIssue({
        code: 'custom',
        path: ['security', 'profile'],
        message: `"${profile}" sends the password readable: use an https baseUrl, or "usernameToken"`,
      })
    }
    if (profile === 'usernameToken' && passwordType === 'text' && !isPrivate) {
      context.addIssue({
        code: 'custom',
        path: ['security', 'passwordType'],
        message: '"text" sends the password readable: use an https baseUrl, or "digest"',
      })
    }
  })

export type SoapFinanceConfig = z.output<typeof soapFinanceConfig>

function isPrivateTransport(url: string): boolean {
  if (!URL.canParse(url)) return true // reported by its own check
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || ['127.0.0.1', 'localhost', '[::1]'].includes(hostname)
}
