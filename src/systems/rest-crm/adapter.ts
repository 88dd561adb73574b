/** A CRM that follows the published contract (`openapi.yaml`), or one that can be described as a variant of it. */
import { fail, ok } from '../failure.ts'
import { queryOf } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { type Source, unsupported } from '../kit/rest/reading.ts'
import { openRest, places, standardEvents } from '../kit/rest/system.ts'
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

export const createRestCrm: CreateAdapter<RestCrmConfig> = (config, options) => {
  const { fields, paths } = config
  const mapping = createMapping(config)
  const rest = openRest(config, 'CRM', options)
  const { reading } = rest
  const { uniqueExternalRef, conditionalUpdates: conditional } = config
  const writing = rest.writing({ uniqueExternalRef, conditional, repeatableActions: false })

  const findBy = config.findExternalRef ? 'externalRef' : null
  const whole = config.updates === 'whole' ? 'record' : undefined

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
  const opportunities: Source<'opportunity'> = {
    type: 'opportunity',
    path: paths.opportunities,
    read: mapping.opportunity,
    ...places(fields.opportunity),
    filter: ({ customer, search }) => ok(queryOf({ customerIds: customer, search })),
  }

  // Opportunities of the contract have no revision.
  const unversioned = rest.writing({ uniqueExternalRef, conditional: false, repeatableActions: false })
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
    health: rest.health(customers.path, 'customers'),
    ...rest.told(standardEvents(['customer', 'opportunity'], mapping.toDateTime)),
    close: rest.close,
  }
}
