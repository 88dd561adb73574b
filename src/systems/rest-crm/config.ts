import { z } from 'zod'
import { codes, customFields, name, path, readingSettings, restSettings } from '../kit/rest/settings.ts'

const customerFields = z.strictObject({
  id: name('customerId', 'Key of the customer'),
  name: name('customerName', 'Name'),
  level: name('level', 'VIP, PREMIUM, STANDARD or BASIC; other values are passed on as vendorLevel'),
  industry: name('industry', 'Industry'),
  legalName: name('legalName', 'Name as registered'),
  tags: name('tags', 'List of tags'),
  status: name('status', 'ACTIVE, INACTIVE, or a word of the CRM'),
  parent: name('parentId', 'Key of the customer that it belongs to'),
  taxNumber: name('taxNumber', 'Tax number; other systems recognise the customer by it'),
  phone: name('phone', 'Telephone'),
  email: name('email', 'E-mail address'),
  address: name('address', 'One address: an object, or one line of text'),
  contacts: name('contacts', 'List of contacts'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
  createdAt: name('createDate', 'Date and time of creation'),
  updatedAt: name('updateDate', 'Date and time of the last change'),
  revision: name('revision', 'Counter or mark that changes with every change'),
})

const addressFields = z.strictObject({
  street: name('street', 'Street and number'),
  city: name('city', 'City'),
  province: name('province', 'Province or state'),
  postalCode: name('postalCode', 'Postal code'),
  country: name('country', 'ISO 3166-1 alpha-2'),
})

const contactFields = z.strictObject({
  name: name('name', 'Name'),
  title: name('title', 'Position'),
  phone: name('phone', 'Telephone'),
  email: name('email', 'E-mail address'),
  primary: name('primary', 'Whether this is the first person to talk to'),
})

const opportunityFields = z.strictObject({
  id: name('opportunityId', 'Key of the opportunity'),
  name: name('name', 'Title'),
  customer: name('customerId', 'Key of the customer'),
  stage: name('stage', 'Stage; values that are not ours are passed on as vendorStage'),
  amount: name('amount', 'Expected amount'),
  currency: name('currency', 'ISO 4217 code of the amount'),
  probability: name('probability', 'Per cent'),
  closeDate: name('closeDate', 'Expected day of the decision'),
  lines: name('lines', 'What is to be sold'),
  orderNumber: name('orderNumber', 'Number of the order that it became'),
  owner: name('owner', 'Who works on it'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
  createdAt: name('createDate', 'Date and time of creation'),
  updatedAt: name('updateDate', 'Date and time of the last change'),
})

const lineFields = z.strictObject({
  product: name('productCode', 'Product; as the ordering system or another one calls it'),
  quantity: name('quantity', 'How many'),
  unitPrice: name('unitPrice', 'Net price of one, in the currency of the opportunity'),
})

const noteFields = z.strictObject({
  customer: name('customerId', 'Key of the customer'),
  text: name('text', 'What is noted'),
  externalRef: name('externalRef', 'Receives the reference by which a lost answer is looked up'),
})

/** What a CRM of the kind `rest-crm` needs to be told. The defaults are the contract in `openapi.yaml`. */
export const restCrmConfig = z.strictObject({
  ...restSettings('CRM'),
  ...readingSettings('CRM'),
  conditionalUpdates: z
    .boolean()
    .default(true)
    .describe(
      'The CRM honours If-Match with the revision; otherwise updates that expect a version are refused',
    ),
  updates: z
    .enum(['fields', 'whole'])
    .default('fields')
    .describe(
      'What a PUT means: `fields` changes those that it has; `whole` replaces the record, so that the rest of it is read before and sent along',
    ),
  findExternalRef: z
    .boolean()
    .default(true)
    .describe(
      'Records can be looked for by the parameter `externalRef`; otherwise a lost create is left to a person',
    ),
  uniqueExternalRef: z
    .boolean()
    .default(true)
    .describe('The CRM refuses a second record with the same reference, so that sending again is safe'),
  customerStatuses: codes(
    ['ACTIVE', 'INACTIVE'],
    'What a status of a customer means, besides ACTIVE and INACTIVE',
  ),
  paths: z
    .strictObject({
      customers: path('/api/customers', 'Customers; one of them is at /ID below it'),
      opportunities: path('/api/opportunities', 'Opportunities; one of them is at /ID below it'),
      notes: path('/api/notes', 'Notes about customers'),
    })
    .prefault({})
    .describe('Where the CRM keeps what'),
  fields: z
    .strictObject({
      customer: customerFields.prefault({}).describe('Names in a customer'),
      address: addressFields.prefault({}).describe('Names in an address'),
      contact: contactFields.prefault({}).describe('Names in a contact'),
      opportunity: opportunityFields.prefault({}).describe('Names in an opportunity'),
      line: lineFields.prefault({}).describe('Names in a line of an opportunity'),
      note: noteFields.prefault({}).describe('Names in a note about a customer'),
    })
    .prefault({})
    .describe('How the CRM names its fields'),
  customFields: z
    .strictObject({
      customer: customFields('a customer, also when one is created or changed'),
      opportunity: customFields('an opportunity, also when one is created or changed'),
    })
    .prefault({})
    .describe("The company's own fields"),
})

export type RestCrmConfig = z.infer<typeof restCrmConfig>
export type RestCrmFields = RestCrmConfig['fields']
