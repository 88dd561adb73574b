/** The CRM once more, spoken to by configuration alone. */
import { parse } from 'yaml'
import { startRestCrmSimulator } from '../../../src/systems/rest-crm/simulator.ts'
import { subject } from '../subject.ts'
import { crm } from './crm.ts'

export const TOKEN = 'token-7f3a9e'

export const CRM = parse(`
auth: { type: bearer, token: ${TOKEN} }
errors:
  when: $not(code = "0")
  code: code
  message: message
  field: details.field
  details: details
  kinds: { unauthorized: ['40100'], notFound: ['40401', '40402'], conflict: ['41200', '40900'] }
records:
  customer:
    read: { request: { path: /api/customers, query: { ids: "{$join(keys, ',')}" } }, items: data.items, batchLimit: 100 }
    list:
      request: { path: /api/customers, query: { page: '{page}', limit: '{size}', search: '{search}' } }
      items: data.items
      paging: { style: page, size: 5, hasMore: data.pagination.hasMore }
      filters: [search]
    changes:
      request: { path: /api/customers, query: { updatedSince: '{since}', page: '{page}', limit: '{size}' } }
      items: data.items
      paging: { style: page, size: 3, hasMore: data.pagination.hasMore }
      follow: { by: time, now: timestamp, changedAt: updateDate, overlapSeconds: 5 }
    update:
      request:
        method: PUT
        path: /api/customers/{key}
        headers: { If-Match: '"{version}"', X-On-Behalf-Of: '{$encodeUrlComponent(onBehalfOf)}' }
        body: "{ 'customerName': changes.name, 'level': changes.level, 'phone': changes.phone }"
      record: data
      conditional: true
    map:
      key: customerId
      version: revision
      name: customerName
      level: level
      industry: industry
      taxNumber: taxNumber
      phone: phone
      email: email
      addresses: "address.{ 'type': 'OFFICE', 'street': street, 'city': city }"
      contacts: "contacts.{ 'name': name, 'title': title, 'primary': primary }"
      createdAt: createDate
      updatedAt: updateDate
    customFields: { shortName: '$substring(customerName, 0, 4)' }
  opportunity:
    read: { request: { path: '/api/opportunities/{key}' }, items: data }
    lookups:
      byCustomer:
        request: { path: /api/opportunities, query: { customerIds: "{$join(keys, ',')}", page: '{page}', limit: '{size}' } }
        items: data.items
        paging: { style: page, size: 2, hasMore: data.pagination.hasMore }
        batchLimit: 50
        key: customerId
    list:
      request: { path: /api/opportunities, query: { after: '{cursor}', limit: '{size}', customerIds: '{customer}' } }
      items: data.items
      paging: { style: cursor, size: 5, next: "data.pagination.hasMore ? data.items[-1].(createDate & ',' & opportunityId)" }
      filters: [customer]
    create:
      request:
        path: /api/opportunities
        body: >
          { 'name': input.name, 'customerId': input.customer, 'stage': input.stage, 'amount': input.amount.amount,
            'currency': input.amount.currency, 'closeDate': input.closeDate, 'externalRef': reference }
      key: data.opportunityId
      record: data
      duplicate: { codes: ['40901'], key: opportunityId }
      unique: true
    find: { request: { path: /api/opportunities, query: { externalRef: '{reference}' } }, items: data.items, reference: externalRef }
    map:
      key: opportunityId
      name: name
      customer: customerId
      stage: stage
      amount: "amount ? { 'amount': amount, 'currency': currency }"
      probability: probability
      closeDate: closeDate
      owner: owner
      externalReference: externalRef
`)

const { refusal, ...common } = crm

export default subject({
  ...common,
  start: (world) => startRestCrmSimulator(world, { auth: { type: 'bearer', token: TOKEN } }),
  settings: (baseUrl) => ({ baseUrl, ...CRM }),
  reads: {
    type: 'customer',
    request: 'GET /api/customers',
    cut: { settings: {}, calls: 1 },
    // An expression cannot tell a path that is not there from an empty list.
    isNothing: (body) => body.includes('"data":7'),
    refusal,
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { type: 'bearer', token: 'wr0ng-t0ken' } }),
})
