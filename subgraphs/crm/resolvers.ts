/** Customers, contacts and opportunities, whichever systems know them. */
import type { Identity } from '../../src/identity/registry.ts'
import type { CustomerChanges, CustomerCreate, OpportunityChanges } from '../../src/systems/port.ts'
import type { Customer, Money, OpportunityStage } from '../../src/systems/records.ts'
import { portOf } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { type ListArguments, pageOver } from '../kit/lists.ts'
import {
  customFieldsOf,
  identityOf,
  idOf,
  keysIn,
  type Located,
  loadById,
  loadByKey,
  located,
  lookupAll,
  provenanceOf,
  recordFields,
  systemOf,
} from '../kit/records.ts'
import { type CustomFieldInput, chooseTarget, customInput, given, type How, write } from '../kit/writes.ts'
import { customerSubscriptions } from './subscriptions.ts'

/** A customer is who it is in all systems; its profile is read from the first configured system that has one. */
interface CustomerNode {
  readonly identity: Identity
  profile(): Promise<Located<'customer'> | null>
}

/** As the client sends it. */
type WithCustomFields<Input> = Omit<Input, 'customFields'> & {
  readonly customFields?: readonly CustomFieldInput[] | null
}

/** What a customer shows as the record of its profile has it. */
const PROFILE_FIELDS = [
  'name',
  'code',
  'legalName',
  'type',
  'status',
  'vendorStatus',
  'tags',
  'level',
  'vendorLevel',
  'industry',
  'taxNumber',
  'phone',
  'email',
  'contacts',
  'addresses',
  'version',
  'createdAt',
  'updatedAt',
] as const satisfies readonly (keyof Customer)[]

/** Without what is null in it. */
const customerInput = <T extends Pick<CustomerCreate, 'addresses'>>(fields: T) =>
  given({ ...fields, addresses: fields.addresses?.map((one) => ({ ...given(one), type: one.type })) })

const NOWHERE_TO_CHANGE = 'No system in which customers can be changed knows this customer.'

export function crmResolvers(rooms: Rooms) {
  const { systems } = rooms

  const customerOf = (context: SubgraphContext, identity: Identity): CustomerNode => {
    let profile: Promise<Located<'customer'> | null> | undefined
    const read = async () => {
      for (const { system, key } of keysIn(systems, identity, 'customer')) {
        const found = await loadByKey(context, system, 'customer', key)
        if (found) return found
      }
      return null
    }
    return { identity, profile: () => (profile ??= read()) }
  }

  /** Null where nobody knows it: neither the cross-reference nor the system that the id names. */
  const findCustomer = async (context: SubgraphContext, id: string): Promise<CustomerNode | null> => {
    const identity = await identityOf(systems, context, 'customer', id)
    const node = customerOf(context, identity)
    return identity.keys.length > 1 || (await node.profile()) ? node : null
  }

  const ofLocated = async (context: SubgraphContext, found: Located<'customer'>): Promise<CustomerNode> =>
    customerOf(context, await context.identities.byKey('customer', found.system.id, found.record.key))

  const profileField =
    <F extends keyof Customer>(field: F) =>
    async (node: CustomerNode) =>
      (await node.profile())?.record[field] ?? null

  return {
    Query: {
      async customer(
        _: unknown,
        args: { id?: string | null; externalId?: { system: string; key: string } | null },
        context: SubgraphContext,
      ) {
        if ((args.id == null) === (args.externalId == null))
          throw badInput('Give either "id" or "externalId".')
        if (args.id != null) return findCustomer(context, args.id)
        const { system, key } = args.externalId as { system: string; key: string }
        const id = idOf('customer', systemOf(systems, system), key)
        return findCustomer(context, id)
      },

      async customers(_: unknown, args: ListArguments, context: SubgraphContext) {
        const page = await pageOver(systems, context, 'customer', args)
        const nodes = await Promise.all(page.nodes.map((node) => ofLocated(context, node)))
        return { ...page, nodes, edges: page.edges.map((edge, index) => ({ ...edge, node: nodes[index] })) }
      },

      opportunity: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'opportunity', id),

      opportunities: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'opportunity', args),
    },

    Mutation: {
      async createCustomer(
        _: unknown,
        {
          input,
          ...how
        }: {
          input: { idempotencyKey: string; system?: string | null } & WithCustomFields<CustomerCreate>
        } & How,
        context: SubgraphContext,
      ) {
        const { idempotencyKey: _key, system, customFields, ...fields } = input
        if (fields.name.trim() === '') throw badInput('"name" must not be empty.', 'name')
        const able = systems
          .all()
          .filter((one) => portOf(one, 'customer')?.create)
          .map((one) => ({ system: one, key: '' }))
        const target = chooseTarget(systems, able, {
          record: 'customer',
          what: 'systems in which customers can be created',
          asked: { system },
          none: 'In no system can customers be created.',
        })
        const { writeback, record } = await write(rooms, context, {
          mutation: 'createCustomer',
          input,
          system: target.system,
          record: 'customer',
          action: 'create',
          adapterInput: { ...customerInput(fields), ...customInput(customFields) },
          ...how,
        })
        return { writeback, customer: record && (await ofLocated(context, record)) }
      },

      async updateCustomer(
        _: unknown,
        {
          input,
          ...how
        }: {
          input: {
            idempotencyKey: string
            id: string
            system?: string | null
            expectedVersion?: string
          } & WithCustomFields<CustomerChanges>
        } & How,
        context: SubgraphContext,
      ) {
        const { idempotencyKey, id, system, expectedVersion, customFields, ...fields } = input
        const changes = { ...customerInput(fields), ...customInput(customFields) }
        if (Object.keys(changes).length === 0) throw badInput('Say at least one field to change.', 'input')
        const identity = await identityOf(systems, context, 'customer', id)
        const able = keysIn(systems, identity, 'customer').filter(
          ({ system }) => portOf(system, 'customer')?.update,
        )
        const target =
          input.system == null
            ? able[0]
            : chooseTarget(systems, able, {
                record: 'customer',
                what: 'systems in which this customer can be changed',
                asked: { system: input.system },
                none: NOWHERE_TO_CHANGE,
              })
        if (!target) throw badInput(NOWHERE_TO_CHANGE, 'id')
        const { writeback, record } = await write(rooms, context, {
          mutation: 'updateCustomer',
          input,
          system: target.system,
          record: 'customer',
          action: 'update',
          adapterInput: { key: target.key, ...given({ expectedVersion }), changes },
          ...how,
        })
        return { writeback, customer: record && (await ofLocated(context, record)) }
      },

      async addCustomerNote(
        _: unknown,
        {
          input,
          ...how
        }: { input: { idempotencyKey: string; id: string; system?: string | null; text: string } } & How,
        context: SubgraphContext,
      ) {
        const { id, system, text } = input
        if (text.trim() === '') throw badInput('"text" is empty: say what is to be noted.', 'text')
        const identity = await identityOf(systems, context, 'customer', id)
        const able = keysIn(systems, identity, 'customer').filter(
          (one) => portOf(one.system, 'customer')?.actions?.addNote,
        )
        const target = chooseTarget(systems, able, {
          record: 'customer',
          what: 'systems that take notes about this customer',
          asked: { system },
          none: 'No system that takes notes knows this customer.',
        })
        const { writeback } = await write(rooms, context, {
          mutation: 'addCustomerNote',
          input,
          system: target.system,
          record: 'customer',
          action: 'addNote',
          adapterInput: { key: target.key, text },
          ...how,
        })
        return { writeback, customer: await findCustomer(context, id) }
      },

      async createOpportunity(
        _: unknown,
        {
          input,
          ...how
        }: {
          input: {
            idempotencyKey: string
            customerId: string
            system?: string | null
            name: string
            stage?: OpportunityStage
            amount?: Money
            closeDate?: string
            customFields?: readonly CustomFieldInput[] | null
          }
        } & How,
        context: SubgraphContext,
      ) {
        const identity = await identityOf(systems, context, 'customer', input.customerId)
        const able = keysIn(systems, identity, 'customer').filter(
          ({ system }) => portOf(system, 'opportunity')?.create,
        )
        const target = chooseTarget(systems, able, {
          record: 'opportunity',
          what: 'CRMs that know this customer',
          asked: { system: input.system },
          none: 'No system that keeps opportunities knows this customer.',
        })
        const { name, stage, amount, closeDate } = input
        const { writeback, record } = await write(rooms, context, {
          mutation: 'createOpportunity',
          input,
          system: target.system,
          record: 'opportunity',
          action: 'create',
          adapterInput: {
            customer: target.key,
            name,
            ...given({ stage, amount, closeDate }),
            ...customInput(input.customFields),
          },
          ...how,
        })
        return { writeback, opportunity: record }
      },

      async updateOpportunity(
        _: unknown,
        {
          input,
          ...how
        }: {
          input: {
            idempotencyKey: string
            id: string
            expectedVersion?: string
          } & WithCustomFields<OpportunityChanges>
        } & How,
        context: SubgraphContext,
      ) {
        const { idempotencyKey, id, expectedVersion, customFields, ...fields } = input
        const changes = { ...given(fields), ...customInput(customFields) }
        if (Object.keys(changes).length === 0) throw badInput('Say at least one field to change.', 'input')
        const { system, key } = located(systems, 'opportunity', id)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'updateOpportunity',
          input,
          system,
          record: 'opportunity',
          action: 'update',
          adapterInput: { key, ...given({ expectedVersion }), changes },
          ...how,
        })
        return { writeback, opportunity: record }
      },
    },

    Subscription: customerSubscriptions(rooms, customerOf),

    Customer: {
      /** Documents name it: it is somebody, also where no system has anything to say about it. */
      async __resolveReference({ id }: { id: string }, context: SubgraphContext): Promise<CustomerNode> {
        return customerOf(context, await identityOf(systems, context, 'customer', id))
      },
      id: (node: CustomerNode) => node.identity.id,
      externalIds: (node: CustomerNode) => node.identity.keys,
      ...Object.fromEntries(PROFILE_FIELDS.map((field) => [field, profileField(field)])),
      async parent(node: CustomerNode, _: unknown, context: SubgraphContext) {
        const profile = await node.profile()
        const parent = profile?.record.parent
        if (!profile || parent == null) return null
        return customerOf(context, await context.identities.byKey('customer', profile.system.id, parent))
      },
      customFields: async (node: CustomerNode) => customFieldsOf((await node.profile())?.record),
      system: async (node: CustomerNode) => (await node.profile())?.system ?? null,
      async provenance(node: CustomerNode) {
        const profile = await node.profile()
        return profile && provenanceOf(profile)
      },
      async opportunities(node: CustomerNode, _: unknown, context: SubgraphContext) {
        const places = keysIn(systems, node.identity, 'opportunity')
        return lookupAll(context, 'opportunity', 'byCustomer', places)
      },
    },

    Opportunity: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'opportunity', id),
      ...recordFields('opportunity', [
        'name',
        'stage',
        'vendorStage',
        'amount',
        'probability',
        'closeDate',
        'lines',
        'orderNumber',
        'owner',
        'externalReference',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      key: (node: Located<'opportunity'>) => node.record.key,
      async customer(node: Located<'opportunity'>, _: unknown, context: SubgraphContext) {
        const { customer } = node.record
        if (!customer) return null
        return customerOf(context, await context.identities.byKey('customer', node.system.id, customer))
      },
    },
  }
}
