/** Operations ready to run in the explorer. They fit the demo's data; with other systems, change the ids. */
import { encodeId } from '../identity/ids.ts'
import type { Example } from './explorer.ts'

const inOrder: readonly Example[] = [
  {
    title: 'Customer, everywhere',
    query: `# One customer as CRM, ERP and finance know it.
query Customer($crmId: String!) {
  customer(externalId: { system: "crm", key: $crmId }) {
    id
    name
    level
    industry
    contacts { name title email }
    externalIds { system key }
    accounts { system { id } key currency creditLimit { amount currency } paymentTerms }
    balances { open { amount currency } overdue { amount } asOf }
    orders(first: 3) {
      number
      orderDate
      status
      fulfilmentStatus
      totals { gross { amount currency } tax { amount } }
      lines {
        ordered { value }
        delivered { value }
        net { amount }
        product { sku name inventory { warehouse { name } available { value } } }
      }
      invoices { number status totals { gross { amount } } paid { amount } open { amount } }
    }
  }
}`,
    variables: { crmId: '70007' },
  },
  {
    title: 'Create an order',
    query: `# Send it twice: the key makes it one order. Take the ids from the other windows.
mutation CreateOrder($input: CreateOrderInput!) {
  createOrder(input: $input) {
    writeback { id state attempts key problem { code message } }
    order { id number status totals { gross { amount currency } } }
  }
}`,
    variables: {
      input: {
        idempotencyKey: 'explorer-order-1',
        customerId: encodeId({ type: 'customer', system: 'crm', key: '70007' }),
        dueDate: '2026-12-31',
        customerReference: 'from the explorer',
        lines: [{ productId: encodeId({ type: 'product', system: 'erp', key: 'A00003' }), quantity: '2' }],
      },
    },
  },
  {
    title: 'Watch orders',
    query: `# Orders move by themselves in the demo: something arrives within seconds.
subscription Orders {
  orderChanged {
    event
    time
    statusBefore
    statusAfter
    order {
      number
      status
      customer { name level }
      invoices { number status }
    }
  }
}`,
  },
  {
    title: 'Watch stock',
    query: `subscription Stock {
  inventoryChanged {
    time
    onHandBefore
    onHandAfter
    level { product { sku name } warehouse { name } available { value } }
  }
}`,
  },
  {
    title: 'Systems',
    query: `{
  systems {
    id
    kind
    environment
    health { reachable latency detail code }
    capabilities { record action writes }
  }
  unmappedRecords(type: CUSTOMER, first: 5) { totalCount nodes { system { id } key label reason } }
  writebacks(first: 5) { nodes { id record action state attempts acceptedAt } }
}`,
  },
]

/** Altair opens the last window, and the first of ours is the one to begin with. */
export const examples: readonly Example[] = inOrder.toReversed()
