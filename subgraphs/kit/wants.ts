/** Which fields of which records an operation shows, read off its documents once: see `RecordPort.parts`. */
import {
  type DocumentNode,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql'
import type { Wants } from '../../src/reading/parts.ts'
import type { RecordType } from '../../src/systems/records.ts'

/** The records whose fields a type shows. */
const RECORDS: Readonly<Record<string, RecordType>> = {
  Customer: 'customer',
  Product: 'product',
  Warehouse: 'warehouse',
  InventoryLevel: 'inventoryLevel',
  Order: 'order',
  Delivery: 'delivery',
  Reservation: 'reservation',
  Shipment: 'shipment',
  Invoice: 'invoice',
  Payment: 'payment',
  Opportunity: 'opportunity',
}

/** Fields that are made of fields of another name. All others show the record's field of their own name. */
const MADE_OF: Readonly<Record<string, readonly string[]>> = {
  'Customer.accounts': ['account', 'name'],
  'Delivery.orders': ['orders', 'orderNumbers'],
  'Invoice.orders': ['orderNumbers'],
}

/** What a subgraph is asked. */
export interface Asked {
  readonly schema: GraphQLSchema
  readonly document: DocumentNode
}

/** What @skip and @include leave out counts as shown: an operation wants the same whatever its variables say. */
export function wantsOf(asked: readonly Asked[]): Wants {
  const wants = new Map<RecordType, Set<string>>()
  const add = (type: string, field: string) => {
    const record = RECORDS[type]
    if (!record) return
    const shown = wants.get(record) ?? new Set()
    wants.set(record, shown)
    for (const one of MADE_OF[`${type}.${field}`] ?? [field]) shown.add(one)
  }
  for (const { schema, document } of asked) {
    const types = new TypeInfo(schema)
    visit(
      document,
      visitWithTypeInfo(types, {
        Field(node) {
          const parent = getNamedType(types.getParentType())
          if (!parent) return
          const shownBy = isAbstractType(parent) ? schema.getPossibleTypes(parent) : [parent]
          for (const { name } of shownBy) add(name, node.name.value)
        },
      }),
    )
  }
  return wants
}
