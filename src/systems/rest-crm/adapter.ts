/** A CRM that follows the published contract (`openapi.yaml`), or one that can be described as a variant of it. */
import { fail, ok, outcomeOf } from '../failure.ts'
import { createRestClient, queryOf } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { createReading, type Source, unsupported } from '../kit/rest/reading.ts'
import { createReceiver, readStandardEvent } from '../kit/rest/webhook.ts'
import { createWriting } from '../kit/rest/writing.ts'
import type {
  ActionInput,
  CreateAdapter,
  CustomerChanges,
  CustomerCreate,
  OpportunityChanges,
  OpportunityCreate,
} from '../port.ts'
import type { RestCrmConfig } from './config.ts'
import { createMapping, missingChanges, missingOpportunityChanges } from './mapping.ts'

export const createRestCrm: CreateAdapter<RestCrmConfig> = (config, { log, timeoutMs }) => {
  const { fields, paths } = config
  const client = createRestClient({ ...config, called: 'CRM', timeoutMs, log })
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
    conditional: config.conditionalUpdates,
    repeatableActions: false,
  })

  const findBy = config.findExternalRef ? 'externalRef' : null
  const whole = config.updates === 'whole' ? 'record' : undefined

  const customers: Source<'customer'> = {
    type: 'customer',
    path: paths.customers,
    read: mapping.customer,
    keyOf: (raw) => fieldText(raw, fields.customer.id),
    place: [fields.customer.createdAt, fields.customer.id],
    changed: [fields.customer.updatedAt, fields.customer.id],
    filter: ({ customer, search }) =>
      customer === undefined
        ? ok(queryOf({ search }))
        : unsupported('Customers cannot be listed by customer: read that one.'),
  }
  const opportunities: Source<'opportunity'> = {
    type: 'opportunity',
    path: paths.opportunities,
    read: mapping.opportunity,
    keyOf: (raw) => fieldText(raw, fields.opportunity.id),
    place: [fields.opportunity.createdAt, fields.opportunity.id],
    changed: [fields.opportunity.updatedAt, fields.opportunity.id],
    filter: ({ customer, search }) => ok(queryOf({ customerIds: customer, search })),
  }

  // Opportunities of the contract have no revision.
  const unversioned = createWriting(client, reading, {
    ...config,
    conditional: false,
    repeatableActions: false,
  })
  /** A note is no record of ours: what was written to is its customer. */
  const notes: Source<'customer'> = {
    ...customers,
    path: paths.notes,
    read: () => fail({ kind: 'invalid-response', detail: 'a note is no customer' }),
    keyOf: (raw) => fieldText(raw, fields.note.customer),
  }

  return {
    kind: 'rest-crm',
    ports: {
      customer: {
        ...reading.port(customers),
        changes: reading.changes(customers),
        create: writing.create<CustomerCreate, 'customer'>({
          source: customers,
          externalRefField: fields.customer.externalRef,
          findBy,
          duplicateDetail: 'customerId',
          takes: ['legalName', 'addresses', 'tags', 'customFields'],
          refuse: (input) =>
            input.code === undefined
              ? mapping.refuseCustomer(input)
              : {
                  kind: 'unsupported',
                  message: 'This CRM numbers its customers itself: leave the code out.',
                },
          body: mapping.newCustomer,
        }),
        update: writing.update<CustomerChanges, 'customer'>({
          source: customers,
          takes: ['legalName', 'addresses', 'tags', 'customFields'],
          whole,
          refuse: mapping.refuseCustomer,
          body: mapping.customerBody,
          missing: missingChanges,
        }),
        actions: {
          addNote: writing.create<ActionInput, 'customer'>({
            source: notes,
            externalRefField: fields.note.externalRef,
            findBy,
            duplicateDetail: 'customerId',
            refuse: ({ text }) =>
              text?.trim() ? undefined : { kind: 'unsupported', message: 'A note needs a text.' },
            body: mapping.noteBody,
          }),
        },
      },
      opportunity: {
        ...reading.port(opportunities),
        changes: reading.changes(opportunities),
        lookups: {
          byCustomer: reading.lookup(
            opportunities,
            'customerIds',
            ({ customer }) => [customer],
            fields.opportunity.customer,
          ),
        },
        create: writing.create<OpportunityCreate, 'opportunity'>({
          source: opportunities,
          externalRefField: fields.opportunity.externalRef,
          findBy,
          duplicateDetail: 'opportunityId',
          takes: ['customFields'],
          refuse: mapping.refuseOpportunity,
          body: mapping.opportunityBody,
        }),
        update: unversioned.update<OpportunityChanges, 'opportunity'>({
          source: opportunities,
          takes: ['customFields'],
          whole,
          refuse: mapping.refuseOpportunity,
          body: mapping.opportunityChanges,
          missing: missingOpportunityChanges,
        }),
      },
    },
    health: (context) =>
      outcomeOf(async () => {
        await client.getPage(customers.path, { limit: '1' }, context)
        return { detail: `REST CRM at ${new URL(config.baseUrl).host}: customers can be read` }
      }),
    ...(config.webhook
      ? {
          webhook: createReceiver(config.webhook, (body, id) =>
            readStandardEvent(body, id, ['customer', 'opportunity'], mapping.toDateTime),
          ),
        }
      : {}),
    async close() {
      client.close()
    },
  }
}
